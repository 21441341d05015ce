"""The seam under a session: whole messages out and in. Another transport (QUIC, a serial line) is one more file beside this.

Two implementations: an aiohttp WebSocket, the same object on both sides, and a pipe inside one process for tests. Order and
boundaries of messages are kept; `LinkError` says that the other side is gone, and why as far as it told.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import aiohttp
from aiohttp import WSMsgType, web

from edgewise.core.errors import LinkError

NOT_SENT = 16 * 1024
PAUSES = (0.001, 0.01)  # s, the first and the longest between two looks at a wire that is full
CLOSE_SECONDS = 1.0


class Transport(Protocol):
    """Messages of bytes; `send` and `receive` raise LinkError once the other side is gone."""

    async def send(self, data: bytes) -> None: ...

    async def receive(self) -> bytes: ...

    async def close(self) -> None: ...


class WebSocketTransport:
    """A WebSocket of aiohttp, either side.

    `queue` bounds the bytes that wait because the peer does not read: beyond it the connection is cut (`slow` is called)
    instead of keeping the sender. None lets `send` wait, which is right on a device: its own link is what is slow. It waits until
    the kernel has all of it, for what lies in our own buffers is a frame that no newer one can replace (and aiohttp would wait
    beyond 64 KB alone, and TLS keeps as much again below it).
    """

    def __init__(
        self,
        ws: aiohttp.ClientWebSocketResponse | web.WebSocketResponse,
        wire: asyncio.Transport,
        *,
        queue: int | None = None,
        slow: Callable[[], None] | None = None,
        release: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        self._ws, self._wire, self._queue, self._slow, self._release = ws, wire, queue, slow, release
        below = getattr(getattr(wire, "_ssl_protocol", None), "_transport", None)  # what TLS writes to; asyncio shows it nowhere
        self._wires: tuple[asyncio.Transport, ...] = (wire,) if below is None else (wire, below)
        prefer_fresh(wire)
        wire.set_write_buffer_limits(high=NOT_SENT if queue is None else 2 * queue)

    async def send(self, data: bytes) -> None:
        if self._queue is not None and self._wire.get_write_buffer_size() > self._queue:
            self.abort()
            if self._slow is not None:
                self._slow()
            raise LinkError("the peer reads too slowly", got=f"over {self._queue} bytes that wait", hint="It was cut off.")
        try:
            await self._ws.send_bytes(data)
        except (ConnectionError, RuntimeError, aiohttp.ClientError) as error:
            raise LinkError("the link is closed", got=error) from None
        if self._queue is None:
            await self._drained()

    async def _drained(self) -> None:
        pause, longest = PAUSES
        while any(wire.get_write_buffer_size() for wire in self._wires) and not self._wire.is_closing():
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    async def receive(self) -> bytes:
        try:
            message = await self._ws.receive()
        except (ConnectionError, RuntimeError, aiohttp.ClientError) as error:
            raise LinkError("the link is closed", got=error) from None
        if message.type is WSMsgType.BINARY:
            data: bytes = message.data
            return data
        if message.type is WSMsgType.TEXT:
            await self.close()
            raise LinkError("the peer sends text", allowed="binary messages")
        reason = message.extra or message.data or self._ws.exception() or "no reason given"
        raise LinkError("the link is closed", got=f"{reason} (code {self._ws.close_code})")

    def abort(self) -> None:
        """Cut the connection without a word."""
        self._wire.abort()

    async def close(self) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError, aiohttp.ClientError):
            await self._ws.close()
        if self._release is not None:
            await self._release()


class Pipe:
    """One end of an in-process transport; `Pipe.pair()` makes both. `limit` messages wait at most, then `send` waits."""

    def __init__(self, out: asyncio.Queue[bytes | None], into: asyncio.Queue[bytes | None]) -> None:
        self._out, self._into, self._closed = out, into, False

    @staticmethod
    def pair(limit: int = 1024) -> tuple[Pipe, Pipe]:
        one: asyncio.Queue[bytes | None] = asyncio.Queue(limit)
        two: asyncio.Queue[bytes | None] = asyncio.Queue(limit)
        return Pipe(one, two), Pipe(two, one)

    async def send(self, data: bytes) -> None:
        if self._closed:
            raise LinkError("the link is closed")
        await self._out.put(data)

    async def receive(self) -> bytes:
        data = None if self._closed else await self._into.get()
        if data is None:
            self._closed = True
            raise LinkError("the link is closed")
        return data

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            for queue in (self._out, self._into):  # wakes whoever waits on either side
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(None)


def prefer_fresh(wire: asyncio.BaseTransport) -> None:
    """No waiting for full packets, and no hoard of unsent bytes in the kernel, where the platform can."""
    sock = wire.get_extra_info("socket")
    if sock is None:
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT)
