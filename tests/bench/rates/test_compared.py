"""Rows and targets come from records alone: met where they are met, missed with a reason, left out where nothing was run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import split
from bench.rates import bottled, compared, entropic, ours
from bench.rates.record import About, Record, keep
from edgewise.core.errors import ConfigError

N = 600
EVEN = (np.arange(N) + 0.5) / N  # a picture is right where the method is better than it is hard


def left(work: Path, method: str, points: dict[float, int], seed: int = 0, epochs: float = 2, more: float | None = None) -> None:
    for accuracy, size in points.items():
        told = {} if more is None else {"exit alone": more}
        about = About(method, f"p{size}" if method != "teacher" else "device", seed, epochs={"stage 1": epochs}, more=told)
        keep(Record(about, (accuracy > EVEN).astype(float), np.full(N, size)), work)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    left(tmp_path, "teacher", {0.85: 0})
    left(tmp_path, "local", {0.81: 0})  # nothing to divide by
    left(tmp_path, "jpeg", {0.79: 800, 0.83: 1600, 0.84: 2400})
    left(tmp_path, "lean", {0.80: 150, 0.83: 250, 0.845: 700})
    return tmp_path


def test_targets_are_met_missed_and_left_out(work: Path) -> None:
    rows, targets, figures = compared.rows(work)
    of = {t.name: t for t in targets}
    jpeg = next(t for n, t in of.items() if "tail as is" in n)
    assert jpeg.met and jpeg.got.startswith("lean -8")  # 250 of 1,600 bytes
    assert next(t for n, t in of.items() if "tuned on WebP" in n).met is None
    frame = {t.name[-11:]: t for t in targets if "whole frame" in t.name}
    at_two = next(t for n, t in of.items() if n.endswith("-2 points"))
    assert at_two.met and at_two.got.startswith("lean 250 B")
    assert of["ours, bytes of a whole frame at teacher -2.5 points"].met is True and len(frame) == 3
    assert of["ours, bytes of a whole frame at teacher -1 points"].met is not None
    assert all(t.met or t.reason for t in targets) and figures[""].startswith(b"\x89PNG")
    cases = {(r.case, r.metric) for r in rows}
    assert ("lean p250", "accuracy") in cases and ("jpeg p800", "bytes of a frame") in cases


def test_seeds_and_epochs_are_said(work: Path) -> None:
    left(work, "lean", {0.82: 250}, seed=1)
    rows, _, _ = compared.rows(work)
    seeds = next(r for r in rows if r.case == "lean p250, 2 seeds" and r.metric == "accuracy")
    assert seeds.n == 2 and round(seeds.value, 1) == 82.5
    said = compared.epochs(work)["lean"]
    assert said["seeds"] == [0, 1] and said["epochs"] == {
        f"p{s}": {"0": {"stage 1": 2}} | ({"1": {"stage 1": 2}} if s == 250 else {}) for s in (150, 250, 700)
    }


def test_seeds_of_other_epochs_are_refused(work: Path) -> None:
    left(work, "lean", {0.82: 250}, seed=1, epochs=1)
    with pytest.raises(ConfigError, match=r"lean p250 have different epochs.*seed 0: stage 1 2; seed 1: stage 1 1"):
        compared.rows(work)


def test_a_seed_climbs_the_ladder_of_the_first_and_leaves_two_points() -> None:
    for module, name in ((ours, "lean"), (entropic, "entropic")):
        first, second = module.jobs(0), module.jobs(1)
        records = {leaf for j in second for leaf in j.leaves if f".{name}." in leaf}
        assert len(records) == 2
        for job in second:
            a, b = job.arguments, next(j for j in first if j.name == job.name[:-1] + "0").arguments
            index = a["index"]
            assert index == b["index"] and a["betas"][: index + 1] == b["betas"][: index + 1]


def test_one_of_ours_counts_whatever_the_other_gives(work: Path) -> None:
    left(work, "lean-task", {0.80: 140, 0.84: 1500})  # dearer than lean where the target asks
    _, targets, _ = compared.rows(work)
    jpeg = next(t for t in targets if "tail as is" in t.name)
    assert jpeg.met is False and jpeg.got.startswith("lean-task") and "; lean -8" in jpeg.got and "epochs: " in jpeg.got


def test_a_point_beyond_our_best_is_no_victory(work: Path) -> None:
    left(work, "bottlefit", {0.81: 900})
    found = next(t for t in compared.rows(work)[1] if "as published" in t.name)
    assert found.met and "over 1 of 1 points" in found.got
    left(work, "bottlefit", {0.85: 9000})
    found = next(t for t in compared.rows(work)[1] if "as published" in t.name)
    assert found.met is False and "over 1 of 2 points" in found.got and "not compared: p9000" in found.reason


def test_targets_are_given_again_without_the_pictures_of_the_trials(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("no trial" in t.name for t in compared.rows(work)[1])  # 600 pictures: all were seen
    monkeypatch.setattr(compared, "TRIALS", 200)
    rows, targets, _ = compared.rows(work)
    unseen = [t for t in targets if "pictures 201 … 600" in t.name]
    assert len(unseen) == 4 and any(r.case.startswith("lean p250, pictures 201") and r.n == 400 for r in rows)


@pytest.mark.parametrize(("alone", "met"), [(0.70, True), (0.84, False), (None, None)])
def test_exits_too_dear_are_their_answer_on_the_device_or_not_compared(work: Path, alone: float | None, met: bool | None) -> None:
    left(work, "jpeg-reference", {0.85: 4000})
    left(work, "bottlefit", {0.83: 300, 0.82: 200})
    left(work, "exits", {0.845: 2000, 0.848: 3000}, more=alone)
    found = next(t for t in bottled.rows(work)[1] if t.name == bottled.NAMES[3])
    assert found.met is met and ("an exit alone, 0 B" in found.got) is (alone is not None)
    assert alone is not None or "no point of 300 B or fewer" in found.reason


def test_a_point_of_bottlefit_is_chosen_on_half_of_the_pictures_and_told_on_the_others(work: Path) -> None:
    left(work, "jpeg-reference", {0.85: 4000})
    even = (np.arange(N) % 2 == 0).astype(float)
    for name, right in (("lucky", even), ("steady", np.ones(N) * 0.8)):
        keep(Record(About("bottlefit", name, parameters=1, epochs={"stage 1": 2}), right, np.full(N, 300)), work)
    found = next(t for t in bottled.rows(work)[1] if t.name == bottled.NAMES[1])
    assert found.met is False and "bottlefit lucky" in found.got and "even" in found.got  # right on none of the odd ones


def test_without_a_teacher_everything_is_left_out(tmp_path: Path) -> None:
    rows, targets, figures = compared.rows(tmp_path)
    assert not rows and not figures and targets and all(t.met is None and t.reason for t in targets)


def test_every_method_has_jobs_of_every_size_that_can_be_told_apart() -> None:
    for size in ("quick", "medium", "full"):
        jobs = split.planned(size)
        names = [j.name for j in jobs]
        assert len(set(names)) == len(names) and all(j.leaves for j in jobs)
        places = [leaf for j in jobs for leaf in j.leaves]
        assert len(set(places)) == len(places)  # no job writes over another's record
        assert all(after in names for j in jobs for after in j.after)


def test_a_quick_run_begins_with_the_pictures_alone(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "old.npz").touch()
    (tmp_path / "train.npz").touch()
    split._afresh(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["train.npz"]
