"""Estimators keep the laws that any cost must: no work is free, parts add up, what is unknown is said."""

import math

import msgspec
import pytest

from edgewise.core.device import Device, OperatorRate, Run
from edgewise.core.errors import UnknownFigure
from edgewise.core.measurement import Measurement
from edgewise.graph.count import graph_of
from edgewise.graph.cut import cuts
from edgewise.graph.sketch import Sketch
from edgewise.plan.anchors import anchors
from edgewise.plan.estimate import OPERATOR_COSTS, RATIO, SCALED, breakdown, latency, roofline, scale_to
from tests.zoo import ZOO

KINDS = """
    conv pointwise stem depthwise grouped product transposed pool resize copy move unary curved binary silu softmax norm reduce
    transpose gelu view
""".split()  # noqa: SIM905


def host(spread: float = 0.1) -> Device:
    """A made-up machine of 10 GMAC/s and 5 GB/s."""
    rates = [OperatorRate("session", ("one",), (5e-6,), spread, 100)]
    for kind in (
        *KINDS,
        "reorder in",
        "reorder out",
        "global pool",
        "vector product",
        "batched product",
        "fused clip",
        "fused curve",
        "fused step",
    ):
        features = ("one", "work", "read", "written", "weights")
        rates.append(OperatorRate(kind, features, (1e-6, 1e-10, 2e-10, 2e-10, 1e-10), spread, 50))
    return Device("this", "made up", kind="host", operators=tuple(rates), block=16)


def quoted(**seconds: float) -> Device:
    runs = tuple(
        Run(model.replace("_", "-"), "ArmNN", "float32", Measurement(s, "s", "quoted", "somebody"))
        for model, s in seconds.items()
    )
    return Device("board", "a board", runs=runs, notes="A board.")


@pytest.mark.parametrize("name", ZOO)
def test_the_interval_holds_the_estimate_and_says_who_made_it(name: str) -> None:
    estimate = latency(graph_of(ZOO[name](size=32, width=16)), host())
    assert estimate.low is not None
    assert estimate.high is not None
    assert 0 < estimate.low < estimate.value < estimate.high
    assert estimate.provenance == "modelled"
    assert estimate.source.split(";")[0] == f"{OPERATOR_COSTS} of this"


@pytest.mark.parametrize("name", ["resnet", "mobilenet", "densenet", "detector"])
def test_no_work_is_free(name: str) -> None:
    small, wide, deep = (latency(graph_of(ZOO[name](**k)), host()).value for k in ({}, {"width": 32}, {"depth": 4}))
    assert wide > small
    assert deep > small


@pytest.mark.parametrize("name", ["plain", "resnet", "unet", "inception"])
def test_parts_take_what_the_whole_takes_and_the_price_of_the_cut(name: str) -> None:
    """A cut costs a run more, and layouts that are changed twice; it never makes two parts cheaper than their whole."""
    graph = graph_of(ZOO[name](size=32, width=16))
    whole = latency(graph, host()).value
    for cut in [c for c in cuts(graph, 2) if c.full][::5]:
        parts = [latency(graph.part(side), host()).value for side in (cut.head, cut.tail)]
        assert sum(parts) >= whole * 0.999
        assert max(parts) < whole * 1.5


def test_unknown_kernels_are_guessed_by_name_and_widen_the_interval() -> None:
    s = Sketch("strange")
    known = graph_of(s.model(x := s.conv(s.input("x", 16, 32, 32), 16)))
    strange = graph_of(s.model(s.node("Det", x)))
    plain, wide = latency(known, host()), latency(strange, host())
    assert wide.source.endswith("guessed: Det")
    assert wide.high / wide.value > plain.high / plain.value  # type: ignore[operator]
    assert breakdown(strange, host())[2] == ("Det",)


def test_a_kernel_in_the_other_layout_is_a_better_guess_than_none() -> None:
    s = Sketch("unaligned")
    graph = graph_of(s.model(s.conv(s.input("x", 18, 32, 32), 18)))
    lone = msgspec.structs.replace(host(), operators=tuple(r for r in host().operators if r.operator != "conv"))
    there, nowhere = latency(graph, host()), latency(graph, lone)
    assert there.source.endswith("guessed: conv plain")
    assert there.high / there.value < nowhere.high / nowhere.value  # type: ignore[operator]


def test_a_profile_without_costs_is_asked_in_vain() -> None:
    with pytest.raises(UnknownFigure, match="no operator costs"):
        latency(graph_of(ZOO["plain"]()), quoted(ResNet_50=0.3))


