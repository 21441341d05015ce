"""How things stand: what delivery holds of nodes and rollouts, joined with what the nodes say of themselves, as a Fleet. Pure.

A verdict beside a limit is that of `node.delivery.stages`: quality is judged as soon as it is known, latency and failures once
the window is over; until then a figure holds or breaks *so far*. What a canary measured of a release is kept beside the rollout
by whoever calls (`delivery.py`), since a node that went back speaks of another version.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from edgewise.apps.vision.fleet import Fleet, GuardRow, NodeRow, RolloutRow, Running, Verdict, cleaned, worst
from edgewise.core.release import Release
from edgewise.core.rollout import Condition, Health, Plan
from edgewise.node.delivery.course import Rollout
from edgewise.node.delivery.guard import measured
from edgewise.node.delivery.rollouts import State
from edgewise.node.delivery.roster import ONLINE, Node
from edgewise.node.delivery.stages import watched

Healths = Mapping[str, Health]


class Key(Struct, frozen=True):
    """Which rollout: one of a channel and a model, since it began."""

    channel: str
    model: str
    began: float


def key(rollout: Rollout) -> Key:
    return Key(rollout.plan.channel, rollout.model, rollout.began)


def healths(rollout: Rollout, nodes: Mapping[str, Node]) -> dict[str, Health]:
    """What the canaries say now of the release that is rolled out."""
    found = {}
    for name in rollout.canaries:
        node = nodes.get(name)
        said = node.said.get(rollout.model) if node is not None else None
        fresh = node is not None and said is not None and said.sequence >= node.began.get(rollout.model, 0)
        if said is not None and fresh and said.release == rollout.plan.release and said.health is not None:
            found[name] = said.health
    return found


def fleet(state: State, said: Mapping[str, NodeRow], kept: Mapping[Key, Healths]) -> Fleet:
    """Every node that delivery or the page knows, and every rollout."""
    nodes = {node.node: node for node in state.nodes}
    versions = {release.address: release.version for release in state.releases.values()}
    canaries = {name: r for r in state.rollouts if r.open for name in r.canaries}
    rows = []
    for name in sorted({*nodes, *said}):
        row = said.get(name) or NodeRow(name, "device")
        node = nodes.get(name)
        if node is not None:
            seen = max(state.seen.get(name, 0.0), row.heard or 0.0)
            row = replace(
                row,
                channel=node.channel,
                heard=seen or None,
                connected=row.connected if row.connected is not None else state.at - seen < ONLINE,
                models=_running(node, state.releases, versions, canaries.get(name)),
            )
        rows.append(cleaned(row))
    rollouts = tuple(rollout_row(r, nodes, state.releases, kept.get(key(r), {})) for r in state.rollouts)
    return Fleet(state.at, tuple(rows), rollouts)


def _running(
    node: Node, releases: Mapping[str, Release], versions: Mapping[str, int], rollout: Rollout | None
) -> tuple[Running, ...]:
    found = []
    for model in sorted({*node.said, *node.assigned}):
        said, digest = node.said.get(model), node.assigned.get(model, "")
        release = releases.get(digest)
        fresh = said is not None and said.release == digest and said.sequence >= node.began.get(model, 0)
        running = said.running if said is not None else ""
        found.append(
            Running(
                model=model,
                running=running,
                running_version=versions.get(running),
                wanted=release.address if release is not None else "",
                wanted_version=release.version if release is not None else None,
                step=said.step if said is not None and fresh else None,
                sentence=node.diverged or (said.sentence if said is not None and fresh else ""),
                reported=said.at if said is not None else None,
                canary=rollout is not None and rollout.model == model,
                health=said.health if said is not None and (fresh or not digest) else None,
            )
        )
    return tuple(found)


def rollout_row(rollout: Rollout, nodes: Mapping[str, Node], releases: Mapping[str, Release], kept: Healths) -> RolloutRow:
    plan, release = rollout.plan, releases.get(rollout.plan.release)
    of = [node for node in nodes.values() if node.channel == plan.channel]
    steps: dict[str, int] = {}
    for node in of:
        said = node.said.get(rollout.model)
        if said is not None and said.release == plan.release and said.sequence >= node.began.get(rollout.model, 0):
            steps[said.step] = steps.get(said.step, 0) + 1
    told = {**kept, **healths(rollout, nodes)}
    return RolloutRow(
        key=f"{plan.channel} {rollout.model}",
        channel=plan.channel,
        model=rollout.model,
        version=rollout.version,
        release=plan.release,
        address=release.address if release is not None else "",
        about=release.about if release is not None else "",
        stage=rollout.stage,
        why=rollout.sentence,
        by=rollout.by,
        began=rollout.began,
        canary=plan.canary,
        window=plan.window,
        canaries=rollout.canaries,
        nodes=len(of),
        steps=steps,
        guard=tuple(guard_row(plan, c, told, len(rollout.canaries)) for c in plan.guard),
    )


def guard_row(plan: Plan, condition: Condition, told: Healths, of: int) -> GuardRow:
    """A condition beside the worst figure of the canaries."""
    values = {name: v for name, health in told.items() if (v := measured(condition.subject, health)) is not None}
    node, value = worst(condition.above, values)
    return GuardRow(
        condition=str(condition),
        subject=condition.subject,
        above=condition.above,
        limit=condition.limit,
        value=value,
        node=node,
        verdict=_verdict(plan, condition, value, told.get(node)),
        measured=len(values),
        of=of,
    )


def _verdict(plan: Plan, condition: Condition, value: float | None, health: Health | None) -> Verdict:
    if value is None or health is None:
        return "unknown"
    holds = value > condition.limit if condition.above else value < condition.limit
    if condition.subject == "quality" or watched(plan, health):
        return "holds" if holds else "broken"
    return "holds so far" if holds else "broken so far"
