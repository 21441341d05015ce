"""From records to ways at equal accuracy: what reaches it, what does not, what nobody knows; the target of latency."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench.rates import latency
from bench.rates.boards import ANCHORS
from bench.rates.latency import FILE, Measured
from bench.rates.recipes import reached, recipe
from bench.rates.record import About, Record, keep
from bench.rates.timing import Size, Timed
from edgewise.runtime.timing import Timing

N = 1000


def timed(seconds: float) -> Timed:
    return Timed(Timing(seconds, seconds, seconds, seconds, 1), Size(100, 1.0))


def record(method: str, point: str, accuracy: float, size: float | list[int]) -> Record:
    right = (np.arange(N) < round(accuracy * N)).astype(float)
    return Record(About(method, point), right, np.resize(np.asarray(size, np.int64), N))


def pieces(head: float = 0.0005) -> dict[str, Timed]:
    names = [
        "teacher",
        "local w24",
        *(f"{n} {end}" for n in ("lean", "entropic-narrow", "exit layer2") for end in ("tail", "encode", "decode")),
    ]
    found = {n: timed(0.002) for n in [*names, "entropic head", "entropic-narrow head", "exit layer2 head", *ANCHORS]}
    found |= {f"jpeg {way}": timed(0.0001) for way in ("encode", "decode")}
    return {**found, "lean head": timed(head), "entropic head": timed(0.0025)}


def test_bytes_at_equal_accuracy_lie_between_the_points_around_it() -> None:
    teacher = record("teacher", "device", 0.85, 0)
    found = reached([teacher, record("lean", "b1", 0.84, 400), record("lean", "b3", 0.82, 200)], pieces())
    way = next(w for w in found.ways if w.name == "lean")
    assert way.frame == pytest.approx(np.sqrt(400 * 200)), "83 % is half way, in the logarithm of bytes"
    assert way.accuracy == pytest.approx(0.83)


def test_a_curve_that_is_better_everywhere_counts_with_its_smallest_point() -> None:
    teacher = record("teacher", "device", 0.85, 0)
    found = reached([teacher, record("lean", "b1", 0.849, 400), record("lean", "b3", 0.845, 300)], pieces())
    assert next(w for w in found.ways if w.name == "lean").frame == 300


def test_what_does_not_reach_it_and_what_nobody_knows_is_said() -> None:
    kept = [record("teacher", "device", 0.85, 0), record("jpeg", "q5", 0.7, 600), record("telepathy", "x", 0.9, 1)]
    found = reached([*kept, record("mid", "p", 0.84, 500)], pieces())
    assert found.short == {"jpeg": pytest.approx(0.7)} and set(found.unknown) == {"telepathy", "mid"}
    assert [w.name for w in found.ways] == ["local teacher"]


def test_an_exit_sends_for_the_share_of_pictures_whose_record_has_bytes() -> None:
    kept = [record("teacher", "device", 0.85, 0), record("exits", "layer2-s20", 0.84, [0, 0, 0, 800])]
    (way,) = [w for w in reached(kept, pieces()).ways if w.name == "exits layer2"]
    assert way.crosses == 0.25 and way.frame == 800


def test_names_are_explicit_and_the_slim_head_is_unknown_by_its_own_name() -> None:
    assert recipe("lean-other", "b1") is None and recipe("entropic-paper", "b1").device == "entropic head"  # type: ignore[union-attr]
    kept = [record("teacher", "device", 0.85, 0), record("bottlefit", "3s-kd", 0.84, 500)]
    assert reached(kept, pieces()).unknown == ("bottlefit 3 slim",)


def test_the_progressive_point_is_not_ours_in_the_target_of_latency() -> None:
    kept = [
        record("teacher", "device", 0.85, 0),
        record("lean-progressive", "layers-3", 0.84, 100),
        record("lean", "b1", 0.84, 300),
    ]
    ways = reached(kept, pieces()).ways
    mine = latency.ours(ways)
    assert mine is not None and mine.name == "lean" and "lean-progressive" in {w.name for w in ways}


def test_every_method_of_pictures_is_answered_by_the_whole_teacher() -> None:
    for name in ("jpeg", "webp-shared", "avif-shared-tuned"):
        found = recipe(name, "q5")
        assert found is not None and found.edge == "teacher" and not found.device


@pytest.mark.parametrize(("head", "won"), [(0.0005, True), (0.5, False)])
def test_the_head_must_be_four_times_as_fast_as_the_published_widths(head: float, won: bool, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(msgspec.json.encode(Measured(pieces(head))))
    _, targets, _ = latency.rows(tmp_path)
    assert targets[0].met is won


def test_the_lowest_latency_is_judged_among_all_rows_the_device_alone_included(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(msgspec.json.encode(Measured(pieces())))
    for one in (record("lean", "b1", 0.84, 300), record("jpeg", "q9", 0.84, 1200), record("teacher", "device", 0.85, 0)):
        keep(one, tmp_path)
    rows, targets, figures = latency.rows(tmp_path)
    here = next(t for t in targets if t.name.endswith("this"))
    assert here.met is False and "beaten by local teacher" in here.got and "lowest of what sends at every rate" in here.got
    even = next(r for r in rows if r.case.startswith("this") and "break-even with jpeg" in r.metric)
    assert even.value > 1e6 and figures["delay"].startswith(b"\x89PNG")


def test_without_records_or_times_nothing_is_claimed(tmp_path: Path) -> None:
    rows, targets, _ = latency.rows(tmp_path)
    assert not rows and all(t.met is None for t in targets)
