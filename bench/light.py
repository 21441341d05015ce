"""A light device: the least client that can speak WebSocket over TLS, so that in a benchmark the server is the slow side.

aiohttp's own client costs as much a message as its server does; two of them on two cores measure the client. This one writes
masked frames with the mask 0 (the server unmasks them all the same), reads unfragmented frames, and does no more. It is a
tool of the benchmarks: it trusts the server and is no part of the product.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from collections.abc import Callable

_BINARY, _CLOSE, _PING, _PONG = 2, 8, 9, 10


class Light(asyncio.Protocol):
    """One connection; `on_message` is given each binary message, `on_end` is called once when it is over."""

    def __init__(self, host: str, path: str, on_message: Callable[[bytes], None], on_end: Callable[[str], None]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._host, self._path = host, path
        self._on_message, self._on_end = on_message, on_end
        self._buffer = bytearray()
        self._upgraded = self._ended = False
        self._transport: asyncio.Transport | None = None

    def send(self, message: bytes) -> None:
        """One binary message."""
        self._write(_BINARY, message)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET {self._path} HTTP/1.1",
            f"Host: {self._host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        )
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def connection_lost(self, error: Exception | None) -> None:
        self._end(f"connection lost: {error}" if error else "the server closed")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not found:
                return
            status = head.split(b"\r\n", 1)[0]
            if b" 101 " not in status + b" ":
                self._end(f"no WebSocket: {status.decode(errors='replace')}")
                self.close()
                return
            self._upgraded, self._buffer = True, bytearray(rest)
            self.opened.set_result(None)
        self._parse()

    def _parse(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            code, size, start = buffer[at] & 0x0F, buffer[at + 1] & 0x7F, at + 2
            if size >= 126:
                wide = 2 if size == 126 else 8
                if len(buffer) < start + wide:
                    break
                size = int.from_bytes(buffer[start : start + wide], "big")
                start += wide
            if len(buffer) < start + size:
                break
            message, at = bytes(buffer[start : start + size]), start + size
            if code == _BINARY:
                self._on_message(message)
            elif code == _PING:
                self._write(_PONG, message)
            elif code == _CLOSE:
                self.close()
        del buffer[:at]

    def _write(self, code: int, message: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        size = len(message)
        if size < 126:
            head = bytes((0x80 | code, 0x80 | size))
        elif size < 1 << 16:
            head = bytes((0x80 | code, 0x80 | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | code, 0x80 | 127)) + size.to_bytes(8, "big")
        self._transport.write(b"".join((head, bytes(4), message)))

    def _end(self, reason: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(reason))
        if not self._ended:
            self._ended = True
            self._on_end(reason)


async def connect(
    port: int, path: str, context: ssl.SSLContext | None, on_message: Callable[[bytes], None], on_end: Callable[[str], None]
) -> Light:
    """An opened connection to this machine's `port`; ConnectionError where there is no WebSocket."""
    loop = asyncio.get_running_loop()
    host = "localhost"
    _, light = await loop.create_connection(
        lambda: Light(host, path, on_message, on_end),
        "127.0.0.1",
        port,
        ssl=context,
        server_hostname=host if context is not None else None,
    )
    async with asyncio.timeout(10):
        await light.opened
    return light
