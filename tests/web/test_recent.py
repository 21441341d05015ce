"""Rates of a window: right for a steady camera, blind to how records are batched, and zero in silence."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.answer import FrameRecord
from edgewise.core.placement import Mode
from edgewise.web.recent import DROPPED, FAILED, KEPT, MOST_PARTS, SHOWN, SILENCE, Recent, figures


def frame(at: float, mode: Mode = "split", **changed: object) -> FrameRecord:
    known = {"latency": 0.05, "bytes_up": 4000, "energy": 0.04, "deadline": 0.1}
    return FrameRecord("n", 0, at, "answered", mode, "p", "w", **(known | changed))  # type: ignore[arg-type]


@given(st.integers(2, 200), st.sampled_from([1.0, 5.0, 10.0, 25.0]), st.floats(0, 1e6))
def test_a_steady_camera_has_its_rate(n: int, rate: float, start: float) -> None:
    recent = Recent()
    for i in range(n):
        recent.add(frame(start + i / rate))
    now = figures(recent.frames)
    assert now.frames_second == pytest.approx(rate, rel=0.05)
    assert now.bytes_second == pytest.approx(4000 * now.frames_second)
    assert now.power == pytest.approx(0.04 * now.frames_second)
    assert now.bytes_frame == 4000


def test_silence_ends_the_rates_but_not_what_was_seen() -> None:
    recent = Recent()
    for i in range(50):
        recent.add(frame(i / 10))
    now = figures(recent.frames, silent=SILENCE)
    assert (now.frames_second, now.bytes_second, now.power) == (0, 0, 0)
    assert now.latency_p50 == 0.05


def test_latency_is_of_answers_alone() -> None:
    recent = Recent()
    recent.add(frame(0.0, latency=0.03))
    recent.add(FrameRecord("n", 1, 0.1, "dropped", "split", "p", "w", latency=9.0))
    recent.add(FrameRecord("n", 2, 0.2, "failed", "split", "p", "w"))
    now = figures(recent.frames)
    assert now.latency_p50 == now.latency_p95 == 0.03
    assert [fate for _, fate in recent.strip()] == [2, DROPPED, FAILED]


def test_the_window_is_bounded_and_a_new_boot_begins_a_new_one() -> None:
    recent = Recent()
    for i in range(3 * KEPT):
        recent.add(frame(1000 + i / 10))
    assert len(recent.frames) == KEPT
    assert len(recent.strip()) == SHOWN
    recent.add(frame(3.0))
    assert len(recent.frames) == 1
    recent.add(frame(math.nan))
    assert len(recent.frames) == 1


def test_steps_are_those_of_the_present_mode_and_few() -> None:
    recent = Recent()
    recent.add(frame(0.0, "local", parts={"local": 0.06}))
    recent.add(frame(0.1, parts={"head": 0.02, "link": 0.01}))
    recent.add(frame(0.2, parts={"head": 0.04, "link": 0.03, "bad": math.nan}))
    assert figures(recent.frames).parts == pytest.approx({"head": 0.03, "link": 0.02})
    recent.add(frame(0.3, parts={f"step {i}": 0.001 for i in range(1000)}))
    assert len(figures(recent.frames).parts) <= MOST_PARTS


def test_nothing_seen_is_nothing_known() -> None:
    now = figures([])
    assert now.latency_p50 is now.bytes_frame is now.energy_frame is now.late_share is None
