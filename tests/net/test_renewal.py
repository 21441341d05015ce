"""Renewal over real TLS: the same name and role, a new key, also a little after the end, and never for who was taken back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgewise.core.errors import IdentityError, LinkError
from edgewise.net.certificates import DAY, facts, hosts_in
from edgewise.net.connect import connect
from edgewise.net.identity import Identity, issue, load_identity, make_authority, read_certificate, read_key, server_context
from edgewise.net.listen import Listener, Peer
from edgewise.net.renewal import keep, renew, renew_own, renewal_route
from edgewise.net.revocation import Revocations, issued, revoke
from edgewise.net.transport import Transport

NOW = time.time()


async def echo(transport: Transport, peer: Peer) -> None:
    while True:
        await transport.send(await transport.receive())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_authority(tmp_path)
    issue(tmp_path, "edge", "edge")
    return tmp_path


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[str, Listener, list[tuple[str, str]]]]:
    told: list[tuple[str, str]] = []
    tell = lambda kind, sentence: told.append((kind, sentence))  # noqa: E731
    context = server_context(load_identity(folder, "edge"))
    listener = Listener(echo, context, revoked=Revocations(folder), on_refused=tell)
    listener.app.add_routes([renewal_route(folder, listener, on_renewed=lambda n, s: tell("renewed", n), on_refused=tell)])
    port = await listener.start("127.0.0.1")
    try:
        yield f"https://127.0.0.1:{port}", listener, told
    finally:
        await listener.close()


def ended(folder: Path, days: float) -> Identity:
    """A device whose certificate ended so many days ago."""
    return issue(folder, "cam", "device", days=1, now=NOW - (days + 1) * DAY)


@pytest.mark.parametrize("role", ["device", "operator", "federator", "edge"])
async def test_a_node_gets_a_new_key_under_its_own_name_and_role(folder: Path, role: str) -> None:
    hosts = ("edge.example", "192.0.2.7") if role == "edge" else ()
    node = issue(folder, "one", role, hosts, days=10)  # type: ignore[arg-type]
    before, key = read_certificate(node.certificate), read_key(node.key)
    async with serving(folder) as (address, _, told):
        ends = await renew(address, node)
    after = read_certificate(node.certificate)
    assert (facts(after).node, facts(after).role) == ("one", role)
    assert ends == facts(after).ends > facts(before).ends
    assert read_key(node.key).public_key() == after.public_key() != key.public_key()
    assert hosts_in(after) == hosts or role != "edge"
    assert [of.serial for of in issued(folder) if of.node == "one"] == [facts(c).serial for c in (before, after)]
    assert told == [("renewed", "one")]


async def test_who_ended_a_little_ago_may_renew_and_nothing_else(folder: Path) -> None:
    node = ended(folder, 13)
    async with serving(folder) as (address, listener, _):
        with pytest.raises(IdentityError, match=r"expired.*may still be renewed"):
            await connect(f"127.0.0.1:{listener.port}", node)
        await renew(address, node)
        link = await connect(f"127.0.0.1:{listener.port}", node)
        await link.close()


async def test_beyond_the_grace_and_after_a_revocation_there_is_none(folder: Path) -> None:
    node = ended(folder, 15)
    async with serving(folder) as (address, _, told):
        before = node.certificate.read_bytes(), node.key.read_bytes()
        with pytest.raises(IdentityError, match="expired"):
            await renew(address, node)
        node = issue(folder, "cam", "device")
        before = node.certificate.read_bytes(), node.key.read_bytes()
        revoke(folder, "cam", time.time())
        with pytest.raises(IdentityError, match="taken back"):
            await renew(address, node)
        assert (node.certificate.read_bytes(), node.key.read_bytes()) == before
    assert [kind for kind, _ in told] == ["refused expired", "refused revoked"]


async def test_whoever_asks_too_often_waits(folder: Path) -> None:
    node = issue(folder, "cam", "device")
    async with serving(folder) as (address, _, _told):
        for _ in range(4):
            await renew(address, node)
        with pytest.raises(IdentityError, match="too often"):
            await renew(address, node)


async def test_keeping_renews_when_it_is_due_or_wanted_and_goes_on_when_the_server_is_away(folder: Path) -> None:
    node = issue(folder, "cam", "device", days=90, now=NOW - 70 * DAY)  # due
    number = facts(read_certificate(node.certificate)).serial
    with pytest.raises(LinkError):
        await renew("https://127.0.0.1:9", node)
    assert facts(read_certificate(node.certificate)).serial == number
    wanted, renewed = asyncio.Event(), asyncio.Queue[float]()
    async with serving(folder) as (address, _, told):
        task = asyncio.create_task(keep(address, node, renewed.put_nowait, every=0.05, wanted=wanted))
        async with asyncio.timeout(20):
            await renewed.get()
            wanted.set()  # a server said that it has expired, whatever our clock says
            await renewed.get()
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert told == [("renewed", "cam")] * 2  # and not once more: it is not due


def test_a_server_with_its_authority_beside_it_renews_itself(folder: Path) -> None:
    edge = issue(folder, "edge", "edge", ("edge.example",), now=NOW - 70 * DAY)
    assert renew_own(folder, edge, NOW)
    assert not renew_own(folder, edge, NOW)
    after = read_certificate(edge.certificate)
    assert facts(after).ends > NOW + 89 * DAY
    assert hosts_in(after) == ("edge.example",)
