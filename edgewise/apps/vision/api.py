"""The HTTP API of delivery: files, releases, rollouts, and what there is to know of nodes.

    GET  /files/HASH                     device, edge, operator    a file by its hash, or a range of it (`depot.py`)
    PUT  /files/HASH                     operator                  a file, or a piece of it
    GET  /releases /nodes /audit         operator, edge            JSON: Release rows; a Fleet; entries, newest first (?most=)
    POST /releases                       operator                  a packed envelope; ?channel= for which, &own=yes to begin with
    POST /rollouts                       operator                  JSON of a Plan
    POST /rollouts/CHANNEL/DEED          operator                  pause, resume, revert; ?model= where a channel has several
    POST /nodes/NODE/channel/CHANNEL     operator                  put a node into a channel

It is mounted twice. On the TLS port a certificate says who asks (`peer_of`). On the page's loopback port anybody may read, and
an act needs a bearer token of role operator (`tokens`). In both places an act that a browser sends from another site's page is
refused, since a browser shows a certificate for whoever makes it ask. An act answers with a sentence in plain text, whatever
became of it, and what is refused is in the audit log. It does not know what a rollout is: that is `node.delivery`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from edgewise.apps.vision.delivery import Delivery
from edgewise.core.errors import EdgewiseError, IdentityError, InputError, LinkError, StoreError
from edgewise.core.release import LARGEST_ENVELOPE, Envelope, unpack
from edgewise.core.rollout import Plan
from edgewise.net.listen import Peer
from edgewise.net.tokens import MayBe, Tokens
from edgewise.web.shell import HEADERS

FILE = r"/files/{sha256:[0-9a-f]{64}}"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
FOREIGN = "an act came from another site's page"
OPERATOR = ("operator",)
READERS = ("operator", "edge")
NODES = ("device", "edge", "operator")
LARGEST_PLAN = 16 << 10
MOST_LINES = 1000

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Value = TypeVar("Value")
Read = Callable[[web.Request], Awaitable[Value]]


class PeerOf(Protocol):
    """Who asks, by certificate: `Listener.peer`."""

    def __call__(self, request: web.Request, roles: tuple[str, ...] | None = None) -> Peer: ...


def routes(delivery: Delivery, peer_of: PeerOf | None, tokens: Tokens | None) -> list[web.RouteDef]:
    """The API's addresses, for a port where certificates say who asks (`peer_of`), or one where tokens do (`tokens`)."""

    def who(request: web.Request, roles: tuple[str, ...]) -> str:
        """The name of who asks; IdentityError where that may not be."""
        if peer_of is not None:
            return peer_of(request, roles).node
        if request.method in ("GET", "HEAD"):
            return request.remote or ""
        return _bearer(request, tokens, "operator")

    def reading(roles: tuple[str, ...], handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                who(request, roles)
            except LinkError as error:
                return _refused(error)
            return await handler(request)

        return answer

    def admitted(request: web.Request) -> str:
        """The operator who wants to act; what is refused is written down (what a certificate was refused for, by the port)."""
        try:
            _same_site(request)
            return who(request, OPERATOR)
        except IdentityError as error:
            if peer_of is None or error.what == FOREIGN:
                delivery.refused(request.remote or "", request.path, error)
            raise

    def acting(read: Read[Value], do: Callable[[Value, str], str]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                name = admitted(request)
                try:
                    value = await read(request)
                except InputError as error:
                    delivery.refused(name, request.path, error)
                    raise
                return _text(200, do(value, name))
            except EdgewiseError as error:
                return _refused(error)

        return answer

    async def files(request: web.Request) -> web.StreamResponse:
        try:
            name = who(request, NODES)
        except LinkError as error:
            return _refused(error)
        return await delivery.depot.give(request, name)

    async def put(request: web.Request) -> web.StreamResponse:
        try:
            admitted(request)
        except LinkError as error:
            return _refused(error)
        return await delivery.depot.take(request)

    def publish(value: tuple[Envelope, str, bool], by: str) -> str:
        return delivery.publish(*value, by)

    def act(value: tuple[str, str, str], by: str) -> str:
        return delivery.act(*value, by)

    def move(value: tuple[str, str], by: str) -> str:
        return delivery.move(*value, by)

    async def nodes(request: web.Request) -> web.StreamResponse:
        return _json(delivery.fleet())

    async def releases(request: web.Request) -> web.StreamResponse:
        return _json(delivery.releases())

    async def audit(request: web.Request) -> web.StreamResponse:
        asked = request.query.get("most", "")
        return _json(delivery.audit(min(int(asked), MOST_LINES) if asked.isdecimal() and len(asked) < 9 else 100))

    return [
        web.get(FILE, files),
        web.put(FILE, put),
        web.get("/nodes", reading(READERS, nodes)),
        web.get("/releases", reading(READERS, releases)),
        web.get("/audit", reading(READERS, audit)),
        web.post("/releases", acting(_release, publish)),
        web.post("/rollouts", acting(_plan, delivery.start)),
        web.post(rf"/rollouts/{{channel:{NAME}}}/{{deed:pause|resume|revert}}", acting(_deed, act)),
        web.post(rf"/nodes/{{node:{NAME}}}/channel/{{channel:{NAME}}}", acting(_move, move)),
    ]


async def _release(request: web.Request) -> tuple[Envelope, str, bool]:
    channel, own = request.query.get("channel", ""), request.query.get("own", "") == "yes"
    if (channel or own) and not re.fullmatch(NAME, channel):
        raise InputError("a channel cannot have this name", got=repr(channel[:80]), allowed="letters, digits, dots and dashes")
    return unpack(await _body(request, LARGEST_ENVELOPE)), channel, own


async def _plan(request: web.Request) -> Plan:
    try:
        return msgspec.json.decode(await _body(request, LARGEST_PLAN), type=Plan)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError("this is no plan of a rollout", got=error) from None


async def _deed(request: web.Request) -> tuple[str, str, str]:
    return request.match_info["channel"], request.match_info["deed"], request.query.get("model", "")[:64]


async def _move(request: web.Request) -> tuple[str, str]:
    return request.match_info["node"], request.match_info["channel"]


def _bearer(request: web.Request, tokens: Tokens | None, role: MayBe) -> str:
    shown = request.headers.get("Authorization")
    person = tokens.check(shown) if tokens is not None else None
    if person is None:
        got = "one that is not known, or has ended" if shown else "none"
        raise IdentityError("a token is needed for this", got=got, allowed=f"a bearer token of role {role}")
    if not person.may(role):
        raise IdentityError(f"{person.name} has the wrong role", got=person.role, allowed=role)
    return person.name


def _same_site(request: web.Request) -> None:
    """A page of another site may not make a browser act here; who is no browser says none of this."""
    site, origin = request.headers.get("Sec-Fetch-Site", "none"), request.headers.get("Origin")
    own = f"{request.scheme}://{request.host}"
    if site not in ("none", "same-origin") or (origin is not None and origin != own):
        raise IdentityError(FOREIGN, got=(origin or site)[:100], allowed=own)


async def _body(request: web.Request, most: int) -> bytes:
    """The body of a request, of at most `most` bytes; no more than that is ever held."""
    held = bytearray()
    async for piece in request.content.iter_chunked(64 << 10):
        held += piece
        if len(held) > most:
            raise InputError("a request is too large", got=f"over {most} bytes", allowed=f"{most} bytes")
    return bytes(held)


def _refused(error: EdgewiseError) -> web.Response:
    if isinstance(error, IdentityError):
        status = 401 if error.what.startswith("a token") else 403
    elif isinstance(error, LinkError):
        status = 403
    else:
        status = 422 if isinstance(error, InputError) else 507 if isinstance(error, StoreError) else 409
    return _text(status, str(error))


def _text(status: int, sentence: str) -> web.Response:
    body = (sentence + "\n").encode(errors="replace")  # what a header said need not be text
    headers = HEADERS | {"Cache-Control": "no-store"}
    return web.Response(status=status, body=body, content_type="text/plain", charset="utf-8", headers=headers)


def _json(value: object) -> web.Response:
    response = web.Response(body=msgspec.json.encode(value), content_type="application/json")
    response.headers.update(HEADERS | {"Cache-Control": "no-store"})
    response.enable_compression()
    return response
