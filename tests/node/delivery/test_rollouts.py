"""A release goes over a channel: canaries first, the guard judges, and what is broken goes back by itself."""

from __future__ import annotations

from edgewise.core.rollout import Plan
from edgewise.node.delivery.guard import parse

GUARD = parse("quality>-0.5pt p95<120ms failed<1%")


def plan(site, version=2, **more) -> Plan:
    return Plan("main", site.releases[version].digest, **{"canary": 0.2, "window": 20.0, "guard": GUARD, "least": 10, **more})


def test_a_good_release_goes_wide_and_is_done(world, site) -> None:
    world.rollouts.start(plan(site), "ann", world.now)
    world.run(10)
    assert world.rollout.stage == "canary"
    assert sorted(world.versions().values()) == [1] * 8 + [2] * 2
    assert {n for n, v in world.versions().items() if v == 2} == set(world.rollout.canaries)
    world.run(15)
    assert world.rollout.stage == "done"
    assert set(world.versions().values()) == {2}
    world.run(40)
    assert all(d.updater.running.proved for d in world.devices.values())
    assert world.rollouts.audit.verify() > 5
