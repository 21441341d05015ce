"""One version of a bundle from another: the device's bytes are the publisher's, whatever the coding, or there is an error."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgewise.codec.delta import decode, encode
from edgewise.core.artifact import MANIFEST, Bottleneck, parse
from edgewise.core.delta import Affine, Change, Delta, Full, LowRank, Rows, apply
from edgewise.core.errors import ModelError
from edgewise.runtime.bundle import Bundle, bundle_files, release_files
from edgewise.runtime.update import exact, manifest_of, parameters, rebuilt, route, updated

F = np.float32
SHIPPED = Path(__file__).parents[2] / "edgewise" / "bundles" / "vehicles"


@pytest.fixture(scope="module")
def base() -> dict[str, bytes]:
    return bundle_files(SHIPPED)


def delta(base: Mapping[str, bytes], seed: int = 0, size: float = 1e-2) -> Delta:
    """Changes of every kind, in all three parts."""
    random = np.random.default_rng(seed)
    manifest = manifest_of(base)
    old = parameters(base, manifest)

    def noise(*shape: int) -> np.ndarray:
        return (size * random.normal(size=shape)).astype(F)

    scale, shift = 1 + noise(8), noise(8)
    changes: dict[str, Change] = {
        "head.level.weight": Affine(scale, shift),
        "head.level.bias": Affine(scale, shift),
        "tail.down.0.weight": LowRank(noise(96, 2), noise(2, 48 * 9)),
        "tail.maps.out.weight": Rows(np.array([0, 5]), noise(2, 48, 1, 1)),
        "local.maps.out.bias": Full(old["local.maps.out.bias"] + noise(6)),
    }
    return Delta(manifest.address, manifest.address, "test", changes)


def test_the_parameters_of_the_shipped_bundle_are_trained_values_by_their_paths(base: dict[str, bytes]) -> None:
    manifest = manifest_of(base)
    found = parameters(base, manifest)
    assert len(found) == 134 and all(v.dtype == F for v in found.values())
    assert {"head.body.0.1.running_var", "tail.down.0.weight", "local.maps.out.bias"} <= set(found)
    assert not any("val_" in path or "middle" in path for path in found)
    assert hashlib.sha256(base[MANIFEST]).hexdigest() == manifest.address


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_a_device_makes_the_bytes_of_the_publisher(base: dict[str, bytes], precision: str) -> None:
    data = encode(delta(base), precision)  # type: ignore[arg-type]
    new = updated(base, data)
    assert rebuilt(base, data, new[MANIFEST]) == new
    assert {n: len(d) for n, d in new.items() if n != MANIFEST} == {n: len(d) for n, d in base.items() if n != MANIFEST}
    wanted = apply(parameters(base, manifest_of(base)), decode(data))
    found = parameters(new, manifest_of(new))
    assert all(found[path].tobytes() == wanted[path].tobytes() for path in wanted)


def test_another_process_makes_the_same_bytes_without_onnx(base: dict[str, bytes], tmp_path: Path) -> None:
    data = encode(delta(base), "int8")
    new = updated(base, data)
    (tmp_path / "delta").write_bytes(data)
    (tmp_path / MANIFEST).write_bytes(new[MANIFEST])
    code = (
        "import sys; from pathlib import Path; from edgewise.runtime.bundle import bundle_files, rebuilt\n"
        "at, base = Path(sys.argv[1]), bundle_files(sys.argv[2])\n"
        f"new = rebuilt(base, (at / 'delta').read_bytes(), (at / {MANIFEST!r}).read_bytes())\n"
        "sys.exit('onnx' in sys.modules or 'torch' in sys.modules or len(new) != 4)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), str(SHIPPED)], check=False, timeout=60)
    assert done.returncode == 0


def test_a_version_of_a_version_and_the_way_back(base: dict[str, bytes]) -> None:
    first = updated(base, encode(delta(base), "int8"))
    second = updated(first, encode(delta(first, seed=1), "int8"), provenance={"seed": "4"})
    told = manifest_of(second).provenance
    assert (told["parent"], told["method"], told["seed"]) == (manifest_of(first).address, "test", "4")
    assert told["points_of"] == manifest_of(base).address, "the figures are still those of the version that was measured"
    for source, target in ((base, second), (second, base), (first, second)):
        assert rebuilt(source, route(source, target), target[MANIFEST]) == target
    assert len({manifest_of(v).address for v in (base, first, second)}) == 3


def test_new_points_and_ranges_are_the_new_versions_own(base: dict[str, bytes]) -> None:
    points = manifest_of(base).points[:3]
    ranges = Bottleneck((8, 23, 40), (0.0,) * 8, (2.0,) * 8)
    new = manifest_of(updated(base, delta(base), points=points, bottleneck=ranges))
    assert (new.points, new.bottleneck) == (points, ranges)
    assert "points_of" not in new.provenance


def test_the_new_version_runs_and_says_something_else(base: dict[str, bytes]) -> None:
    new = updated(base, encode(delta(base), "int8"))
    blobs = {hashlib.sha256(data).hexdigest(): data for data in (*base.values(), *new.values())}
    picture = np.random.default_rng(0).integers(0, 256, (1, 180, 320, 3), np.uint8)
    said = [
        Bundle.load(files[MANIFEST], blobs.__getitem__).session("head").run({"picture": picture})["bottleneck"]
        for files in (base, new)
    ]
    assert 0 < np.abs(said[0] - said[1]).max() < 0.5


def test_a_route_is_small_where_little_changed_and_exact_where_adding_cannot_be(base: dict[str, bytes]) -> None:
    manifest = manifest_of(base)
    path = "tail.deep.first.0.weight"
    row = Rows(np.array([7]), np.full((1, 96, 3, 3), 0.01, F))
    small = updated(base, Delta(manifest.address, manifest.address, "test", {path: row}))
    assert len(route(base, small)) < 6000
    old = np.array([[1e8], [3.0], [-0.0], [1.0]], F)
    for new in (np.array([[1e-8], [3.0], [-0.0], [1.0]], F), np.array([[1e8], [3.0], [0.0], [1.0]], F), old + 1):
        change = exact(old, new)
        assert apply({"w": old}, Delta("b", "b", "m", {"w": change}))["w"].tobytes() == new.tobytes()


def test_no_route_leads_to_another_graph(base: dict[str, bytes], tmp_path: Path) -> None:
    manifest = manifest_of(base)
    for tail in (base["tail.onnx"].replace(b"pytorch", b"pitorch"), base["tail.onnx"] + b"\x12\x01x"):
        part = msgspec.structs.replace(manifest.parts["tail"], sha256=hashlib.sha256(tail).hexdigest(), size=len(tail))
        other = msgspec.structs.replace(manifest, parts=manifest.parts | {"tail": part})
        with pytest.raises(ModelError, match=r"graph of part tail differs|not an ONNX"):
            route(base, {**base, "tail.onnx": tail, MANIFEST: other.canonical})


def test_what_is_not_the_version_of_the_manifest_is_refused(base: dict[str, bytes]) -> None:
    data, other = encode(delta(base), "int8"), encode(delta(base, seed=2), "int8")
    new = updated(base, data)
    with pytest.raises(ModelError, match="not what the new manifest describes"):
        rebuilt(base, other, new[MANIFEST])
    with pytest.raises(ModelError, match="for another version"):
        rebuilt(new, data, new[MANIFEST])
    with pytest.raises(ModelError, match="not the file"):
        rebuilt({**base, "head.onnx": new["head.onnx"]}, data, new[MANIFEST])
    with pytest.raises(ModelError, match="no manifest"):
        rebuilt({}, data, new[MANIFEST])
    stripped = {k: v for k, v in base.items() if k != "tail.onnx"}
    with pytest.raises(ModelError, match="nothing"):
        rebuilt(stripped, data, new[MANIFEST])


def test_a_delta_cannot_reach_what_is_no_parameter(base: dict[str, bytes]) -> None:
    address = manifest_of(base).address
    for path in ("tail.maps.middle", "tail.val_95", "head.scalar_tensor_default"):
        with pytest.raises(ModelError, match="has not"):
            updated(base, Delta(address, address, "test", {path: Full(np.zeros(1, F))}))


def test_a_delta_that_unpacks_to_more_than_twice_the_base_is_refused(base: dict[str, bytes]) -> None:
    address = manifest_of(base).address
    bomb = encode(Delta(address, address, "test", {"tail.down.0.weight": Full(np.zeros((1 << 10, 1 << 10), F))}), "float32")
    assert len(bomb) < 10_000
    with pytest.raises(ModelError, match="too large"):
        updated(base, bomb)


def test_the_files_of_a_release_are_those_of_the_folder(base: dict[str, bytes]) -> None:
    entries = release_files(SHIPPED)
    assert {n: (e.sha256, e.size) for n, e in entries.items()} == {
        n: (hashlib.sha256(d).hexdigest(), len(d)) for n, d in base.items()
    }
    assert entries[MANIFEST].sha256 == parse(base[MANIFEST]).address
