"""A trial, as the device sees it: pure rules for when a version goes back by itself, when it is good, and when to speak.

The server is the judge of quality (`stages.py`). What a device decides alone is only what needs no judge: a version that does
not load, that ends the process again and again, or that leaves most frames without an answer. That holds without a network too.
"""

from __future__ import annotations

from zlib import crc32

from msgspec import Struct

from edgewise.core.rollout import Health


class Bounds(Struct, frozen=True):
    """Bounds of a trial.

    `boots`: starts on trial without a clean end, of which the last goes back. `failed`: share of frames, judged from `frames` on.
    `longest`: s after which a version that a server neither kept nor took back is good, having answered frames.
    `pace`: s between two reports of health, growing to a tenth of the trial's length.
    """

    boots: int = 3
    failed: float = 0.5
    frames: int = 20
    longest: float = 43_200.0
    pace: float = 5.0


BOUNDS = Bounds()


def broken(health: Health, bounds: Bounds) -> str:
    """The sentence for which the device goes back by itself; empty where there is none."""
    if health.frames >= bounds.frames and health.failed / health.frames > bounds.failed:
        return f"{health.failed} of {health.frames} frames failed in the first {health.seconds:.0f} s."
    return ""


def outlived(health: Health, bounds: Bounds) -> bool:
    """Whether nobody spoke against it for long enough."""
    return health.seconds >= bounds.longest and health.frames >= bounds.frames


def speak(health: Health, last: Health | None, bounds: Bounds) -> bool:
    """Whether a health is worth a report: the first, and then ever more rarely, so that a long trial offline stays small."""
    if last is None or health.seconds < last.seconds:
        return health.seconds >= 0
    return health.seconds - last.seconds >= max(bounds.pace, health.seconds / 10)


def patience(node: str, failures: int, longest: float = 300.0) -> float:
    """Seconds until the next try after so many failures in a row: doubled each time, spread over nodes by their names.

    >>> 0.5 <= patience("a", 1) <= 1.5 and patience("a", 30) <= 450
    True
    """
    spread = 0.5 + crc32(f"{node} {failures}".encode()) / 2**32
    return float(min(longest, 2.0 ** min(failures - 1, 20)) * spread)
