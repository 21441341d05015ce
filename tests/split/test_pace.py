"""Seconds become epochs once, by what steps take; the plan is kept, and a run of other seconds is refused."""

from pathlib import Path

import pytest
from msgspec import Struct

from edgewise.core.errors import ConfigError
from edgewise.split.pace import TRIED, Stage, paced


class Plan(Struct, frozen=True):
    first: float = 10.0
    further: float = 5.0
    tuned: float = 4.0
    batch: int = 10
    tuned_batch: int = 20


STAGES = [Stage("batch", {"first": 1.0, "further": 2.0}), Stage("tuned_batch", {"tuned": 3.0})]


class Bench:
    """A clock, and a run on it whose steps of stage 1 take 2 s and those of stage 2 3 s."""

    def __init__(self) -> None:
        self.now, self.runs = 0.0, 0

    def tried(self, plan: Plan, work: Path, advance: object) -> None:
        self.runs += 1
        work.mkdir(parents=True)
        assert plan.first * 100 / plan.batch == TRIED and plan.tuned * 100 / plan.tuned_batch == TRIED
        for stage, step in (("stage 1", 2.0), ("stage 2", 3.0)):
            for i in range(TRIED):
                self.now += step if i else 50.0  # a first step warms up
                advance(stage, i / TRIED)  # type: ignore[operator]

    def ask(self, work: Path, seconds: float, plan: Plan = Plan()) -> Plan:  # noqa: B008
        return paced(plan, STAGES, seconds, self.tried, 100, work, lambda: self.now)


def test_epochs_take_the_seconds_that_were_given_and_a_second_call_takes_the_same(tmp_path: Path) -> None:
    bench = Bench()
    plan = bench.ask(tmp_path, 760.0)
    taken = (plan.first + 2 * plan.further) * 10 * 2.0 + 3 * plan.tuned * 5 * 3.0
    assert taken == pytest.approx(760.0)
    assert plan.first / plan.tuned == pytest.approx(10 / 4) and plan.first / plan.further == pytest.approx(2)
    assert not (tmp_path / "trial").exists()
    assert bench.ask(tmp_path, 760.0) == plan and bench.runs == 1, "a busier machine changes nothing"


def test_another_run_in_its_folder_is_refused(tmp_path: Path) -> None:
    bench = Bench()
    bench.ask(tmp_path, 760.0)
    for seconds, plan in ((100.0, Plan()), (760.0, Plan(first=3.0))):
        with pytest.raises(ConfigError, match="other seconds, or of another plan"):
            bench.ask(tmp_path, seconds, plan)
