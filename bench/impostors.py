"""The impostors of `forged.py`: certificates at a server's door, and servers before a device (what they ask for: `claims.py`).

All over real TLS on loopback, each with a door of its own. An attempt raises what the one who was refused, or who refused, says.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.forged import Case, Entry
from edgewise.core.errors import IdentityError, LinkError
from edgewise.net.certificates import DAY, facts, sign_node, subject
from edgewise.net.connect import REFUSED, connect
from edgewise.net.identity import (
    Identity,
    client_context,
    issue,
    load_identity,
    make_authority,
    read_certificate,
    read_pair,
    server_context,
)
from edgewise.net.listen import Listener, Peer
from edgewise.net.renewal import renewal_route
from edgewise.net.revocation import Revocations, revoke
from edgewise.net.tokens import Tokens, make_token, revoke_token
from edgewise.net.transport import Transport

Tell = Callable[[str, str], None]
Try = Callable[["World", str, Tell], Awaitable[None]]


class World:
    """Our site, and a stranger's that has nodes of the same names."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.theirs, now = folder / "ours", folder / "theirs", time.time()
        for site in (self.ours, self.theirs):
            make_authority(site)
            issue(site, "edge", "edge")
            issue(site, "cam", "device")
        for role in ("operator", "federator", "edge"):
            issue(self.ours, f"an-{role}", role)  # type: ignore[arg-type]
        issue(self.ours, "cam-2", "device")
        issue(self.ours, "late", "device", days=1, now=now - 3 * DAY)
        issue(self.ours, "ended", "device", days=1, now=now - 30 * DAY)
        issue(self.ours, "old-edge", "edge", days=1, now=now - 3 * DAY)
        for name, role in (("stolen", "device"), ("lost-edge", "edge")):
            issue(self.ours, name, role)  # type: ignore[arg-type]
            revoke(self.ours, name, now)
        self.tokens = {name: make_token(self.ours, name, "operator", now) for name in ("anna", "away")}
        self.tokens |= {
            "eve": make_token(self.ours, "eve", "viewer", now),
            "theirs": make_token(self.theirs, "anna", "operator", now),
        }
        self.tokens |= {"past": make_token(self.ours, "past", "operator", now - 2 * DAY, days=1)}
        revoke_token(self.ours, "away")

    def who(self, name: str, site: Path | None = None) -> Identity:
        return load_identity(site or self.ours, name)

    def mixed(self, name: str) -> Identity:
        """A stranger's certificate, with our authority's to believe our server by."""
        theirs = self.who(name, self.theirs)
        return Identity(theirs.node, theirs.role, theirs.certificate, theirs.key, self.ours / "authority.pem")


def impostors(folder: Path) -> list[Case]:
    """Every impostor; `folder` holds the certificates of both sites, which are made when the first is tried."""
    from bench.claims import REQUESTS, TOKENS

    made: list[World] = []

    def world() -> World:
        if not made:
            made.append(World(folder))
        return made[0]

    groups = {"certificates": DOOR, "servers": SERVERS, "requests": REQUESTS, "tokens": TOKENS}
    return [_case(f"{group}: {name}", attempt, world) for group, table in groups.items() for name, attempt in table.items()]


def _case(name: str, attempt: Try, world: Callable[[], World]) -> Case:
    audit: list[Entry] = []

    async def run() -> None:
        site, tell = world(), lambda kind, sentence: audit.append((kind, sentence))
        async with _door(site, tell) as address:
            await attempt(site, address, tell)

    return Case(name, lambda: asyncio.run(run()), audit)


@contextlib.asynccontextmanager
async def _door(world: World, tell: Tell) -> AsyncIterator[str]:
    """Our server with all its ways in: devices, operators, renewal, and people by token."""
    tokens = Tokens(world.ours, on_refused=tell)

    async def echo(transport: Transport, peer: Peer) -> None:
        await transport.send(await transport.receive())

    async def operators(request: web.Request) -> web.Response:
        try:
            return web.Response(text=listener.peer(request, roles=("operator",)).node)
        except LinkError as error:
            raise web.HTTPForbidden(text=str(error)) from None

    async def persons(request: web.Request) -> web.Response:
        try:
            return web.Response(text=tokens.need(request.headers.get("Authorization"), "operator").name)
        except IdentityError as error:
            raise web.HTTPUnauthorized(text=str(error)) from None

    context = server_context(world.who("edge"), required=False)
    listener = Listener(echo, context, revoked=Revocations(world.ours), on_refused=tell)
    listener.app.add_routes([web.post("/rollouts", operators), web.post("/people", persons)])
    listener.app.add_routes([renewal_route(world.ours, listener, on_refused=tell)])
    port = await listener.start("127.0.0.1")
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await listener.close()


# Certificates at the door


def _knocks(name: str, mixed: bool = False) -> Try:
    """A device's WebSocket with the certificate of `name`."""

    async def attempt(world: World, address: str, tell: Tell) -> None:
        await (await connect(address, world.mixed(name) if mixed else world.who(name))).close()

    return attempt