@pytest.mark.parametrize(
    ("name", "macs", "parameters"),
    [
        ("ResNet-50", 4.1e9, 25.6e6),
        ("MobileNetV1", 0.569e9, 4.23e6),
        ("MobileNetV2", 0.300e9, 3.50e6),
        ("EfficientNet-lite0", 0.407e9, 4.65e6),
    ],
)
def test_anchors_are_the_networks_that_were_published(name: str, macs: float, parameters: float) -> None:
    graph = anchors()[name]
    assert graph.flops / 2 == pytest.approx(macs, rel=0.06)
    assert graph.weight_bytes / 4 == pytest.approx(parameters, rel=0.02)


def test_a_scaled_board_takes_for_its_anchor_what_was_quoted() -> None:
    board = scale_to(host(), quoted(ResNet_50=0.332), anchors())
    estimate = latency(anchors()["ResNet-50"], board)
    assert estimate.value == pytest.approx(0.332)
    assert estimate.source.startswith(SCALED)
    assert estimate.provenance == "modelled"
    assert "ResNet-50 0.332 s" in board.notes
    assert board.block == host().block


def test_anchors_that_disagree_widen_the_interval() -> None:
    """Two anchors: their geometric mean is met, and both quoted figures lie inside the interval."""
    graphs = anchors()
    board = scale_to(host(), quoted(ResNet_50=0.332, MobileNetV2=0.2), graphs)
    own = {name: latency(graphs[name], host()).value for name in ("ResNet-50", "MobileNetV2")}
    ratio = math.sqrt(0.332 / own["ResNet-50"] * 0.2 / own["MobileNetV2"])
    assert latency(graphs["ResNet-50"], board).value == pytest.approx(ratio * own["ResNet-50"])
    for name, seconds in (("ResNet-50", 0.332), ("MobileNetV2", 0.2)):
        estimate = latency(graphs[name], board)
        assert estimate.low <= seconds <= estimate.high  # type: ignore[operator]
    narrow = latency(graphs["ResNet-50"], host())
    wide = latency(graphs["ResNet-50"], board)
    assert wide.high / wide.value > narrow.high / narrow.value  # type: ignore[operator]
    assert next(r for r in board.operators if r.operator == RATIO).n == 2


def test_three_anchors_tell_dense_work_from_the_rest() -> None:
    """A board that is 10 times slower in dense work and 30 times in the rest is found to be so."""
    graphs, slow = anchors(), {}
    for name in ("ResNet-50", "MobileNetV1", "MobileNetV2"):
        parts, _, _ = breakdown(graphs[name], host())
        dense = sum(t for kind, t in parts.items() if kind in ("conv", "pointwise", "stem", "vector product"))
        slow[name.replace("-", "_")] = 10 * dense + 30 * (sum(parts.values()) - dense)
    board = scale_to(host(), quoted(**slow), graphs)
    ratio = next(r for r in board.operators if r.operator == RATIO)
    assert ratio.weights == pytest.approx((10.0, 30.0), rel=1e-6)
    assert ratio.spread == 0.15  # however well they agree
    assert latency(graphs["MobileNetV2"], board).value == pytest.approx(slow["MobileNetV2"])


def test_only_runs_in_float_of_one_runtime_are_anchors() -> None:
    board = quoted(ResNet_50=0.3)
    quick = Run("MobileNetV2", "ArmNN", "int8", Measurement(0.001, "s", "quoted"))
    other = Run("MobileNetV2", "TFLite", "float32", Measurement(0.5, "s", "quoted"))
    mixed = msgspec.structs.replace(board, runs=(*board.runs, quick, other))
    assert scale_to(host(), mixed, anchors()).operators == scale_to(host(), board, anchors()).operators
    assert "TFLite" in scale_to(host(), mixed, anchors(), "TFLite").notes
    with pytest.raises(UnknownFigure, match="no anchor to scale by"):
        scale_to(host(), quoted(BERT_99=1.0), anchors())


def test_the_roofline_is_a_floor_by_hand() -> None:
    s = Sketch("one")
    graph = graph_of(s.model(s.node("MatMul", s.input("x", 16, 32), s.weight(32, 8))))
    flops, moved = 2 * 16 * 32 * 8, 4 * (16 * 32 + 16 * 8 + 32 * 8)
    assert roofline(graph, 1e3, 1e12).value == pytest.approx(flops / 1e3)
    assert roofline(graph, 1e12, 1e3).value == pytest.approx(moved / 1e3)
    assert roofline(graph, 1e9, 1e9).source.startswith("roofline")
    with pytest.raises(UnknownFigure):
        roofline(graph, 0.0, 1e9)
