"""The rules of lowering against the graph that onnxruntime's optimiser really writes on this machine."""

from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgewise.graph.count import graph_of
from edgewise.graph.lowering import lower
from edgewise.graph.sketch import Sketch
from edgewise.runtime.calibrate import block_size
from edgewise.runtime.session import Session
from tests.zoo import ZOO

CONVOLUTIONS = ("conv", "pointwise", "stem", "grouped", "depthwise")


@pytest.fixture(scope="module")
def block() -> int:
    return block_size()


def optimised(model: Any, folder: Path) -> Counter[str]:
    """Kinds of nodes that onnxruntime runs."""
    path = folder / "optimised.onnx"
    Session.load(model.SerializeToString(), optimised_path=path)
    return Counter(n.op_type for n in onnx.load(path).graph.node)


def by_rule(model: Any, block: int) -> Counter[str]:
    return Counter(kernel.kind for kernel in lower(graph_of(model), block) if not kernel.kind.startswith("fused"))


@pytest.mark.parametrize("width", [16, 24])
@pytest.mark.parametrize(
    "name",
    ["plain", "resnet", "bottleneck", "mobilenet", "densenet", "inception", "unet", "squeeze_excite", "shufflenet", "two_inputs"],
)
def test_kernels_are_those_that_run(name: str, width: int, block: int, tmp_path: Path) -> None:
    model = ZOO[name](size=64, width=width)
    real, rule = optimised(model, tmp_path), by_rule(model, block)
    convolutions = sum(n for kind, n in rule.items() if kind.split()[0] in CONVOLUTIONS)
    assert convolutions == real["Conv"] + real["FusedConv"]
    assert abs(rule.total() - real.total()) <= 0.1 * real.total()
    assert abs(rule["reorder in"] + rule["reorder out"] - real["ReorderInput"] - real["ReorderOutput"]) <= 3


def drawn(draw: Any, channels: int = 16) -> Any:
    s = Sketch("one")
    return s.model(draw(s, s.input("x", channels, 20, 20)))


@pytest.mark.parametrize(
    ("draw", "want"),
    [
        (lambda s, x: s.conv(s.conv(x, 32, norm=True), 32), {"conv": 2, "reorder in": 1, "reorder out": 1}),
        (lambda s, x: s.conv(x, 16, act="SiLU"), {"conv": 1, "silu": 1, "reorder in": 1, "reorder out": 1}),
        (
            lambda s, x: s.activate(s.add(s.conv(x, 16, act=""), s.conv(x, 16, act="")), "Relu"),
            {"conv": 2, "reorder in": 1, "reorder out": 1},
        ),
        (lambda s, x: s.gelu(x), {"gelu": 1}),
        (
            lambda s, x: s.dense(s.flat_mean(x), 8, "Relu"),
            {"reorder in": 1, "global pool": 1, "reorder out": 1, "view": 1, "vector product": 1},
        ),
        (lambda s, x: s.depthwise(x), {"depthwise": 1, "reorder in": 1, "reorder out": 1}),
    ],
)
def test_fusions(draw: Any, want: dict[str, int]) -> None:
    assert by_rule(drawn(draw), 16) == Counter(want)


def test_an_output_is_never_fused_away() -> None:
    s = Sketch("two")
    y = s.conv(s.input("x", 16, 20, 20), 16, act="")
    rule = Counter(kernel.kind for kernel in lower(graph_of(s.model(y, s.activate(y, "Relu"))), 16))
    assert rule["unary"] == 1


@pytest.mark.parametrize("name", ZOO)
def test_without_blocks_nothing_is_reordered_and_no_work_is_lost(name: str) -> None:
    graph = graph_of(ZOO[name]())
    plain = lower(graph, 1)
    assert not any(kernel.kind.startswith("reorder") for kernel in plain)
    convolved = sum(o.flops or 0 for o in graph.operators if o.kind == "Conv")
    for block in (1, 8, 16):
        work = [kernel.work for kernel in lower(graph, block) if kernel.kind.split()[0] in CONVOLUTIONS]
        assert 2 * sum(work) >= convolved  # channels are rounded up to blocks, never down
    assert all(value >= 0 for kernel in plain for value in kernel.features(1).values())
