"""A rollout in values: what a node says of a version (Report, Health), what must hold of it (Guard), how far it has gone.

The judge is the edge server; a node only measures. Differences are against the version that the same node ran before.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edgewise.core.placement import Quality
from edgewise.core.release import Digest, Name, Number, Time

Stage = Literal["canary", "wide", "done", "paused", "reverted"]
Step = Literal["refused", "fetching", "ready", "trial", "good", "reverted", "failed"]
Subject = Literal["quality", "p95", "failed"]


class Health(Struct, frozen=True, forbid_unknown_fields=True):
    """A version in use for `seconds`: frames, those without an answer in time, p95 of latency (s), and its quality by a probe.

    `quality` and `before` (the version before, on the same probe) are None where the bundle brings no probe.
    """

    seconds: float
    frames: int
    failed: int
    p95: float | None = None
    quality: Quality | None = None
    before: Quality | None = None


class Report(Struct, frozen=True, forbid_unknown_fields=True):
    """What happened to a release on a node: `step`, why (a sentence for a person), and its health where it was in use.

    `running` is the address in use after this step, `sequence` the assignment that asked for it.
    """

    node: Name
    at: Time
    step: Step
    name: Name
    version: Number
    release: Digest
    running: str
    sequence: int = 0
    sentence: Annotated[str, Meta(max_length=500)] = ""
    health: Health | None = None


class Condition(Struct, frozen=True, forbid_unknown_fields=True):
    """One condition: quality is a difference to the version before (0..1, -0.005 is half a point), p95 in s, failed a share."""

    subject: Subject
    above: bool
    limit: float

    def __str__(self) -> str:
        sign = ">" if self.above else "<"
        if self.subject == "p95":
            return f"p95{sign}{self.limit * 1e3:g}ms"
        return f"quality{sign}{self.limit * 100:g}pt" if self.subject == "quality" else f"failed{sign}{self.limit * 100:g}%"


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """How a release is to go out: share of the channel's nodes that try it first, for how long (s), and what must hold."""

    channel: Name
    release: Digest
    canary: Annotated[float, Meta(gt=0, le=1)] = 0.1
    window: Annotated[float, Meta(ge=0, le=1e6)] = 60.0
    guard: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()
    least: Annotated[int, Meta(ge=0)] = 1  # frames that a health needs to be judged
