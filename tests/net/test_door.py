"""Real sockets on loopback: who is let in, who is refused with which sentence, and what happens to those who misbehave."""

from __future__ import annotations

import asyncio
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from edgewise.core.errors import ConfigError, IdentityError, LinkError
from edgewise.net.connect import backoff, connect, url
from edgewise.net.identity import Identity, issue, load_identity, make_authority, server_context
from edgewise.net.listen import Listener, Peer
from edgewise.net.transport import Pipe, Transport


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ours")
    make_authority(folder)
    return folder


@pytest.fixture(scope="module")
def edge(folder: Path) -> Identity:
    return issue(folder, "edge-1", "edge")


@pytest.fixture(scope="module")
def device(folder: Path) -> Identity:
    return issue(folder, "cam-1", "device")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Identity, Identity]:
    folder = tmp_path_factory.mktemp("theirs")
    make_authority(folder)
    return issue(folder, "cam-1", "device"), issue(folder, "edge-1", "edge")


async def echo(transport: Transport, peer: Peer) -> None:
    while True:
        await transport.send(await transport.receive())


@asynccontextmanager
async def listening(identity: Identity | None, handler: object = echo, **options: object) -> AsyncIterator[Listener]:
    required = bool(options.pop("required", True))
    context = server_context(identity, required=required) if identity else None
    listener = Listener(handler, context, **options)  # type: ignore[arg-type]
    await listener.start("127.0.0.1", int(options.pop("port", 0)))  # type: ignore[call-overload]
    try:
        yield listener
    finally:
        await listener.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def test_both_certificates_are_accepted_and_the_peer_is_known(edge: Identity, device: Identity) -> None:
    peers: list[Peer] = []

    async def handler(transport: Transport, peer: Peer) -> None:
        peers.append(peer)
        await echo(transport, peer)

    async with listening(edge, handler) as listener:
        for host in ("127.0.0.1", "localhost"):
            transport = await connect(f"{host}:{listener.port}", device)
            for message in (b"", b"x", bytes(300_000)):
                await transport.send(message)
                assert await transport.receive() == message
            await transport.close()
    assert {(p.node, p.role) for p in peers} == {("cam-1", "device")}
    assert listener.counts["accepted"] == 2


async def test_the_wire_carries_tls_without_compression_nor_delay(edge: Identity, device: Identity) -> None:
    import socket

    async with listening(edge) as listener:
        transport = await connect(f"127.0.0.1:{listener.port}", device)
        sock = transport._wire.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert transport._wire.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert transport._ws.compress == 0
        await transport.close()


async def test_another_authority_is_refused_on_either_side(
    edge: Identity, device: Identity, stranger: tuple[Identity, Identity]
) -> None:
    their_device, their_edge = stranger
    mixed = Identity("cam-1", "device", their_device.certificate, their_device.key, edge.authority)
    async with listening(edge) as listener:
        for _ in range(3):
            with pytest.raises(IdentityError, match=r"refused us.*authority"):
                await connect(f"127.0.0.1:{listener.port}", mixed)
        assert listener.counts["tls: certificate refused"] >= 3
        transport = await connect(f"127.0.0.1:{listener.port}", device)  # nobody else is disturbed
        await transport.close()
    async with listening(their_edge) as listener:
        with pytest.raises(IdentityError, match="not to be trusted"):
            await connect(f"127.0.0.1:{listener.port}", device)


@pytest.mark.parametrize("required", [True, False])
async def test_no_certificate_is_refused(edge: Identity, device: Identity, required: bool) -> None:
    def bare(identity: Identity) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(identity.authority))

    async with listening(edge, required=required) as listener:
        for _ in range(3):
            with pytest.raises(IdentityError, match="authority" if required else "no certificate"):
                await connect(f"127.0.0.1:{listener.port}", device, tls=bare)
        assert listener.counts["tls: no certificate" if required else "refused identity"] >= 3


async def test_an_edge_certificate_is_no_device(edge: Identity) -> None:
    async with listening(edge) as listener:
        with pytest.raises(IdentityError, match="wrong role"):
            await connect(f"127.0.0.1:{listener.port}", edge)


async def test_a_server_without_tls_or_without_listening_is_a_link_error(device: Identity) -> None:
    async with listening(None) as listener:
        with pytest.raises(LinkError):
            await connect(f"127.0.0.1:{listener.port}", device)
        port = listener.port
        transport = await connect(f"127.0.0.1:{port}", None)
        await transport.send(b"plain")
        assert await transport.receive() == b"plain"
        await transport.close()
    with pytest.raises(LinkError, match="cannot be reached"):
        await connect(f"127.0.0.1:{port}", device)


