"""A pictured model gives for bytes what the model gives for the numbers that a training script would have made of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.core.errors import ConfigError, ModelError
from edgewise.graph.count import graph_of
from edgewise.graph.cut import cuts, split
from edgewise.graph.load import load
from edgewise.graph.picture import LUMINANCE, Look, freed, is_pictured, look_of, pictured
from edgewise.graph.reference import evaluate
from edgewise.graph.sketch import Sketch

PIXELS = np.random.default_rng(5).integers(0, 256, (3, 16, 12, 3)).astype(np.uint8)


def net(channels: int = 3, batch: int | str = "batch", last: bool = False) -> Any:
    """A convolution whose first axis of weights tells channels apart; channels last where `last`."""
    s = Sketch("net", seed=4)
    x = s.input("x", 16, 12, channels, batch=batch) if last else s.input("x", channels, 16, 12, batch=batch)
    y = s.node("Transpose", x, wide=channels, perm=[0, 3, 1, 2]) if last else x
    return load(s.model(s.flat_mean(s.conv(y, 6))).SerializeToString())


def only(outputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
    return next(iter(outputs.values()))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("bgr", [False, True])
def test_bytes_give_what_a_training_script_gives(bgr: bool, last: bool) -> None:
    model = net(last=last)
    look = Look(16, 12, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), bgr=bgr, layout="NHWC" if last else "NCHW")
    values = PIXELS[..., ::-1] if bgr else PIXELS
    x = ((values / 255 - look.mean) / look.std).astype(np.float32)
    want = evaluate(model, {"x": x if last else x.transpose(0, 3, 1, 2)}, optimise=True)
    made = pictured(model, look)
    got = evaluate(made, {"picture": PIXELS}, optimise=True)
    assert is_pictured(made) and not is_pictured(model)
    np.testing.assert_allclose(only(got), only(want), rtol=1e-4, atol=1e-5)
    wrong = evaluate(pictured(model, Look(16, 12, layout=look.layout)), {"picture": PIXELS}, optimise=True)
    assert not np.allclose(only(wrong), only(want), rtol=1e-2)


def test_a_model_of_one_channel_sees_the_luminance() -> None:
    model = net(channels=1)
    want = evaluate(model, {"x": (PIXELS @ np.float32(LUMINANCE))[:, None].astype(np.float32)}, optimise=True)
    look = look_of(model)
    assert look is not None and look.channels == 1
    got = evaluate(pictured(model, Look(16, 12, 1, scale=1.0)), {"picture": PIXELS}, optimise=True)
    np.testing.assert_allclose(only(got), only(want), rtol=1e-4, atol=1e-2)


def test_what_takes_bytes_already_stays_as_it_is() -> None:
    made = pictured(net(), Look(16, 12))
    assert pictured(made, Look(16, 12)) is made
    assert look_of(made) == Look(16, 12, scale=1.0, layout="NHWC")


def test_a_look_is_read_from_the_graph() -> None:
    assert look_of(net()) == Look(16, 12)
    assert look_of(net(last=True)) == Look(16, 12, layout="NHWC")
    s = Sketch("audio")
    assert look_of(load(s.model(s.dense(s.input("x", 40, 8), 3)).SerializeToString())) is None
    with pytest.raises(ModelError, match="another size"):
        look_of(net(), (20, 20))


def test_a_look_that_does_not_fit_is_a_sentence() -> None:
    with pytest.raises(ModelError, match="not of that look"):
        pictured(net(), Look(12, 16))
    with pytest.raises(ConfigError, match="mean"):
        Look(16, 12, mean=(0.1, 0.2))
    with pytest.raises(ConfigError, match="std above 0"):
        Look(16, 12, std=(0.0,))


def test_a_batch_of_one_is_freed_even_behind_a_reshape() -> None:
    s = Sketch("flat", seed=6)
    x = s.conv(s.input("x", 3, 16, 12, batch=1), 4, stride=4)
    flat = s.node("Reshape", x, s.constant([1, 48]), wide=48)
    model = load(s.model(s.dense(flat, 5)).SerializeToString())
    made, free = freed(model)
    assert free
    x3 = np.random.default_rng(1).random((3, 3, 16, 12)).astype(np.float32)
    got = only(evaluate(made, {"x": x3}, optimise=True))
    want = np.concatenate([only(evaluate(model, {"x": x3[i : i + 1]}, optimise=True)) for i in range(3)])
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    graph = graph_of(made)
    assert graph.tensors[graph.outputs[0]].free == (0,)


def test_a_graph_that_holds_on_to_its_batch_is_left_alone() -> None:
    """A mean over the batch would mix samples: it is found by running, not by reading."""
    s = Sketch("mixing", seed=7)
    x = s.conv(s.input("x", 3, 16, 12, batch=1), 4)
    mean = s.node("ReduceMean", x, axes=[0], keepdims=1)
    model = load(s.model(s.flat_mean(s.add(x, mean))).SerializeToString())
    made, free = freed(model)
    assert not free and made is model


def test_a_real_detector_takes_bytes_in_batches_and_is_cut(data_pack: Any) -> None:
    file: Path = data_pack("fastestdet/FastestDet.onnx")
    made, free = freed(pictured(load(file), Look(352, 352, bgr=True)))
    assert free
    graph = graph_of(made)
    cut = next(c for c in cuts(graph, 1) if c.full and c.head_flops > c.tail_flops)
    head, tail = split(made, cut, graph)
    pixels = np.random.default_rng(2).integers(0, 256, (2, 352, 352, 3)).astype(np.uint8)
    whole = evaluate(made, {"picture": pixels}, optimise=False)
    parts = evaluate(tail, evaluate(head, {"picture": pixels}, optimise=False), optimise=False)
    assert all(np.array_equal(whole[k], parts[k]) for k in whole)
