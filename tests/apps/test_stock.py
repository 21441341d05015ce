"""What a server looks after by itself goes on when its disk does not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgewise.apps.vision import keys, stock, trust
from edgewise.apps.vision.bundles import find
from edgewise.core.errors import StoreError
from edgewise.net import signing


async def test_a_full_disk_does_not_end_delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.init(tmp_path / "keys")
    monkeypatch.setattr(stock, "EVERY", 0.01)
    it = stock.Stock(tmp_path / "store", tmp_path / "keys")
    looks: list[str] = []

    def tick(now: float) -> None:
        looks.append(it.failing)
        if len(looks) < 4:
            raise StoreError("the disk is full")

    monkeypatch.setattr(it.rollouts, "tick", tick)
    server, tails = SimpleNamespace(notify=lambda node: None), SimpleNamespace(models={}, add=None, drop=None)
    task = asyncio.create_task(it.keep(server, tails))
    async with asyncio.timeout(20):
        while len(looks) < 6 and not task.done():
            await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    it.close()
    assert looks[:6] == ["", *["the disk is full."] * 3, "", ""]


def test_a_server_starts_where_its_own_publisher_is_not_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys.init(tmp_path / "keys")
    other = signing.public(signing.make_key(tmp_path / "other"))
    trust.renew(tmp_path / "keys", time.time(), trust.together([trust.add_publisher("bob", other), trust.need(2)]))
    it = stock.Stock(tmp_path / "store", tmp_path / "keys")
    it.own({"vehicles": find("vehicles")})
    assert not it.rollouts.own(stock.CHANNEL, "vehicles")
    assert "too few signatures" in caplog.text and "--key FILE" in caplog.text
    it.close()
