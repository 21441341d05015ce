"""The server's side of `reporter`: statuses and previews of devices, believed only under the name on their certificate."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from aiohttp import web

from edgewise.apps.vision.page import PageState
from edgewise.apps.vision.status import NodeStatus
from edgewise.core.errors import ImageError, LinkError
from edgewise.net.certificates import facts_of_peer
from edgewise.net.listen import Peer


def report_routes(state: PageState, peer_of: Callable[[web.Request], Peer]) -> list[web.RouteDef]:
    """POST `/report/status` (JSON of a NodeStatus) and `/report/preview/{frame}` (a JPEG, 1 MiB at most): 204, or a sentence."""

    async def status(request: web.Request) -> web.Response:
        peer = _peer(request, peer_of)
        try:
            given = msgspec.json.decode(await request.read(), type=NodeStatus)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise web.HTTPBadRequest(text=f"this is no status: {error}.") from None
        if given.node != peer.node:
            raise web.HTTPForbidden(text=f"a status of {given.node[:64]!r} cannot come from {peer.node!r}.")
        state.node(given)
        if certificate := request.get_extra_info("peercert"):
            state.certified(peer.node, peer.role, facts_of_peer(certificate).ends)
        return web.Response(status=204)

    async def preview(request: web.Request) -> web.Response:
        peer = _peer(request, peer_of)
        body = await request.read()
        try:
            state.preview(peer.node, body, int(request.match_info["frame"]))
        except ImageError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return web.Response(status=204)

    return [web.post("/report/status", status), web.post(r"/report/preview/{frame:\d{1,10}}", preview)]


def _peer(request: web.Request, peer_of: Callable[[web.Request], Peer]) -> Peer:
    try:
        return peer_of(request)
    except LinkError as error:
        raise web.HTTPForbidden(text=str(error)) from None
