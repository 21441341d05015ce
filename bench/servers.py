"""The two servers of the wire benchmark, each in a process of its own: a bare aiohttp echo, and ours with a model that is free.

The echo is what anybody would write with aiohttp: a WebSocket over the same TLS that sends each message back. With `reply`
it answers with that many bytes instead, as a server of answers does; that is less work than an echo, so a stricter unit.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

from aiohttp import WSMsgType, web
from msgspec import Struct

from bench import standin
from bench.processes import job, say
from edgewise.core.answer import Answer
from edgewise.data.decoding import answers
from edgewise.net.connect import PATH
from edgewise.net.identity import load_identity, server_context
from edgewise.net.listen import Listener
from edgewise.net.messages import Stream
from edgewise.node.server import EdgeServer
from edgewise.node.store.database import in_memory
from edgewise.node.store.disk import RealDisk
from edgewise.node.store.history import History
from edgewise.node.store.inbox import Inbox
from edgewise.node.tails import Tails

EDGE = "edge"  # the server's name on its certificate
ANSWER = answers(standin.maps(), standin.manifest().decoding, ("vehicle",))[0]


class ServerJob(Struct, frozen=True):
    """`port` 0 is a free one; `reply` is the echo's answer in bytes (None: the whole message); ours decodes `opened` payloads.

    `state` is a folder in which ours keeps watermarks and history; "" for memory alone.
    """

    kind: Literal["echo", "edge"]
    folder: str
    port: int = 0
    reply: int | None = None
    largest: int = 32
    opened: bool = True
    state: str = ""


class Listening(Struct, frozen=True):
    port: int


async def serve(it: ServerJob) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    port, close = await (_echo(it) if it.kind == "echo" else _edge(it))
    say(Listening(port))
    await stop.wait()
    await close()


async def _echo(it: ServerJob) -> tuple[int, Callable[[], Awaitable[object]]]:
    async def handler(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False, max_msg_size=8 << 20)
        await ws.prepare(request)
        async for message in ws:
            if message.type is WSMsgType.BINARY:
                await ws.send_bytes(message.data if it.reply is None else message.data[: it.reply])
        return ws

    app = web.Application()
    app.add_routes([web.get(PATH, handler)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
    await runner.setup()
    context = server_context(load_identity(Path(it.folder), EDGE))
    assert runner.server is not None
    server = await asyncio.get_running_loop().create_server(runner.server, "127.0.0.1", it.port, backlog=1024, ssl=context)
    return int(server.sockets[0].getsockname()[1]), runner.cleanup


class Unopened(Tails):
    """Answers without looking at the payload, so that sessions, queue and socket alone are left."""

    def run(self, frames: Sequence[tuple[Stream, memoryview]]) -> list[Answer | str]:
        return [ANSWER] * len(frames)


async def _edge(it: ServerJob) -> tuple[int, Callable[[], Awaitable[object]]]:
    model = (Tails if it.opened else Unopened)([standin.bundle()])
    database = RealDisk(it.state).connect("edge.db") if it.state else in_memory()
    history = History(database)
    server = EdgeServer(
        model,
        largest=it.largest,
        on_record=lambda record: None,
        inbox=Inbox(database),
        transaction=database.transaction,
        on_rows=(lambda node, rows: history.add(node, rows, time.time())) if it.state else None,
    )
    listener = Listener(server.handle, server_context(load_identity(Path(it.folder), EDGE)))
    await server.start()

    async def close() -> None:
        await listener.close()
        await server.stop()
        database.close()

    return await listener.start("127.0.0.1", it.port), close


if __name__ == "__main__":
    asyncio.run(serve(job(ServerJob)))