def _posts(name: str, path: str) -> Try:
    async def attempt(world: World, address: str, tell: Tell) -> None:
        await post(f"https://{address}{path}", client_context(world.who(name)))

    return attempt


async def _bare(world: World, address: str, tell: Tell) -> None:
    await post(f"https://{address}/rollouts", ssl.create_default_context(cafile=str(world.ours / "authority.pem")))


async def _bare_device(world: World, address: str, tell: Tell) -> None:
    context = ssl.create_default_context(cafile=str(world.ours / "authority.pem"))
    await post(f"https://{address}/link", context, method="GET")


async def _self_signed(world: World, address: str, tell: Tell) -> None:
    """A certificate that its own key signed, with the name and role of a device of ours."""
    key, folder = ec.generate_private_key(ec.SECP256R1()), world.ours
    name, now = subject("cam", "device"), read_certificate(folder / "cam.pem")
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    made = made.not_valid_before(now.not_valid_before_utc).not_valid_after(now.not_valid_after_utc)
    await _shows(world, address, made.sign(key, hashes.SHA256()), key)


async def _signed_by_a_device(world: World, address: str, tell: Tell) -> None:
    """A certificate that a device's key signed, as if a device were an authority."""
    device, device_key = read_pair(world.ours, "cam")
    key = ec.generate_private_key(ec.SECP256R1())
    made = sign_node(device, device_key, "anna", "operator", key.public_key(), (), 9, time.time())
    await _shows(world, address, made, key, chain=device)


async def _shows(
    world: World, address: str, made: x509.Certificate, key: ec.EllipticCurvePrivateKey, chain: x509.Certificate | None = None
) -> None:
    path = world.ours.parent / f"{made.serial_number:x}.pem"
    pem = made.public_bytes(Encoding.PEM) + (chain.public_bytes(Encoding.PEM) if chain else b"")
    path.write_bytes(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    await (await connect(address, Identity("cam", "device", path, path, world.ours / "authority.pem"))).close()


async def _old_tls(world: World, address: str, tell: Tell) -> None:
    context = client_context(world.who("cam"))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    await post(f"https://{address}/rollouts", context)


async def _no_tls(world: World, address: str, tell: Tell) -> None:
    await post(f"http://{address}/rollouts", None)


DOOR: dict[str, Try] = {
    "none, as a device": _bare_device,
    "none, as an operator": _bare,
    "another authority's, with the name of a device of ours": _knocks("cam", mixed=True),
    "another authority's edge": _knocks("edge", mixed=True),
    "one that signed itself": _self_signed,
    "one that a device signed": _signed_by_a_device,
    "an edge's on the devices' door": _knocks("an-edge"),
    "an operator's on the devices' door": _knocks("an-operator"),
    "a federator's on the devices' door": _knocks("an-federator"),
    "a device's on the operators' door": _posts("cam", "/rollouts"),
    "a federator's on the operators' door": _posts("an-federator", "/rollouts"),
    "an edge's on the operators' door": _posts("an-edge", "/rollouts"),
    "one that ended two days ago": _knocks("late"),
    "one that ended two days ago, on the operators' door": _posts("late", "/rollouts"),
    "one that ended beyond the grace": _knocks("ended"),
    "one that was taken back": _knocks("stolen"),
    "one that was taken back, on the operators' door": _posts("stolen", "/rollouts"),
    "a good one over TLS 1.2": _old_tls,
    "no TLS at all": _no_tls,
}


# Servers before a device


def _serves(name: str, site: str = "ours") -> Try:
    """A device of ours comes to a server that shows the certificate of `name`."""

    async def attempt(world: World, address: str, tell: Tell) -> None:
        async def greet(request: web.Request) -> web.Response:
            return web.Response(text="welcome")

        gone = {facts(read_certificate(world.ours / "lost-edge.pem")).serial}
        app = web.Application()
        app.add_routes([web.post("/rollouts", greet)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await (
            place := web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(world.who(name, getattr(world, site))))
        ).start()
        port = place._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        try:
            context = client_context(world.who("cam"), revoked=lambda: gone, on_refused=tell)
            await post(f"https://127.0.0.1:{port}/rollouts", context)
        finally:
            await runner.cleanup()

    return attempt


SERVERS: dict[str, Try] = {
    "another authority's": _serves("edge", site="theirs"),
    "a device that serves": _serves("cam-2"),
    "an operator that serves": _serves("an-operator"),
    "one that has ended": _serves("old-edge"),
    "one that was taken back": _serves("lost-edge"),
}


async def post(
    url: str, context: ssl.SSLContext | None, data: bytes = b"", headers: dict[str, str] | None = None, method: str = "POST"
) -> None:
    """Ask; return where it was answered with success, and raise what was said otherwise."""
    connector = aiohttp.TCPConnector(ssl=context if context is not None else True, force_close=True)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as client,
            client.request(method, url, data=data, headers=headers or {}) as reply,
        ):
            if reply.status >= 300:
                said = await reply.text() or reply.headers.get(REFUSED) or f"HTTP status {reply.status}"
                raise IdentityError("it was refused", got=said.rstrip("."))
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise IdentityError("the connection was refused", got=str(error) or type(error).__name__) from None
