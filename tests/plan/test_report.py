"""A whole plan, from files to table, JSON and picture, on a small model and a stand-in for this machine's profile."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from edgewise.core.artifact import Bottleneck, Grid, Picture
from edgewise.core.device import Device, OperatorRate
from edgewise.core.errors import ConfigError, ModelError
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.graph.sketch import Sketch
from edgewise.plan.machines import machines
from edgewise.plan.map import areas, draw_map
from edgewise.plan.report import PlanReport, plan_model
from edgewise.plan.show import hidden, rows, sentences, show_plan
from edgewise.runtime.bundle import PartName, write_bundle

HOST = Device(
    "this",
    "a stand-in",
    kind="host",
    operators=(
        OperatorRate("session", ("one",), (2e-5,), 0.1, 50),
        OperatorRate("conv", ("work",), (4e-11,), 0.1, 50),
        OperatorRate("copy", ("read",), (2e-10,), 0.1, 50),
    ),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    s = Sketch("small")
    x = s.conv(s.input("picture", 3, 224, 224), 32, stride=2)
    for width in (32, 64, 128):
        x = s.pool(s.conv(s.conv(x, width), width))
    file = tmp_path_factory.mktemp("plan") / "small.onnx"
    file.write_bytes(s.model(s.dense(s.flat_mean(x), 10)).SerializeToString())
    return file


@pytest.fixture(scope="module")
def report(model: Path) -> PlanReport:
    return plan_model(model, "pi4", "this", "lte_synthetic", "p95 latency<=500ms, bytes_up<=1MB", host=HOST)


def test_every_way_is_taken_or_told_why_not(report: PlanReport) -> None:
    names = {p.name for p in report.placements}
    assert report.chosen in names
    assert {r.name for r in report.rejected} == names - {report.chosen}
    assert all(r.why for r in report.rejected)
    assert {p.kind for p in report.placements} == {"local", "raw", "image", "split"}


def test_the_chosen_way_fits_and_none_that_fits_is_faster(report: PlanReport) -> None:
    taken = next(p for p in report.placements if p.name == report.chosen)
    assert taken.fits and taken.latency is not None and taken.latency_p95 is not None and taken.latency_p95 <= 0.5
    assert taken.latency == min(p.latency for p in report.placements if p.fits and p.latency is not None)


def test_quality_stays_unknown_and_energy_says_where_it_is_from(report: PlanReport) -> None:
    assert all(p.quality is None and p.provenance == "modelled" for p in report.placements)
    told = " ".join(report.notes)
    assert "Energy of pi4 is modelled" in told and "deepedgebench" in told and "Huang" in told
    assert "Times on pi4 are modelled" in told and "ArmNN" in told
    assert all(p.edge_energy is None for p in report.placements if p.kind == "raw")  # this machine's power was never measured


def test_the_fastest_changes_at_break_even_rates(report: PlanReport) -> None:
    assert (report.fastest[0].low, report.fastest[-1].high) == (0.0, math.inf)
    known = {e.rate for e in report.break_even}
    assert all(any(r == pytest.approx(s.high) for r in known if r is not None) for s in report.fastest[:-1])


def test_the_json_is_plain(report: PlanReport) -> None:
    told = json.loads(msgspec.json.encode(report))
    assert {"placements", "chosen", "rejected", "break_even", "map", "notes"} <= set(told)
    assert all("why" in r for r in told["rejected"])
    assert len(told["map"]["best"]) == len(told["map"]["speeds"])


def test_the_table_is_short_and_begins_with_the_choice(report: PlanReport) -> None:
    table = rows(report, most=6)
    assert len(table) <= 6 and table[0][:2] == ("→", report.chosen)
    assert hidden(report, most=6) == len(report.placements) - len(table)
    assert f"Take {report.chosen}" in sentences(report)[0]
    sink = io.StringIO()
    show_plan(report, Console(file=sink, width=200))
    assert "pi4 → this over lte_synthetic" in sink.getvalue() and "mean uplink" in sink.getvalue()


def test_a_choice_of_unknown_quality_says_so(report: PlanReport) -> None:
    taken = next(p for p in report.placements if p.name == report.chosen)
    said = " ".join(sentences(report))
    assert ("is unknown: measure it" in said) == (not taken.exact)
    assert {p.name for p in report.placements if p.exact} >= {"all local", "all edge, raw picture"}
    lossy = msgspec.structs.replace(report, chosen="all edge, JPEG 30")
    assert "quality of all edge, JPEG 30 is unknown" in " ".join(sentences(lossy))


def test_the_picture_shows_every_area_in_its_colour(report: PlanReport, tmp_path: Path) -> None:
    draw_map(report, tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.size == (1280, 800)
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    largest = len(next(iter(areas(report.map).values()))) / (len(report.map.rates) * len(report.map.speeds))
    first = np.array([0x56, 0xB4, 0xE9])
    assert (np.abs(pixels - first).max(axis=1) < 8).mean() > 0.4 * largest


def test_a_tighter_budget_takes_another_way_or_none(model: Path) -> None:
    lean = plan_model(model, "pi4", "this", "lte_synthetic", "bytes_up<=0", host=HOST)
    assert lean.chosen == "all local"
    none = plan_model(model, "pi4", "this", "lte_synthetic", "latency<=1ms", host=HOST)
    assert none.chosen is None and "nothing fits" in none.why
    assert rows(none)[0][0] == "✗"
    unknown = plan_model(model, "pi4", "this", "lte_synthetic", "quality>=0.5", host=HOST)
    assert unknown.chosen is None and "quality is unknown" in unknown.rejected[0].why


def test_a_device_without_anchors_keeps_its_times_unknown(model: Path) -> None:
    dark = plan_model(model, "xavier_nx", "this", "5", host=HOST)
    by_name = {p.name: p for p in dark.placements}
    assert by_name["all local"].latency is None and by_name["all edge, raw picture"].latency is not None
    assert dark.chosen == "all edge, raw picture"
    assert any("xavier_nx are unknown" in note for note in dark.notes)
    assert any("Energy of xavier_nx is unknown" in note for note in dark.notes)


def test_a_slower_device_takes_longer_alone(model: Path) -> None:
    here, there, _ = machines("pi4", "this", HOST)
    assert (here.slowness or 0.0) > 1.0 == there.slowness
    alone = {
        d: next(p for p in plan_model(model, d, "this", "wired", host=HOST).placements if p.kind == "local")
        for d in ("pi4", "this")
    }
    assert (alone["pi4"].latency or 0.0) > (alone["this"].latency or math.inf)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that answers nothing of use, with the parts and points of one that does."""
    parts: dict[PartName, bytes] = {}
    for name, side, channels in (("head", 64, 3), ("tail", 16, 4), ("local", 32, 3)):
        s = Sketch(name)
        x = s.input("x", channels, side, side)
        y = s.conv(s.conv(x, 16, stride=2), 4, stride=2) if name == "head" else s.conv(x, 8)
        parts[name] = s.model(y).SerializeToString()  # type: ignore[index]
    quality = {
        n: {"all": Quality(q, q - 0.1, q + 0.1, 50)}
        for n, q in (("drop", 0.0), ("local", 0.5), ("split-8", 0.8), ("jpeg-75", 0.85))
    }
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(
        folder,
        name="tiny",
        labels=("car",),
        parts=parts,
        pictures={"head": Picture(64, 64), "local": Picture(32, 32)},
        bottleneck=Bottleneck((4, 16, 16), (0.0,) * 4, (1.0,) * 4),
        decoding=Grid(0.5, 0.5, 0.5, 2, 3),
        points=(
            OperatingPoint("drop", "drop", quality=quality["drop"]),
            OperatingPoint("local", "local", quality=quality["local"]),
            OperatingPoint("split-8", "split", "affine", 8, 900.0, 90.0, quality=quality["split-8"]),
            OperatingPoint("jpeg-75", "image", "jpeg", 75, 40e3, 90.0, quality=quality["jpeg-75"]),
        ),
        provenance={},
    )
    return folder


