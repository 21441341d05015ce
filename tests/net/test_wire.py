"""What a frame weighs on a socket is what a socket really carried: TLS over TCP on loopback, with a relay that counts."""

import asyncio
from pathlib import Path

from edgewise.apps.vision.split_wire import Relay
from edgewise.core.wire import FRAME_HEADER, socket_bytes, websocket_header
from edgewise.net.connect import connect
from edgewise.net.frame import HEADER_SIZE, Header, Kind, encode
from edgewise.net.identity import issue, make_authority, server_context
from edgewise.net.listen import Listener
from edgewise.net.transport import Transport

SIZES = (0, 1, 100, 101, 102, 3_000, 16_351, 16_352, 16_360, 16_361, 20_000, 32_744, 32_745, 65_511, 65_512, 200_000)


def test_the_arithmetic_is_what_a_socket_carried(tmp_path: Path) -> None:
    """Around every border: 125 and 65,535 bytes of a WebSocket message, 16 KiB of a write and of a TLS record."""
    carried = asyncio.run(_carried(tmp_path))
    assert carried == {size: socket_bytes(size) for size in SIZES}


def test_a_frame_weighs_more_than_its_payload_and_its_header() -> None:
    assert HEADER_SIZE == FRAME_HEADER
    for size in SIZES:
        assert socket_bytes(size) > size + HEADER_SIZE + websocket_header(size + HEADER_SIZE)
    assert [socket_bytes(size) for size in SIZES] == sorted(socket_bytes(size) for size in SIZES)


async def _carried(keys: Path) -> dict[int, int]:
    make_authority(keys)
    edge, device = issue(keys, "edge", "edge"), issue(keys, "scales", "device")
    came: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(transport: Transport, *_: object) -> None:
        while True:
            came.put_nowait(await transport.receive())

    listener = Listener(handle, server_context(edge))
    relay = Relay(await listener.start("127.0.0.1"))
    await relay.start()
    transport = await connect(f"127.0.0.1:{relay.port}", device)
    found = {}
    try:
        async with asyncio.timeout(20):
            for number, size in enumerate(SIZES):
                before, message = relay.up, encode(Header(Kind.DATA, number, 1), bytes(size))
                await transport.send(message)
                assert await came.get() == message
                found[size] = relay.up - before
    finally:
        await transport.close()
        await relay.close()
        await listener.close()
    return found
