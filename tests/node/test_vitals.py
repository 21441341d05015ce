"""How a version does: what counts against it, and over which time."""

from __future__ import annotations

from edgewise.core.answer import FrameRecord
from edgewise.node.delivery.trial import BOUNDS, broken
from edgewise.node.vitals import HANG, WINDOW, Vitals


def ended(outcome: str, latency: float = 0.0, reason: str = "", late: bool = False) -> FrameRecord:
    return FrameRecord("n", 0, 0.0, outcome, "local", "p", "", reason, latency, late=late)  # type: ignore[arg-type]


def test_what_has_no_answer_in_time_counts_against_it_but_what_the_policy_left_out_does_not() -> None:
    vitals = Vitals(10.0)
    for record in (
        ended("answered", 0.1),
        ended("answered", 0.3, late=True),
        ended("failed", reason="deadline"),
        ended("dropped", reason="expired"),
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


def test_a_good_version_stays_where_the_camera_is_faster_than_it_or_the_link_breaks() -> None:
    vitals = Vitals(0.0)
    for _ in range(30):
        vitals.add(ended("answered", 0.1))
        for reason in ("connection lost", "not connected"):
            vitals.add(ended("failed", reason=reason))
        for _ in range(5):
            vitals.add(ended("dropped", reason="superseded"))
    health = vitals.health(60.0)
    assert (health.frames, health.failed) == (30, 0)
    assert not broken(health, BOUNDS)


def test_a_version_that_hangs_goes_back_all_the_same() -> None:
    vitals = Vitals(0.0)
    for _ in range(50):
        vitals.add(ended("dropped", reason="superseded"))
    assert not broken(vitals.health(HANG / 2), BOUNDS)
    assert broken(vitals.health(HANG), BOUNDS)
