"""What a server looks after by itself goes on when its disk does not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgewise.apps.vision import keys, serve, stock, trust
from edgewise.apps.vision.bundles import find
from edgewise.core.errors import IdentityError, ModelError, StoreError
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


async def test_a_certificate_that_cannot_be_renewed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[object] = [OSError("no space"), IdentityError("torn"), True, False, False]
    loaded: list[object] = []

    def renew(*_: object) -> object:
        found = tries.pop(0) if tries else False
        if isinstance(found, Exception):
            raise found
        return found

    def load(*files: object) -> None:
        loaded.append(files)
        if len(loaded) == 1:
            raise OSError("the file is gone")

    monkeypatch.setattr(serve, "RENEW_EVERY", 0.001)
    monkeypatch.setattr(serve, "renew_own", renew)
    identity, context = SimpleNamespace(certificate="c", key="k"), SimpleNamespace(load_cert_chain=load)
    task = asyncio.create_task(serve._renew(tmp_path, identity, context))
    async with asyncio.timeout(20):
        while tries and not task.done():
            await asyncio.sleep(0.005)
    assert not task.done()
    task.cancel()
    assert loaded == [("c", "k")] * 2


def test_a_trust_that_cannot_be_kept_ends_no_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys.init(tmp_path / "keys")
    now = [time.time()]
    it = stock.Stock(tmp_path / "store", tmp_path / "keys", clock=lambda: now[0])
    it.rollouts.seen("pi-07", now[0])
    file = tmp_path / "keys" / trust.ENVELOPE
    good, told = file.read_bytes(), it._trust
    checked = now[0]
    for break_it in (file.unlink, lambda: file.write_bytes(b"torn")):
        now[0] += 2 * stock.DAY
        break_it()
        checked = it._look(SimpleNamespace(), checked)
        checked = it._look(SimpleNamespace(), checked)
        assert it._trust == told
    assert [r.levelname for r in caplog.records].count("ERROR") == 2  # once each
    file.write_bytes(good)
    now[0] += stock.AGAIN + 1
    assert it._look(SimpleNamespace(), checked) == now[0]
    it.close()


async def test_a_new_node_has_its_session_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.init(tmp_path / "keys")
    it = stock.Stock(tmp_path / "store", tmp_path / "keys")
    handled: list[str] = []

    async def handle(transport: object, peer: SimpleNamespace) -> None:
        assert it.news(peer.node) is None
        handled.append(peer.node)

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        for name in ("seen", "news", "gone"):
            patch.setattr(it.rollouts, name, full)
        await it.handle(SimpleNamespace(handle=handle), None, SimpleNamespace(node="pi-07"))
    assert handled == ["pi-07"]
    assert not it._here
    it.close()


async def test_a_version_whose_files_cannot_be_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.init(tmp_path / "keys")
    monkeypatch.setattr(stock, "EVERY", 0.01)
    it = stock.Stock(tmp_path / "store", tmp_path / "keys")
    release = SimpleNamespace(address="ab" * 32, name="vehicles", version=2)
    bad = SimpleNamespace(address="cd" * 32, name="vehicles", version=3)
    tries: list[int] = []

    def load(of: SimpleNamespace) -> SimpleNamespace:
        tries.append(of.version)
        if of is bad:
            raise ModelError("it is no model")
        if tries.count(2) < 4:
            raise StoreError("the store cannot be reached")
        return of

    monkeypatch.setattr(it, "_load", load)
    monkeypatch.setattr(it.rollouts, "held", lambda: [release, bad])
    models: dict[str, str] = {}
    tails = SimpleNamespace(models=models, add=lambda of: models.update({of.address: of.name}), drop=models.pop)
    task = asyncio.create_task(it.keep(SimpleNamespace(notify=None), tails))
    async with asyncio.timeout(20):
        while not models and not task.done():
            await asyncio.sleep(0.005)
    task.cancel()
    assert list(models) == [release.address]
    assert tries.count(3) == 1  # what is no model will be none tomorrow
    said = [e.sentence for e in it.rollouts.audit.last(10) if e.what == "not loaded"]
    assert sum("the store cannot be reached. Tried again in" in s for s in said) == 3
    it.close()
