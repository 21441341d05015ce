"""Every way to place a model: bytes that cross are those of the tensors, times add up, what gives the same answers says so."""

from __future__ import annotations

import pytest

from edgewise.core.artifact import Bottleneck, Grid, Manifest, Picture
from edgewise.core.device import Device
from edgewise.core.graph import Graph
from edgewise.core.link import Link
from edgewise.core.measurement import Measurement
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.graph.count import graph_of
from edgewise.graph.cut import cuts
from edgewise.graph.sketch import Sketch
from edgewise.plan import coding
from edgewise.plan.candidates import WHOLE, Candidate, Machine, of_bundle, of_model, picture_of
from edgewise.plan.evaluate import evaluate


def machine(flops_per_second: float) -> Machine:
    def time(graph: Graph) -> Measurement:
        seconds = graph.flops / flops_per_second
        return Measurement(seconds, "s", "modelled", "FLOPs alone", seconds / 2, seconds * 2)

    return Machine(Device("m", "a machine"), time)


@pytest.fixture(scope="module")
def graph() -> Graph:
    s = Sketch("small")
    x = s.conv(s.input("picture", 3, 32, 48), 8, stride=2)
    return graph_of(s.model(s.dense(s.flat_mean(s.add(s.conv(x, 8), x)), 10)))


@pytest.fixture(scope="module")
def found(graph: Graph) -> dict[str, Candidate]:
    return {c.name: c for c in of_model(graph, cuts(graph), machine(1e9), machine(1e10))}


def test_all_ways_are_there(graph: Graph, found: dict[str, Candidate]) -> None:
    assert {"all local", "all edge, raw picture", *(f"all edge, JPEG {q}" for q in coding.JPEG_LEVELS)} <= set(found)
    for cut in cuts(graph):
        assert found[f"cut at {cut.name}, float32"].placement.crossing[0] == cut.bytes
        assert found[f"cut at {cut.name}, uint8"].placement.crossing[0] == cut.bytes / 4
    assert len(found) == 6 + 2 * len(cuts(graph))


def test_the_raw_picture_is_one_byte_a_channel_and_pixel(found: dict[str, Candidate]) -> None:
    assert found["all edge, raw picture"].placement.crossing == (3 * 32 * 48, 40.0)  # ten float32 come back


def test_the_work_of_a_cut_is_that_of_the_whole(graph: Graph, found: dict[str, Candidate]) -> None:
    for cut in cuts(graph):
        head, tail = found[f"cut at {cut.name}, float32"].placement.parts
        assert head.time is not None and tail.time is not None
        assert head.time * 1e9 + tail.time * 1e10 == pytest.approx(graph.flops)
        assert head.time_high == pytest.approx(2 * head.time)


def test_only_what_crosses_exactly_gives_the_same_answers(found: dict[str, Candidate]) -> None:
    alike = {name for name, c in found.items() if c.answer == WHOLE}
    assert alike == {n for n in found if n in ("all local", "all edge, raw picture") or n.endswith("float32")}
    assert all(c.quality is None for c in found.values())  # nobody measured any


def test_a_code_costs_time_and_saves_bytes(graph: Graph, found: dict[str, Candidate]) -> None:
    name = cuts(graph)[0].name
    exact, coded = found[f"cut at {name}, float32"].placement, found[f"cut at {name}, uint8"].placement
    assert coded.crossing[0] == exact.crossing[0] / 4
    for a, b in zip(exact.parts, coded.parts):
        assert a.time is not None and b.time is not None and b.time > a.time


def test_a_machine_without_times_leaves_them_unknown(graph: Graph) -> None:
    dark = Machine(Device("dark", "unknown"), lambda graph: None, None)
    found = {c.name: c for c in of_model(graph, cuts(graph)[:1], dark, machine(1e10))}
    assert found["all local"].placement.parts[0].time is None
    assert found["all edge, JPEG 75"].placement.parts[0].time is None
    assert (
        evaluate(found["all edge, raw picture"].placement, {}, Link("l", 1e6, 1e6)).latency is not None
    )  # the device does nothing


def test_large_answers_are_decoded_before_they_return() -> None:
    s = Sketch("dense")
    whole = graph_of(s.model(s.conv(s.input("picture", 3, 64, 64), 8)))
    found = of_model(whole, (), machine(1e9), machine(1e9), answer_bytes=500.0)
    assert found[1].placement.crossing[1] == 500.0
    assert of_model(whole, (), machine(1e9), machine(1e9), answer_bytes=1e9)[1].placement.crossing[1] == 8 * 64 * 64 * 4


@pytest.mark.parametrize(
    ("shape", "size"), [((3, 32, 48), (48, 32)), ((32, 48, 3), (48, 32)), ((16, 8, 8), None), ((10, 20), None)]
)
def test_pictures_are_known_by_their_shape(shape: tuple[int, ...], size: tuple[int, int] | None) -> None:
    s = Sketch("shape")
    x = s.input("x", *shape)
    model = graph_of(s.model(s.activate(x, "Relu")))
    assert picture_of(model) == size
    assert any(c.name.startswith("all edge, JPEG") for c in of_model(model, (), machine(1e9), machine(1e9))) == (size is not None)


def bundle() -> Manifest:
    quality = {"all": Quality(0.8, 0.7, 0.9, 50)}
    return Manifest(
        "tiny",
        "detection",
        ("car",),
        {},
        {"head": Picture(48, 32), "local": Picture(24, 16)},
        Bottleneck((2, 8, 12), (0.0, 0.0), (1.0, 1.0)),
        Grid(0.5, 0.5, 0.5, 2, 3),
        (
            OperatingPoint("drop", "drop"),
            OperatingPoint("local", "local", quality=quality),
            OperatingPoint("split-8", "split", "affine", 8, 200.0, 90.0, quality=quality),
            OperatingPoint("jpeg-75", "image", "jpeg", 75, 2000.0, 90.0),
        ),
    )


def test_operating_points_keep_their_bytes_and_qualities_and_get_times_of_these_machines(graph: Graph) -> None:
    graphs = {"head": graph, "tail": graph, "local": graph}
    drop, local, split, image = of_bundle(bundle(), graphs, machine(1e9), machine(1e10))
    assert [c.kind for c in (drop, local, split, image)] == ["drop", "local", "split", "image"]
    assert (split.placement.crossing, split.quality, image.quality) == ((224.0, 114.0), 0.8, None), "payloads, and a header each"
    assert image.placement.crossing[0] == 2024.0 and image.placement.crossing[-1] == 114.0
    seconds = [p.time for p in split.placement.parts]
    assert seconds[0] is not None and seconds[0] > graph.flops / 1e9
    on_edge = [p.time for p in image.placement.parts[1:]]
    assert all(t is not None for t in on_edge) and sum(t or 0.0 for t in on_edge) > 2 * graph.flops / 1e10  # head and tail
    whole = of_bundle(bundle(), {**graphs, "full": graph}, machine(1e9), machine(1e10))[3]
    assert len(whole.placement.parts) == 2


def test_more_quality_and_more_pixels_are_more_bytes() -> None:
    sizes = [coding.jpeg_bytes(224, 224, q) for q in range(20, 96, 5)]
    assert sizes == sorted(sizes)
    assert coding.jpeg_bytes(640, 360, 75) > coding.jpeg_bytes(224, 224, 75)
    assert coding.jpeg_bytes(640, 360, 75) < 640 * 360 * 3 / 10
