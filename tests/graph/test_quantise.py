"""A model in eight bits is smaller, takes and gives what it did, and says nearly the same; another model would not."""

import numpy as np
import onnx
import pytest

from edgewise.core.errors import ModelError
from edgewise.graph.load import load
from edgewise.graph.quantise import int8
from edgewise.graph.sketch import Sketch
from edgewise.runtime.session import Session
from tests.zoo import ZOO


def test_a_quantised_model_is_smaller_and_says_nearly_the_same() -> None:
    plain = ZOO["plain"](size=16, width=32).SerializeToString()
    x = np.random.default_rng(1).random((24, 3, 16, 16)).astype(np.float32)
    made = int8(plain, x[:16])
    before, after = Session.load(plain), Session.load(made)
    assert after.inputs == before.inputs and [o.name for o in after.outputs] == [o.name for o in before.outputs]
    assert len(made) < len(plain) / 2.5
    want, got = (next(iter(s.run({"picture": x[16:]}).values())) for s in (before, after))
    assert np.abs(got - want).max() < 0.1 * np.abs(want).max()
    assert not np.array_equal(got, want)
    assert any(n.op_type == "QuantizeLinear" for n in onnx.load_model_from_string(made).graph.node)


def test_ranges_come_from_the_samples() -> None:
    """Calibrated on pictures that are nearly dark, bright ones are clipped."""
    plain = ZOO["plain"](size=16, width=16).SerializeToString()
    x = np.random.default_rng(2).random((8, 3, 16, 16)).astype(np.float32)
    want = next(iter(Session.load(plain).run({"picture": x}).values()))
    errors = []
    for scale in (1.0, 0.02):
        got = next(iter(Session.load(int8(plain, scale * x)).run({"picture": x}).values()))
        errors.append(float(np.abs(got - want).max()))
    assert errors[0] < errors[1] / 5


def test_what_cannot_be_quantised_is_a_sentence() -> None:
    s = Sketch("two")
    a, b = s.input("a", 3, 8, 8), s.input("b", 3, 8, 8)
    model = load(s.model(s.flat_mean(s.add(a, b))).SerializeToString()).SerializeToString()
    with pytest.raises(ModelError, match="one input"):
        int8(model, np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(ModelError, match="without samples"):
        int8(ZOO["plain"]().SerializeToString(), np.zeros((0, 3, 16, 16), np.float32))
