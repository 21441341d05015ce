"""A delta and its manifest in one file: small, exact, and nothing for a liar."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from edgewise.apps.vision.bundles import find
from edgewise.core.artifact import LARGEST_MANIFEST, MANIFEST
from edgewise.core.delta import Delta, Rows
from edgewise.core.errors import ModelError
from edgewise.runtime.bundle import bundle_files
from edgewise.runtime.parcel import MAGIC, parcel, unpacked
from edgewise.runtime.update import manifest_of, parameters, route, updated


@pytest.fixture(scope="module")
def versions() -> tuple[dict[str, bytes], dict[str, bytes]]:
    old = bundle_files(find("vehicles"))
    manifest = manifest_of(old)
    path = next(p for p, v in parameters(old, manifest).items() if p.startswith("tail.") and v.ndim == 4)
    shape = parameters(old, manifest)[path].shape
    change = Rows(np.array([0, 3]), np.full((2, *shape[1:]), 1e-3, np.float32))
    return old, updated(old, Delta(manifest.address, manifest.address, "test", {path: change}))


def test_a_parcel_gives_the_new_version_to_the_bit_and_its_manifest_costs_little(versions) -> None:  # type: ignore[no-untyped-def]
    old, new = versions
    data = parcel(old, new)
    assert unpacked(old, data) == new
    assert len(data) - len(route(old, new)) < 0.1 * len(new[MANIFEST])


def test_any_flipped_bit_is_refused_or_harmless(versions) -> None:  # type: ignore[no-untyped-def]
    old, new = versions
    data = parcel(old, new)
    random = np.random.default_rng(1)
    for _ in range(60):
        spoilt = bytearray(data)
        spoilt[random.integers(len(data))] ^= 1 << random.integers(8)
        try:
            found = unpacked(old, bytes(spoilt))
        except ModelError:
            continue
        assert found[MANIFEST] == new[MANIFEST] and found == new, "what comes out is what its manifest says"


def test_a_bomb_in_the_manifest_is_refused(versions) -> None:  # type: ignore[no-untyped-def]
    bomb = zlib.compress(bytes(LARGEST_MANIFEST * 4), 9)
    with pytest.raises(ModelError, match="does not end"):
        unpacked(versions[0], struct.pack(">4sI", MAGIC, len(bomb)) + bomb)


@pytest.mark.parametrize("data", [b"", b"EWP1", b"EWP2" + bytes(8), b"EWP1\xff\xff\xff\xff" + bytes(8)])
def test_what_is_no_parcel_is_a_sentence(versions, data: bytes) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ModelError, match="parcel"):
        unpacked(versions[0], data)
