"""Rows and targets come from records alone: met where they are met, missed with a reason, left out where nothing was run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import split
from bench.rates import compared
from bench.rates.record import About, Record, keep

N = 600
EVEN = (np.arange(N) + 0.5) / N  # a picture is right where the method is better than it is hard


def left(work: Path, method: str, points: dict[float, int], seed: int = 0) -> None:
    for accuracy, size in points.items():
        about = About(method, f"p{size}" if method != "teacher" else "device", seed, epochs={"stage 1": 2})
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
    assert said["seeds"] == [0, 1] and said["epochs"] == {f"p{s}": {"stage 1": 2} for s in (150, 250, 700)}


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