async def test_a_page_shares_the_port_with_the_devices_door(edge: Identity, device: Identity) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="fine")

    async with listening(edge, required=False, routes=[web.get("/healthz", page)]) as listener:
        context = ssl.create_default_context(cafile=str(edge.authority))
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"https://localhost:{listener.port}/healthz", ssl=context) as reply,
        ):
            assert await reply.text() == "fine"
        transport = await connect(f"localhost:{listener.port}", device)
        await transport.close()


async def test_a_slow_reader_is_cut_with_a_reason_and_others_are_served(edge: Identity, device: Identity) -> None:
    reasons: list[str] = []

    async def flood(transport: Transport, peer: Peer) -> None:
        if await transport.receive() == b"flood":
            try:
                while True:
                    await transport.send(bytes(50_000))
                    await asyncio.sleep(0)
            except LinkError as error:
                reasons.append(str(error))
                raise
        await transport.send(b"served")

    async with listening(edge, flood, queue=200_000) as listener:
        slow = await connect(f"127.0.0.1:{listener.port}", device)
        slow._wire.pause_reading()
        await slow.send(b"flood")
        await until(lambda: listener.counts["slow readers"] == 1)
        assert "too slowly" in reasons[0]
        other = await connect(f"127.0.0.1:{listener.port}", device)
        await other.send(b"?")
        assert await other.receive() == b"served"
        await other.close()
        await slow.close()


async def test_an_oversized_message_and_text_end_that_connection_alone(edge: Identity, device: Identity) -> None:
    async with listening(edge, max_message=1000) as listener:
        good, large, text = [await connect(f"127.0.0.1:{listener.port}", device) for _ in range(3)]
        await large.send(bytes(5000))
        with pytest.raises(LinkError, match="1009"):
            await large.receive()
        await text._ws.send_str("hello")
        with pytest.raises(LinkError):
            await text.receive()
        await good.send(b"still here")
        assert await good.receive() == b"still here"
        for transport in (good, large, text):
            await transport.close()
        await until(lambda: listener.connections == 0)


async def test_connections_are_bounded_and_a_failing_handler_is_counted(edge: Identity, device: Identity) -> None:
    async def fragile(transport: Transport, peer: Peer) -> None:
        await transport.receive()
        raise ZeroDivisionError

    async with listening(edge, fragile, max_connections=1) as listener:
        first = await connect(f"127.0.0.1:{listener.port}", device)
        with pytest.raises(LinkError, match="takes no more"):
            await connect(f"127.0.0.1:{listener.port}", device)
        await first.send(b"break")
        with pytest.raises(LinkError):
            await first.receive()
        await first.close()
        await until(lambda: listener.counts["handler errors"] == 1 and listener.connections == 0)
        again = await connect(f"127.0.0.1:{listener.port}", device)
        await again.close()


async def test_a_port_that_is_taken_is_a_sentence(edge: Identity) -> None:
    async with listening(edge) as listener:
        with pytest.raises(LinkError, match="cannot listen"):
            await Listener(echo, server_context(edge)).start("127.0.0.1", listener.port)


async def test_a_pipe_keeps_order_and_closes_for_both() -> None:
    one, two = Pipe.pair()
    for i in range(5):
        await one.send(bytes([i]))
    assert [await two.receive() for _ in range(5)] == [bytes([i]) for i in range(5)]
    waiting = asyncio.create_task(two.receive())
    await asyncio.sleep(0)
    await one.close()
    with pytest.raises(LinkError):
        await waiting
    with pytest.raises(LinkError):
        await two.send(b"x")


def test_keys_are_private_and_identities_load_again(folder: Path, edge: Identity, device: Identity, tmp_path: Path) -> None:
    for key in folder.glob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert load_identity(folder, "cam-1") == device
    with pytest.raises(IdentityError, match="cannot be read"):
        load_identity(folder, "cam-9")
    for bad in ("", "../x", "authority", "a b", "x" * 65):
        with pytest.raises(IdentityError, match="name"):
            issue(folder, bad, "device")
    make_authority(tmp_path)
    issue(tmp_path, "old", "device", days=-0.01)
    assert load_identity(tmp_path, "old").node == "old"  # the clock may be wrong: who is asked will say
    (tmp_path / "old.pem").write_bytes(edge.certificate.read_bytes())
    with pytest.raises(IdentityError, match="does not belong"):
        load_identity(tmp_path, "old")


def test_back_off_begins_at_once_and_never_waits_a_second() -> None:
    longest = [backoff(n, lambda low, high: high) for n in range(2000)]
    assert longest[0] == 0.0
    assert longest == sorted(longest)
    assert max(longest) <= 0.8
    assert backoff(5, lambda low, high: low) == 0.0


@pytest.mark.parametrize("address", ["", "host", "http://h:1", "ws://h:1", "h:99999", "h:x", "[::1:5"])
def test_an_address_that_cannot_be_used_is_a_sentence(address: str) -> None:
    with pytest.raises(ConfigError, match="address"):
        url(address, secure=True)
