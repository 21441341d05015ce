"""A bundle with a filter, a full part and points of the entropy coder: what runs where, and what the coder is charged."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.codec import tables
from edgewise.core.artifact import Bottleneck, Coding, Filter, Manifest, PartFile, Picture, TensorSpec
from edgewise.core.decoding import Classes
from edgewise.core.device import Device
from edgewise.core.graph import Graph
from edgewise.core.measurement import Measurement
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.graph.count import graph_of
from edgewise.graph.sketch import Sketch
from edgewise.plan import coding
from edgewise.plan.candidates import CAMERA, WHOLE, Machine, of_bundle, uncut_here

SHAPE = (4, 8, 10)
PIXELS = CAMERA[0] * CAMERA[1]
POINTS = (
    OperatingPoint("local", "local", quality={"all": Quality(0.7, 0.6, 0.8, 50)}),
    OperatingPoint("all", "split", "rans", 8, 500.0, 90.0),
    OperatingPoint("half", "split", "rans", 4, 200.0, 90.0, quality={"all": Quality(0.9, 0.8, 1.0, 50)}),
    OperatingPoint("affine", "split", "affine", 8, 320.0, 90.0),
    OperatingPoint("jpeg", "image", "jpeg", 75, 9000.0, 90.0),
    OperatingPoint("drop", "drop"),
)


def graph(size: int) -> Graph:
    s = Sketch("some")
    return graph_of(s.model(s.conv(s.input("picture", 3, size, size), 4)))


GRAPHS = {name: graph(8 * (i + 1)) for i, name in enumerate(("filter", "head", "tail", "local", "full"))}


def machine(rate: float, slowness: float) -> Machine:
    return Machine(
        Device("m", "a machine"),
        lambda g: Measurement(g.flops / rate, "s", "modelled", "", g.flops / rate, g.flops / rate),
        slowness,
    )


HERE, THERE = machine(1e8, 3.0), machine(1e9, 1.0)


def part(name: str, inputs: str, shape: tuple[int | None, ...], outputs: tuple[str, ...]) -> PartFile:
    given = tuple(TensorSpec(o, "float32", (None, *SHAPE)) for o in outputs)
    return PartFile(f"{name}.onnx", "0" * 64, 1, (TensorSpec(inputs, "float32", shape),), given)


def code(levels: tuple[int, ...]) -> Coding:
    sent = tuple(i for i, n in enumerate(levels) if n)
    fitted = tables.pack(tables.fit([np.full(levels[i], 3, np.int64) for i in sent]))
    return Coding((0.0,) * 4, tuple(0.1 if n else 0.0 for n in levels), levels, sent, (len(sent),), fitted)


def manifest(filtered: bool = True, local: bool = True) -> Manifest:
    look = (None, 8, 8, 3)
    parts = {"tail": part("tail", "z", (None, *SHAPE), ("y",)), "full": part("full", "picture", look, ("y",))}
    parts["head"] = part("head", "early" if filtered else "picture", (None, *SHAPE) if filtered else look, ("z",))
    if local:
        parts["local"] = part("local", "picture", look, ("y",))
    if filtered:
        parts["filter"] = part("filter", "picture", look, ("present", "early"))
    pictures = {n: Picture(8, 8) for n in parts if n != "tail" and not (n == "head" and filtered)}
    return Manifest(
        name="m",
        task="classification",
        labels=("a",),
        parts=parts,
        pictures=pictures,
        bottleneck=Bottleneck(SHAPE, (0.0,) * 4, (1.0,) * 4),
        decoding=Classes("y"),
        points=tuple(p for p in POINTS if local or p.mode != "local"),
        codings={"all": code((16, 16, 16, 16)), "half": code((16, 0, 0, 16))},
        filter=Filter(0.5, 0.95, 0.9, 100, "a") if filtered else None,
    )


def ways(it: Manifest):  # type: ignore[no-untyped-def]
    return {c.name: c for c in of_bundle(it, {n: GRAPHS[n] for n in it.parts}, HERE, THERE)}


def test_the_filter_runs_first_on_the_device_before_every_point_that_answers() -> None:
    for name, way in ways(manifest()).items():
        parts = way.placement.parts
        assert (parts[0].name == "filter") == (name != "drop")
        assert all(p.site == "device" for p in parts[:1]) and ("filter lets go" in way.note) == (name != "drop")
    assert [p.name for p in ways(manifest())["half"].placement.parts] == ["filter", "head and code", "code and tail"]
    assert [p.name for p in ways(manifest(filtered=False))["half"].placement.parts] == ["head and code", "code and tail"]


def test_bytes_cross_once_each_way_whatever_runs_in_front() -> None:
    for it in (manifest(), manifest(filtered=False)):
        found = ways(it)
        for point in it.points:
            crossing = [size for size in found[point.name].placement.crossing if size]
            assert crossing == [size for size in (point.frame_up, point.frame_down) if size]


def test_a_symbol_that_is_not_sent_is_not_coded() -> None:
    found = ways(manifest(filtered=False))
    values, fit = float(np.prod(SHAPE)), coding.FIT * PIXELS
    for name, sent in (("all", values), ("half", values / 2)):
        encode, decode = coding.rans_seconds(values, sent)
        head, tail = found[name].placement.parts
        assert head.time == pytest.approx(GRAPHS["head"].flops / 1e8 + 3.0 * (fit + encode))
        assert tail.time == pytest.approx(GRAPHS["tail"].flops / 1e9 + decode)
    assert coding.rans_seconds(values, values)[0] > coding.rans_seconds(values, values / 2)[0] > coding.QUANTISE * values


def test_pictures_are_answered_by_the_full_model_where_there_is_one() -> None:
    assert [p.name for p in ways(manifest())["jpeg"].placement.parts] == ["filter", "jpeg", "full"]
    it = manifest()
    graphs = {n: GRAPHS[n] for n in it.parts if n != "full"}
    found = {c.name: c for c in of_bundle(it, graphs, HERE, THERE)}
    assert [p.name for p in found["jpeg"].placement.parts] == ["filter", "jpeg", "filter", "head", "tail"]
    assert [p.site for p in found["jpeg"].placement.parts] == ["device", "device", "edge", "edge", "edge"]


def test_the_uncut_model_stands_for_local_computing_only_where_there_is_no_local_part() -> None:
    it = manifest(local=False)
    graphs = {n: GRAPHS[n] for n in it.parts}
    uncut = uncut_here(it, graphs, HERE)
    assert uncut is not None and uncut.kind == "local" and uncut.answer == WHOLE and uncut.quality == 0.9
    assert [p.name for p in uncut.placement.parts] == ["full"]
    assert uncut_here(manifest(), GRAPHS, HERE) is None