def test_a_bundle_is_planned_by_the_quality_of_its_operating_points(bundle: Path) -> None:
    rich = plan_model(bundle, "pi4", "this", "wired", host=HOST)
    assert (rich.model, rich.objective, rich.chosen) == ("tiny", "quality", "jpeg-75")
    lean = plan_model(bundle, "pi4", "this", "wired", "bytes_up<=100KB/s", rate=10.0, host=HOST)
    assert lean.chosen == "split-8"  # ten pictures a second would be 400 KB/s
    assert plan_model(bundle, "pi4", "this", "wired", "bytes_up<=100KB/s", host=HOST).chosen == "jpeg-75"
    alone = plan_model(bundle, "pi4", "this", "lora_synthetic", "p95 latency<=2s", host=HOST)
    assert alone.chosen == "local" and alone.map.at(1e9, 1.0) == "jpeg-75"
    split = next(p for p in alone.placements if p.name == "split-8")
    assert split.miss_rate is not None and split.miss_rate > 0.5 and split.device_energy is None  # that radio is unknown


def test_a_model_that_is_none_and_a_budget_that_is_none_are_refused(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(ModelError):
        plan_model(broken, "pi4", "this", host=HOST)
    with pytest.raises(ConfigError, match="budget"):
        plan_model(model, "pi4", "this", "wired", "speed<=3", host=HOST)
    with pytest.raises(ConfigError, match="no such link"):
        plan_model(model, "pi4", "this", "carrier pigeon", host=HOST)
