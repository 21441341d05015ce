"""Has everything come to rest? What devices run beside what they are assigned, trials, rollouts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgewise.node.faults.device import Device
from edgewise.node.faults.publisher import MODEL
from edgewise.node.faults.server import Server


def unrest(server: Server, devices: Sequence[Device]) -> Iterator[str]:
    """A sentence for each thing that has not come to rest."""
    rollouts = server.rollouts
    for rollout in rollouts.rollouts():
        if rollout.stage in ("canary", "wide"):
            yield f"the rollout of version {rollout.version} is still {rollout.stage}: {rollout.sentence}"
    nodes = {node.node: node for node in rollouts.nodes()}
    for device in devices:
        if not device.alive:
            continue
        if not device.agent.session.open:
            yield f"{device.name} has no connection."
        slot = device.updates.updater.running
        if slot is None:
            yield f"{device.name} runs nothing."
            continue
        if device.updates.version.address != slot.address:
            yield f"{device.name} uses version {device.updates.version.number}, and its slot says {slot.version}."
        node = nodes.get(device.name)
        if node is None:
            yield f"the server does not know {device.name}."
            continue
        digest = node.assigned.get(MODEL)
        release = rollouts.release(digest) if digest is not None else None
        if release is not None and release.address != slot.address and digest not in node.refused.get(MODEL, ()):
            yield f"{device.name} runs version {slot.version}, and is assigned {release.version}; {_why(device)}"
        if not slot.proved:
            stage = [r.stage for r in rollouts.rollouts()]
            if "paused" not in stage:
                yield f"version {slot.version} is still on trial on {device.name}."
        if node.diverged:
            yield f"the server believes that {device.name} diverged: {node.diverged}"


def _why(device: Device) -> str:
    status = device.updates.updater.status
    goals = ", ".join(f"{g.release.version} {g.state} {g.sentence}" for g in status.goals)
    return f"its goal is {goals or 'none'} {status.trouble}"
