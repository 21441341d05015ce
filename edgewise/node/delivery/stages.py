"""The judge of a rollout: who tries a release first, and what their health says. Pure.

    any canary broken                     back, on the canaries alone
    every canary watched, all hold        wide
    else                                  it stays where it is, and the sentence says what it waits for

Rules. A canary is *watched* when its health covers the plan's window and enough frames; then the whole guard is judged. Quality
is judged as soon as it is known, because a probe says the same at any moment; latency and failures only over the whole window,
because the first frames of a version are slow. A node that put the release back by itself, or cannot load it, is broken. A figure
that nobody measured is unknown, and unknown never goes wide. A canary that is offline is waited for; once it is away for
`PATIENCE` (or the window, where that is longer) it is passed over, if another one was watched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Literal

from msgspec import Struct

from edgewise.core.rollout import Health, Plan, Step
from edgewise.node.delivery.guard import Verdict, judge

PATIENCE = 600.0  # s
SHOWN = 3  # sentences


class Candidate(Struct, frozen=True):
    """A node that is to try a release: what it last said of it, and for how long it has been away (0: it is online)."""

    node: str
    away: float = 0.0
    step: Step | None = None
    sentence: str = ""
    running: bool = False
    health: Health | None = None


class Outcome(Struct, frozen=True):
    kind: Literal["wait", "broken", "good", "before"]
    sentence: str


def canaries(release: str, nodes: Collection[str], share: float) -> tuple[str, ...]:
    """The nodes that try `release` first: those with the lowest hash of both, so that it is not the same ones each time.

    >>> len(canaries("ab" * 32, [f"cam-{i}" for i in range(20)], 0.1))
    2
    """
    count = min(len(nodes), max(1, int(share * len(nodes) + 0.5)))
    return tuple(sorted(sorted(nodes, key=lambda node: hashlib.sha256(f"{release} {node}".encode()).digest())[:count]))


def watched(plan: Plan, health: Health) -> bool:
    """Whether a health is enough to be judged by the whole guard."""
    return health.seconds >= plan.window and health.frames >= plan.least


def verdict(plan: Plan, health: Health, over: bool = False) -> Verdict:
    """What breaks the guard by now, and, of one that was watched (or whose trial is `over`), what is unknown."""
    if over or watched(plan, health):
        return judge(plan.guard, health)
    return Verdict(judge(tuple(c for c in plan.guard if c.subject == "quality"), health).broken)


def broken(plan: Plan, candidate: Candidate) -> str:
    """Why the release is no good on this node; empty where nothing says so."""
    if candidate.step in ("reverted", "failed"):
        said = "was put back by the node itself" if candidate.step == "reverted" else "cannot be used there"
        return f"{candidate.node}: it {said}: {candidate.sentence}"
    if candidate.health is None or not candidate.running:
        return ""
    found = verdict(plan, candidate.health, candidate.step == "good").broken
    return f"{candidate.node}: {'; '.join(found)}." if found else ""


def outcome(plan: Plan, candidates: Sequence[Candidate]) -> Outcome:
    """What the canaries say together."""
    bad = [sentence for c in candidates if (sentence := broken(plan, c))]
    if bad:
        return Outcome("broken", _some(bad))
    good, waiting, away, before = [], [], [], []
    for candidate in candidates:
        found = _waits(plan, candidate)
        if _had(candidate):
            before.append(candidate.node)
        elif not found:
            good.append(candidate.node)
        elif candidate.away > max(PATIENCE, plan.window):
            away.append(f"{candidate.node} is offline for {candidate.away / 60:.0f} min")
        else:
            waiting.append(found)
    if before and not good and not waiting:
        return Outcome("before", f"In use before on {_names(before)}.")
    if waiting or not good:
        return Outcome("wait", _some([*waiting, *away]) if waiting or away else "There is no node in the channel yet.")
    passed = f"; passed over: {_some(away).rstrip('.')}" if away else ""
    had = f"; in use before on {_names(before)}" if before else ""
    return Outcome("good", f"The guard holds on {_names(good)}{passed}{had}.")


def _had(candidate: Candidate) -> bool:
    """Whether the node had the version in use, proved, when the rollout began: there it is not on trial, and not watched."""
    return candidate.running and candidate.step == "good" and candidate.health is None


def _waits(plan: Plan, candidate: Candidate) -> str:
    """What is missing until this node says that the release is good; empty: nothing."""
    node, health = candidate.node, candidate.health
    over = candidate.step == "good"
    if candidate.running and health is not None and (over or watched(plan, health)):
        unknown = verdict(plan, health, over).unknown
        return f"{node}: {'; '.join(unknown)}" if unknown else ""
    if candidate.away > 0:
        return f"{node} is offline for {candidate.away / 60:.0f} min"
    if not candidate.running or health is None:
        step = f"is at '{candidate.step}'" if candidate.step is not None else "has not begun"
        return f"{node} {step}{f': {candidate.sentence}' if candidate.sentence else ''}"
    frames = f"{health.frames} of {plan.least} frames" if health.frames < plan.least else f"{health.frames} frames"
    return f"{node}: watched for {health.seconds:.0f} of {plan.window:.0f} s, {frames}"


def _some(sentences: list[str]) -> str:
    more = len(sentences) - SHOWN
    return "; ".join(s.rstrip(".") for s in sentences[:SHOWN]) + (f"; and {more} more" if more > 0 else "") + "."


def _names(nodes: list[str]) -> str:
    return ", ".join(nodes[:SHOWN]) + (f" and {len(nodes) - SHOWN} more" if len(nodes) > SHOWN else "")
