"""A bundle opens only as the one that was written, to the byte."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper

from edgewise.core.artifact import MANIFEST, Bottleneck, Grid, Manifest, Picture
from edgewise.core.errors import ModelError
from edgewise.core.placement import OperatingPoint
from edgewise.runtime.bundle import Bundle, bundle_files, write_bundle


def part(scale: float, source: str, target: str) -> bytes:
    """target = scale × source on [batch, 2, 1, 1]."""
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 2, 1, 1]) for n in (source, target)]
    weight = helper.make_tensor("scale", TensorProto.FLOAT, [], [scale])
    graph = helper.make_graph([helper.make_node("Mul", [source, "scale"], [target])], "part", tensors[:1], tensors[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def tiny(folder: Path, head: float = 2.0) -> Manifest:
    return write_bundle(
        folder,
        name="tiny",
        labels=("vehicle",),
        parts={"head": part(head, "picture", "features"), "tail": part(0.5, "features", "score")},
        pictures={"head": Picture(64, 32)},
        bottleneck=Bottleneck((2, 1, 1), (0.0, 0.0), (1.0, 1.0)),
        decoding=Grid(0.5, 0.5, 0.5, 2, 2),
        points=(OperatingPoint("split4", "split", "affine", 4), OperatingPoint("jpeg75", "image", "jpeg", 75)),
        provenance={"seed": "1"},
    )


def rewrite(folder: Path, **changes: object) -> None:
    values = msgspec.json.decode((folder / MANIFEST).read_bytes())
    for path, value in changes.items():
        *above, last = path.split("__")
        place = values
        for key in above:
            place = place[key]
        place[last] = value
    (folder / MANIFEST).write_bytes(msgspec.json.encode(values))


def test_what_is_written_is_what_opens_and_runs(tmp_path: Path) -> None:
    written = tiny(tmp_path)
    bundle = Bundle.open(tmp_path)
    assert bundle.manifest == written
    assert bundle.address == written.address
    assert len(bundle.address) == 64
    x = np.ones((3, 2, 1, 1), np.float32)
    features = bundle.session("head").run({"picture": x})["features"]
    assert (bundle.session("tail").run({"features": features})["score"] == x).all()
    assert bundle.session("head") is bundle.session("head")
    with pytest.raises(ModelError, match="no such part; got local; allowed: head, tail"):
        bundle.session("local")


def test_the_address_names_the_behaviour(tmp_path: Path) -> None:
    first, again, other = tiny(tmp_path / "a"), tiny(tmp_path / "b"), tiny(tmp_path / "c", head=3.0)
    assert first.address == again.address
    assert first.address != other.address


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    tiny(tmp_path)
    model = bytearray((tmp_path / "tail.onnx").read_bytes())
    model[-1] ^= 1
    (tmp_path / "tail.onnx").write_bytes(model)
    with pytest.raises(ModelError, match="not the file that its manifest describes"):
        Bundle.open(tmp_path)


def test_nothing_outside_the_folder_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    tiny(folder)
    (folder / "head.onnx").rename(tmp_path / "head.onnx")
    for path in ("../head.onnx", str(tmp_path / "head.onnx"), "sub/head.onnx", "..", ""):
        rewrite(folder, parts__head__file=path)
        with pytest.raises(ModelError, match="outside its bundle"):
            Bundle.open(folder)
    rewrite(folder, parts__head__file="head.onnx")
    with pytest.raises(ModelError, match="missing"):
        Bundle.open(folder)
    (folder / "head.onnx").symlink_to(tmp_path / "head.onnx")
    with pytest.raises(ModelError, match="outside its bundle"):
        Bundle.open(folder)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"colour": "red"}, "unknown field `colour`"),
        ({"labels": 3}, "labels"),
        ({"parts": {}}, "unknown parts"),
        ({"bottleneck__low": [0.0]}, "a range for each channel"),
        ({"pictures__local": {"width": 1, "height": 1}}, "a part that it has not"),
    ],
)
def test_a_wrong_manifest_is_a_sentence(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    tiny(tmp_path)
    rewrite(tmp_path, **changes)
    with pytest.raises(ModelError, match=sentence):
        Bundle.open(tmp_path)


def test_no_manifest_and_half_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no bundle here"):
        Bundle.open(tmp_path)
    tiny(tmp_path)
    (tmp_path / MANIFEST).write_bytes((tmp_path / MANIFEST).read_bytes()[:50])
    with pytest.raises(ModelError, match="cannot be read"):
        Bundle.open(tmp_path)


def test_a_manifest_that_lies_about_tensors_is_found(tmp_path: Path) -> None:
    tiny(tmp_path)
    rewrite(tmp_path, parts__head__inputs=[{"dtype": "uint8", "name": "picture", "shape": [None, 2, 1, 1]}])
    with pytest.raises(ModelError, match="not those of its manifest"):
        Bundle.open(tmp_path).session("head")


def test_the_address_is_the_hash_of_the_manifest_as_it_lies_there(tmp_path: Path) -> None:
    written = tiny(tmp_path)
    assert hashlib.sha256((tmp_path / MANIFEST).read_bytes()).hexdigest() == written.address
    (tmp_path / MANIFEST).write_bytes(msgspec.json.format(written.canonical, indent=1))
    with pytest.raises(ModelError, match="canonical"):
        Bundle.open(tmp_path)


def test_a_bundle_loads_from_anywhere_by_hashes_and_believes_nobody(tmp_path: Path) -> None:
    written = tiny(tmp_path)
    blobs = {part.sha256: (tmp_path / part.file).read_bytes() for part in written.parts.values()}
    x = np.ones((1, 2, 1, 1), np.float32)
    assert (Bundle.load(written.canonical, blobs.__getitem__).session("head").run({"picture": x})["features"] == 2).all()
    for liar in (lambda _: b"", lambda _: next(iter(blobs.values())), lambda sha: blobs[sha] + b"\0"):
        with pytest.raises(ModelError, match="not the file that its manifest describes"):
            Bundle.load(written.canonical, liar)
    files = bundle_files(tmp_path)
    assert Bundle.of(files).address == written.address
    with pytest.raises(ModelError, match="not the file that its manifest describes"):
        Bundle.of({**files, written.parts["head"].file: b""})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"parts__tail__file": "head.onnx"}, "one file"),
        ({"parts__tail__file": MANIFEST}, "outside its bundle"),
        ({"parts__tail__file": "../tail.onnx"}, "outside its bundle"),
        ({"parts__tail__file": "a\\tail.onnx"}, "outside its bundle"),
        ({"parts__tail__size": -1}, "size"),
        ({"parts__tail__size": 7}, "not the file"),
        ({"parts__tail__sha256": "ABC"}, "sha256"),
        ({"parameters": {"local.w": ["local", "w"]}}, "a part that it has not"),
        ({"parameters": {"a": ["head", "w"], "b": ["head", "w"]}}, "two parameter paths"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_a_sentence(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    tiny(tmp_path)
    rewrite(tmp_path, **changes)
    with pytest.raises(ModelError, match=sentence):
        Bundle.open(tmp_path)
