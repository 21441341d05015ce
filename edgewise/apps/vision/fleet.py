"""What the nodes view and `edgewise nodes` are told: who each node is, what it runs and wants, how it is, and how rollouts stand.

Frozen views made by pure functions from what delivery holds, what the nodes say of themselves and whose certificates were seen.
Every word that comes from a node is cut and freed of control characters here, as in `views.py`. A figure that nobody measured is
None, never 0. It does not know how a guard judges: verdicts come from delivery.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from edgewise.apps.vision.views import NAME, SENTENCE, plain
from edgewise.core.rollout import Health, Stage, Step, Subject
from edgewise.node.delivery.audit import Entry

Verdict = Literal["holds", "broken", "holds so far", "broken so far", "unknown"]


class Running(Struct, frozen=True):
    """A model on a node: the version in use and the wanted one (content addresses; numbers where the release is known here).

    `step` is the last that the node reported of the wanted one, `sentence` why; `health` belongs to the version in use.
    """

    model: str
    running: str = ""
    running_version: int | None = None
    wanted: str = ""
    wanted_version: int | None = None
    step: Step | None = None
    sentence: str = ""
    reported: float | None = None
    canary: bool = False
    health: Health | None = None


class NodeRow(Struct, frozen=True):
    """A node. `expires` is the end of its certificate and `heard` its last word (both s since 1970).

    `frames` and `failed` are counted by the server's books since it started, `p95` (s) is of the last seconds; `outbox` counts
    items that wait on the device.
    """

    node: str
    role: str = ""
    channel: str = ""
    expires: float | None = None
    heard: float | None = None
    connected: bool | None = None
    link_kind: str = ""
    link_rate: float | None = None
    outbox: int | None = None
    outbox_bytes: int | None = None
    budget: str = ""
    frames: int | None = None
    failed: int | None = None
    p95: float | None = None
    quality: float | None = None
    models: tuple[Running, ...] = ()


class GuardRow(Struct, frozen=True):
    """A condition beside what was measured: the worst `value` over the canaries, on `node`; None where none has measured it."""

    condition: str
    subject: Subject
    above: bool
    limit: float
    value: float | None
    node: str
    verdict: Verdict
    measured: int
    of: int


class RolloutRow(Struct, frozen=True):
    """A release on its way over a channel; `key` tells it from others.

    `why` says what it waits for or why it ended; `steps` counts nodes by their step.
    """

    key: str
    channel: str
    model: str
    version: int
    release: str
    address: str
    about: str
    stage: Stage
    why: str
    by: str
    began: float
    canary: float
    window: float
    canaries: tuple[str, ...]
    nodes: int
    steps: dict[str, int]
    guard: tuple[GuardRow, ...]


class ReleaseRow(Struct, frozen=True):
    """A release that the server has: its digest is what a plan names. Where it is for no channel in particular, none is named."""

    name: str
    version: int
    digest: str
    address: str
    issued: float
    expires: float
    floor: int = 1
    channels: tuple[str, ...] = ()
    about: str = ""


class Fleet(Struct, frozen=True):
    """Everything of the nodes view at one moment `at` (s since 1970)."""

    at: float
    nodes: tuple[NodeRow, ...]
    rollouts: tuple[RolloutRow, ...]
    audit: tuple[Entry, ...] = ()


def cleaned(row: NodeRow) -> NodeRow:
    """A node's row fit to be shown."""
    models = tuple(replace(m, model=plain(m.model), sentence=plain(m.sentence, SENTENCE)) for m in row.models)
    return replace(
        row,
        node=plain(row.node),
        role=plain(row.role),
        channel=plain(row.channel),
        link_kind=plain(row.link_kind),
        budget=plain(row.budget, 2 * NAME),
        models=models,
    )


def worst(above: bool, values: dict[str, float]) -> tuple[str, float | None]:
    """The node that is nearest to breaking a condition, and its value.

    >>> worst(False, {"a": 0.08, "b": 0.11})
    ('b', 0.11)
    """
    if not values:
        return "", None
    node = (min if above else max)(values, key=lambda name: values[name])
    return node, values[node]
