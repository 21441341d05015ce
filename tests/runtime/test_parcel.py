"""A delta and its manifest in one file: small, exact, and nothing for a liar."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from edgewise.apps.vision.bundles import find
from edgewise.codec.delta import encode
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


def test_a_coded_delta_travels_as_it_is_and_gives_the_version_that_was_made_of_it(versions) -> None:  # type: ignore[no-untyped-def]
    old, exact = versions
    manifest = manifest_of(old)
    random, before, after = np.random.default_rng(0), parameters(old, manifest), parameters(exact, manifest_of(exact))
    path = next(p for p in before if (before[p] != after[p]).any())
    noise = Rows(np.arange(len(before[path])), (1e-3 * random.standard_normal(before[path].shape)).astype(np.float32))
    coded = encode(Delta(manifest.address, manifest.address, "test", {path: noise}), "int8")
    new = updated(old, coded)
    short = parcel(old, new, coded)
    assert unpacked(old, short) == new
    assert len(short) < 0.5 * len(parcel(old, new))
    with pytest.raises(ModelError):
        parcel(old, exact, coded)


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
