"""The rim of delivery on a device: what a process that begins in the middle of a trial does."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from edgewise.apps.vision import updates
from edgewise.core.placement import Quality
from edgewise.core.rollout import Health
from edgewise.node.delivery.slots import Slot


async def test_a_trial_goes_on_with_its_quality_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was measured only when a version came into use: after a restart the guard waited for it for ever."""
    new, old = Slot("eye", 2, "b" * 64, {}), Slot("eye", 1, "a" * 64, {}, proved=True)
    told: list[Health] = []
    updater = SimpleNamespace(
        active=lambda model: new,
        status=SimpleNamespace(standby=(old,)),
        fetches=list,
        rebuild_due=lambda: None,
        swap_due=lambda: None,
        tick=lambda now: None,
        health=lambda health, now, model: told.append(health),
    )
    store = SimpleNamespace(updater=updater, clock=lambda: 0.0, load=lambda slot: slot.address)
    worse, better = Quality(0.7, 0.7, 0.7, 9), Quality(0.8, 0.8, 0.8, 9)
    monkeypatch.setattr(updates, "judged", lambda new, old: Health(0.0, 0, 0, None, worse, better) if old == "a" * 64 else None)
    bundle = SimpleNamespace(manifest=SimpleNamespace(name="eye"))
    it = updates.Updates(store, bundle, None, None, lambda: Health(3.0, 6, 0, 0.05))  # type: ignore[arg-type]
    task = asyncio.create_task(it.run())
    async with asyncio.timeout(20):
        while not told:
            await asyncio.sleep(0.01)
    task.cancel()
    assert told[0] == Health(3.0, 6, 0, 0.05, worse, better)
