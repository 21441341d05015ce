"""What a device says of itself to the page is believed under the name on its certificate alone."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import msgspec
import pytest

from edgewise.apps.vision.page import PageState
from edgewise.apps.vision.reports import report_routes
from edgewise.apps.vision.status import NodeStatus
from edgewise.net.identity import client_context, issue, make_authority, server_context
from edgewise.net.listen import Listener, Peer
from edgewise.net.transport import Transport


async def idle(transport: Transport, peer: Peer) -> None:
    await transport.receive()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (msgspec.json.encode(NodeStatus("cam-1", True)), 204),
        (msgspec.json.encode(NodeStatus("cam-2", True)), 403),
        (b'{"node":"cam-1","connected":true,"role":"operator"}', 400),
        (b'{"node":"cam-1","connected":true,"link_rate":"fast"}', 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
    ],
)
async def test_a_device_speaks_of_itself_and_in_its_form_or_is_refused(tmp_path: Path, body: bytes, status: int) -> None:
    make_authority(tmp_path)
    edge, device = issue(tmp_path, "edge", "edge"), issue(tmp_path, "cam-1", "device")
    state = PageState()
    listener = Listener(idle, server_context(edge))
    listener.app.add_routes(report_routes(state, listener.peer))
    port = await listener.start("127.0.0.1")
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client_context(device))) as client,
        client.post(f"https://127.0.0.1:{port}/report/status", data=body) as reply,
    ):
        assert reply.status == status, await reply.text()
        assert status == 204 or len(await reply.text()) > 20
    await listener.close()
    assert set(state.nodes()) <= {"cam-1"}
    assert (status == 204) == ("cam-1" in state.nodes())
