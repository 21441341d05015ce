"""Head then tail is the whole: to the bit with optimisation off, to 1e-5 of each output's magnitude with it on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewise.core.errors import ModelError
from edgewise.graph.count import graph_of
from edgewise.graph.cut import check, cut_at, cuts, split
from edgewise.graph.load import load
from edgewise.graph.reference import evaluate
from edgewise.graph.sketch import Sketch
from tests.zoo import ZOO


def some(name: str, model: object, graph: object, most: int) -> None:
    """Check `most` cuts: singles and sets, early and late."""
    found = cuts(graph)  # type: ignore[arg-type]
    assert found
    for kind in (1, 2):
        chosen = [c for c in found if min(len(c.tensors), 2) == kind]
        for cut in chosen[:: max(1, len(chosen) // most)]:
            result = check(model, cut.tensors, seed=7)
            assert result.bit_equal, (name, cut.name)
            assert result.max_rel <= 1e-5, (name, cut.name, result.max_rel)
            assert result.bytes == cut.bytes


@pytest.mark.parametrize("name", ZOO)
def test_head_and_tail_are_the_whole(name: str) -> None:
    model = load(ZOO[name]().SerializeToString())
    some(name, model, graph_of(model), most=6)


@pytest.mark.parametrize("name", ["detectors/yolox_nano.onnx", "fastestdet/FastestDet.onnx"])
def test_real_models(name: str, data_pack: Callable[[str], Path]) -> None:
    model = load(data_pack(name))
    some(name, model, graph_of(model), most=2)


def test_a_wrong_tail_would_be_seen() -> None:
    """The check itself must be able to fail."""
    model = load(ZOO["plain"]().SerializeToString())
    head, tail = split(model, "relu_3")
    tail.graph.initializer[0].raw_data = bytes(len(tail.graph.initializer[0].raw_data))
    x = {"picture": np.ones((1, 3, 16, 16), np.float32)}
    whole = evaluate(model, x, optimise=False)
    parts = evaluate(tail, evaluate(head, x, optimise=False), optimise=False)
    assert any(not np.array_equal(whole[k], parts[k]) for k in whole)


@pytest.mark.parametrize("name", ["resnet", "detector", "transformer"])
def test_the_parts_take_any_batch(name: str) -> None:
    model = load(ZOO[name](size=32).SerializeToString())
    cut = next(c for c in cuts(graph_of(model)) if c.full and c.head_flops > c.tail_flops)
    head, tail = split(model, cut)
    x = np.random.default_rng(3).standard_normal((5, 3, 32, 32)).astype(np.float32)
    whole = evaluate(model, {"picture": x}, optimise=False)
    front = evaluate(head, {"picture": x}, optimise=False)
    parts = {**front, **evaluate(tail, front, optimise=False)}
    assert all(np.array_equal(whole[k], parts[k]) for k in whole)


def test_names_weights_and_early_outputs_are_kept() -> None:
    model = load(ZOO["exits"]().SerializeToString())
    graph = graph_of(model)
    cut = next(c for c in cuts(graph, 1) if c.early)
    head, tail = split(model, cut, graph)
    assert [o.name for o in head.graph.output] == [*cut.tensors, *cut.early]
    assert [i.name for i in tail.graph.input] == list(cut.tensors)
    assert {o.name for o in tail.graph.output} == set(graph.outputs) - set(cut.early)
    weights = [{w.name for w in part.graph.initializer} for part in (head, tail)]
    assert weights[0] | weights[1] == set(graph.constants)
    assert not weights[0] & weights[1]


def test_bytes_of_a_skip_count_every_tensor() -> None:
    s = Sketch("skip")
    x = s.conv(s.input("x", 3, 8, 8), 4)
    y = s.conv(x, 2, stride=2)
    z = s.add(s.conv(s.resize(y), 4), x)
    graph = graph_of(s.model(s.conv(z, 1)))
    with pytest.raises(ModelError, match=f"cannot be cut there; got {y}; allowed: {x} . {y}"):
        cut_at(graph, y)
    cut = cut_at(graph, f"{y}, {x}")
    assert cut.tensors == (x, y)
    assert cut.bytes == 4 * (4 * 64 + 2 * 16)
    assert cut == cut_at(graph, (x, y))


@pytest.mark.parametrize(
    ("at", "sentence"),
    [
        ("nowhere", "no such tensor; got nowhere"),
        ("picture", "nothing lies in front"),
        ("gemm_14", "cannot be cut there"),
        ("relu_1, relu_3", "cannot be cut there"),
    ],
)
def test_bad_cuts_are_sentences(at: str, sentence: str) -> None:
    graph = graph_of(load(ZOO["plain"]().SerializeToString()))
    with pytest.raises(ModelError, match=sentence):
        cut_at(graph, at)
