"""How a version does: what counts against it, and over which time."""

from __future__ import annotations

from edgewise.core.answer import FrameRecord
from edgewise.node.vitals import WINDOW, Vitals


def ended(outcome: str, latency: float = 0.0, reason: str = "", late: bool = False) -> FrameRecord:
    return FrameRecord("n", 0, 0.0, outcome, "local", "p", "", reason, latency, late=late)  # type: ignore[arg-type]


def test_what_has_no_answer_in_time_counts_against_it_but_what_the_policy_left_out_does_not() -> None:
    vitals = Vitals(10.0)
    for record in (
        ended("answered", 0.1),
        ended("answered", 0.3, late=True),
        ended("failed", reason="deadline"),
        ended("dropped", reason="superseded"),
        ended("dropped", reason="policy"),
    ):
        vitals.add(record)
    health = vitals.health(15.0)
    assert (health.seconds, health.frames, health.failed) == (5.0, 4, 3)


def test_the_p95_is_that_of_the_last_frames() -> None:
    vitals = Vitals(0.0)
    assert vitals.health(0.0).p95 is None
    for i in range(100):
        vitals.add(ended("answered", i / 100))
    assert vitals.health(1.0).p95 == 0.94
    for _ in range(WINDOW):
        vitals.add(ended("answered", 0.01))
    assert vitals.health(2.0).p95 == 0.01
