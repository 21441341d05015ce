"""The best that any policy could do on a link whose future is known: an exact dynamic programme over frames.

State: when the uplink is free again. Of two states after a frame the one that is later and worth less is dropped; what
remains are few. A frame is worth its point's quality if its answer is back before the deadline, else it is better not sent.
It knows the link, sizes and times of the mean frame; it does not know how to split a frame over two, nor to cancel one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from edgewise.core.link import Link
from edgewise.core.placement import OperatingPoint, Quality

State = tuple[float, float, "Trail | None"]


class Trail:
    """The way to a state, newest choice first."""

    __slots__ = ("before", "point")

    def __init__(self, point: str, before: Trail | None) -> None:
        self.point, self.before = point, before


def best(
    captured: Sequence[float], points: Sequence[OperatingPoint], link: Link, deadline: float, quality: dict[str, float]
) -> tuple[list[str], list[float]]:
    """The chosen point of each frame and what it is worth."""
    states: list[State] = [(0.0, 0.0, None)]
    for now in captured:
        following: list[State] = []
        for free, worth, trail in states:
            following.append((free, worth, Trail("drop", trail)))
            for point in points:
                if point.mode == "local":
                    if point.device_time <= deadline:
                        following.append((free, worth + quality[point.name], Trail(point.name, trail)))
                    continue
                sent = link.sent(point.frame_up, max(now + point.device_time, free))
                back = sent + 2 * link.delay + point.edge_time
                if back <= now + deadline:
                    following.append((sent, worth + quality[point.name], Trail(point.name, trail)))
        states = _undominated([(max(free, now), worth, trail) for free, worth, trail in following])
    trail = max(states, key=lambda s: s[1])[2]
    chosen: list[str] = []
    while trail is not None:
        chosen.append(trail.point)
        trail = trail.before
    chosen.reverse()
    return chosen, [quality.get(name, 0.0) for name in chosen]


def _undominated(states: list[State]) -> list[State]:
    kept: list[State] = []
    for state in sorted(states, key=lambda s: (s[0], -s[1])):
        if not kept or state[1] > kept[-1][1] + 1e-12:
            kept.append(state)
    return kept


def switches(chosen: Sequence[str], quality: dict[str, Quality] | None = None) -> float:
    """Share of frames whose point differs from that of the frame before; with `quality`, only where the intervals are apart."""

    def differ(a: str, b: str) -> bool:
        if quality is None or a not in quality or b not in quality:
            return a != b
        return quality[a].low > quality[b].high or quality[b].low > quality[a].high

    return sum(differ(a, b) for a, b in pairwise(chosen)) / max(1, len(chosen) - 1)
