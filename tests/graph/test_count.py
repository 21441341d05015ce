"""Counts against figures that are known: by hand for each kind, and as published for whole networks."""

import math

import pytest

from edgewise.core.graph import Graph
from edgewise.graph.count import graph_of
from edgewise.graph.load import load
from edgewise.graph.show import summary
from edgewise.graph.sketch import Sketch
from tests.zoo import ZOO


def drawn(draw: object) -> Graph:
    """The graph of what `draw(sketch, input)` adds to a picture of 6 × 10 × 8."""
    s = Sketch("one")
    return graph_of(s.model(draw(s, s.input("x", 6, 10, 8))))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("draw", "flops"),
    [
        (lambda s, x: s.conv(x, 12, 3, act=""), 2 * 12 * 6 * 9 * 80),
        (lambda s, x: s.conv(x, 12, 3, 2, act=""), 2 * 12 * 6 * 9 * 20),
        (lambda s, x: s.conv(x, 12, 3, group=2, act=""), 2 * 12 * 3 * 9 * 80),
        (lambda s, x: s.depthwise(x, 5, act=""), 2 * 6 * 25 * 80),
        (lambda s, x: s.upconv(x, 4), 2 * 6 * 4 * 4 * 80),
        (lambda s, x: s.pool(x), 4 * 6 * 20),
        (lambda s, x: s.activate(x, "Relu"), 480),
        (lambda s, x: s.flat_mean(x), 480),
        (lambda s, x: s.dense(s.flat_mean(x), 7), 480 + 2 * 6 * 7),
        (lambda s, x: s.node("MatMul", x, s.weight(8, 5)), 2 * 8 * 5 * 60),
        (lambda s, x: s.resize(x), 0),
        (lambda s, x: s.norm(x), 2 * 480),
    ],
)
def test_each_rule_by_hand(draw: object, flops: int) -> None:
    assert drawn(draw).flops == flops


def test_bytes_of_tensors_and_weights() -> None:
    graph = drawn(lambda s, x: s.conv(x, 12, 3))
    conv, relu = graph.operators
    assert conv.read == 4 * 480
    assert conv.written == relu.read == relu.written == 4 * 960
    assert conv.weight_bytes == 4 * (12 * 6 * 9 + 12)
    assert graph.weight_bytes == conv.weight_bytes
    assert graph.peak() == 4 * 960 * 2  # input has gone when the activation runs
    assert (conv.kernel, conv.stride, conv.group, conv.filter) == ((3, 3), (1, 1), 1, (12, 6, 3, 3))


def test_a_shared_weight_is_counted_once() -> None:
    s = Sketch("shared")
    x, w = s.input("x", 4, 8), s.weight(8, 8)
    graph = graph_of(s.model(s.node("MatMul", s.node("MatMul", x, w), w)))
    assert graph.weight_bytes == 4 * 64
    assert sum(o.weight_bytes for o in graph.operators) == 2 * 4 * 64


def test_what_no_rule_counts_is_unknown_and_not_zero() -> None:
    s = Sketch("strange")
    graph = graph_of(s.model(s.node("Relu", s.node("Det", s.input("x", 2, 4, 4)))))
    assert graph.operators[0].flops is None
    assert graph.unknown == ("Det",)
    assert graph.flops == 2


def test_what_depends_on_no_input_is_no_operator() -> None:
    s = Sketch("folded")
    x, w = s.input("x", 4, 8), s.node("Mul", s.weight(8, 8), s.weight(8, 8))
    graph = graph_of(s.model(s.node("MatMul", x, w)))
    assert [o.kind for o in graph.operators] == ["MatMul"]
    assert graph.weight_bytes == 4 * 64


@pytest.mark.parametrize("name", ZOO)
def test_parts_add_up_to_the_whole(name: str) -> None:
    graph = graph_of(load(ZOO[name]().SerializeToString()))
    n = len(graph.operators)
    front, behind = graph.part(range(n // 2)), graph.part(range(n // 2, n))
    assert math.isclose(front.flops + behind.flops, graph.flops)
    assert set(behind.inputs) <= set(front.outputs) | set(graph.inputs)
    assert set(graph.outputs) <= set(front.outputs) | set(behind.outputs)
    assert summary(load(ZOO[name]().SerializeToString())).flops == graph.flops
