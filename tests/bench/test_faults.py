"""The benchmark of faults: an interrupted run goes on, and its parts say what they measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import faults, harness
from edgewise.node.faults.report import Outcome


def test_a_run_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []

    def run(seeds: range, processes: int) -> list[Outcome]:
        if len(ran) >= 4:
            raise KeyboardInterrupt
        ran.extend(seeds)
        return [Outcome(seed, (), "", 0) for seed in seeds]

    monkeypatch.setattr(faults, "CHUNK", 2)
    monkeypatch.setattr(faults, "outcomes", run)
    with pytest.raises(KeyboardInterrupt):
        faults._run(6, tmp_path)
    monkeypatch.setattr(faults, "outcomes", lambda seeds, processes: [Outcome(seed, (), "", 0) for seed in seeds])
    found, now = faults._run(6, tmp_path)
    assert [o.seed for o in found] == list(range(6)) and now == 2


def test_the_harness_knows_it_and_its_option() -> None:
    assert "faults" in harness.names()
    with pytest.raises(harness.ConfigError, match="fuzzes nothing"):
        harness.measure("main_job", harness.benchmark("main_job"), quick=True, fuzzing=True)


def test_the_table_of_forged_things_is_a_target_that_is_met() -> None:
    rows, (target,) = faults._forged(quick=True)
    assert target.met and {r.metric: r.value for r in rows}["got in"] == 0
