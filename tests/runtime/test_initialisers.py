"""What is read is what the onnx package reads; what is patched is what onnxruntime then runs; bad bytes are sentences."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewise.core.errors import ModelError
from edgewise.runtime.initialisers import initialisers, patched, values
from edgewise.runtime.session import Session
from tests.zoo import ZOO


def raw(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every initialiser as raw data."""
    for one in model.graph.initializer:
        one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one), one.name))
    return model


@pytest.mark.parametrize("name", ZOO)
def test_it_reads_what_onnx_reads(name: str) -> None:
    model = raw(ZOO[name]())
    data = model.SerializeToString()
    found = initialisers(data)
    assert list(found) == [one.name for one in model.graph.initializer]
    lying = values(data, found)
    for one in model.graph.initializer:
        wanted = numpy_helper.to_array(one)
        assert (found[one.name].dtype, found[one.name].shape) == (wanted.dtype, wanted.shape)
        assert lying[one.name].dtype == wanted.dtype and (lying[one.name] == wanted).all()


@pytest.mark.parametrize("name", ["resnet", "transformer"])
def test_it_patches_what_onnx_patches_and_nothing_else(name: str) -> None:
    model = raw(ZOO[name]())
    data = model.SerializeToString()
    random = np.random.default_rng(3)
    new = {k: random.normal(size=v.shape).astype(np.float32) for k, v in initialisers(data).items() if v.dtype == "float32"}
    out = patched(data, new)
    for one in model.graph.initializer:
        if one.name in new:
            one.CopyFrom(numpy_helper.from_array(new[one.name], one.name))
    assert out == model.SerializeToString()
    assert patched(out, values(data, new)) == data
    feed = {"picture": random.random(Session.load(data).inputs[0].shape[1:])[None].astype(np.float32)}
    before, after = Session.load(data).run(feed), Session.load(out).run(feed)
    assert any((before[k] != after[k]).any() for k in before)


def small(*tensors: TensorProto) -> bytes:
    told = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [told], [told], list(tensors))
    return helper.make_model(graph).SerializeToString()


def test_values_that_are_not_in_one_piece_are_listed_and_refused() -> None:
    apart = helper.make_tensor("apart", TensorProto.FLOAT, [2], [1.0, 2.0])
    brain = helper.make_tensor("brain", TensorProto.BFLOAT16, [2], b"\0\1\0\1", raw=True)
    far = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    data = small(apart, brain, far)
    assert [i.place for i in initialisers(data).values()] == [None, None, None]
    for name in ("apart", "brain", "far"):
        with pytest.raises(ModelError, match="one piece"):
            patched(data, {name: np.zeros(2, np.float32)})


def test_what_is_not_like_the_old_is_refused() -> None:
    data = small(numpy_helper.from_array(np.zeros((2, 3), np.float32), "w"))
    for value in (np.zeros(6, np.float32), np.zeros((2, 3), np.float64), np.zeros((3, 2), np.float32)):
        with pytest.raises(ModelError, match="not like the old"):
            patched(data, {"w": value})
    with pytest.raises(ModelError, match="no such initialiser"):
        values(data, ["v"])


def test_numbers_without_dimensions_and_turned_arrays() -> None:
    data = small(
        numpy_helper.from_array(np.array(2, np.float32), "s"), numpy_helper.from_array(np.zeros((2, 3), np.float32), "w")
    )
    out = patched(data, {"s": np.array(5, np.float32), "w": np.arange(6, dtype=np.float32).reshape(3, 2).T})
    found = values(out, ["s", "w"])
    assert found["s"] == 5 and found["w"].tolist() == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not an ONNX model"),
        (b"hello", "not an ONNX model"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "not an ONNX model"),
        (b"\x3a" + b"\x80" * 20, "does not end"),
        (b"\x3a\x00\x3a\x00", "2 graphs"),
        (b"\x3a\x0d\x2a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "impossible shape"),
        (b"\x3a\x06\x2a\x04\x42\x00\x42\x00", "malformed"),
        (b"\x3a\x0a\x2a\x03\x42\x01\x61\x2a\x03\x42\x01\x61", "two initialisers"),
        (b"\x3a\x0c\x2a\x0a\x08\x02\x10\x01\x4a\x04\x00\x00\x00\x00", "not the bytes"),
        (b"\x3a\x05\x2a\x03\x42\x01\xff", "no text"),
    ],
)
def test_bytes_that_are_no_model_are_sentences(data: bytes, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        initialisers(data)


def test_mutations_never_crash_and_never_point_outside() -> None:
    random = np.random.default_rng(5)
    data = raw(ZOO["plain"](size=8, width=2, depth=1)).SerializeToString()
    refused = 0
    for _ in range(3000):
        spoilt = bytearray(data)
        for _ in range(int(random.integers(1, 6))):
            at = int(random.integers(len(spoilt)))
            if random.random() < 0.6:
                spoilt[at] = random.integers(256)
            else:
                del spoilt[at : at + int(random.integers(1, 40))]
        try:
            found = initialisers(bytes(spoilt))
        except ModelError:
            refused += 1
            continue
        values(bytes(spoilt), [n for n, i in found.items() if i.place])
        assert all(0 <= i.place[0] <= i.place[1] <= len(spoilt) for i in found.values() if i.place)
    assert 500 < refused < 3000
