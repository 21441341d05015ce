"""An operator's way to an edge server: uploads that go on where they broke off, acts, and what there is to read.

Who asks is said by the operator's certificate; the server is believed where its own is of the same authority. What the server
refuses comes back as its sentence. It does not know how a release is made (`publish.py`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar

import aiohttp
import msgspec

from edgewise.apps.vision.depot import PARTIAL
from edgewise.apps.vision.fleet import Fleet, ReleaseRow
from edgewise.core.errors import ConfigError, EdgewiseError, IdentityError, LinkError
from edgewise.core.release import Envelope, pack
from edgewise.core.rollout import Plan
from edgewise.net.identity import Identity, client_context
from edgewise.node.delivery.audit import Entry
from edgewise.node.delivery.files import path as file_path

PORT = 8765
TRIES = 6  # of one upload
WAIT = 0.5  # s before the second try, doubled each time
PIECE = 64 << 10
LARGEST_ANSWER = 64 << 20
Kind = TypeVar("Kind")
Progress = Callable[[int], None]


class Operator:
    """Connections to the server at `host[:port]`, as the operator of `identity`."""

    def __init__(self, server: str, identity: Identity) -> None:
        self.address = address(server)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=client_context(identity), limit=4),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=30.0),
        )

    async def __aenter__(self) -> Operator:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._session.close()

    async def fleet(self) -> Fleet:
        return await self._read("/nodes", Fleet)

    async def releases(self) -> tuple[ReleaseRow, ...]:
        return await self._read("/releases", tuple[ReleaseRow, ...])

    async def audit(self, most: int) -> tuple[Entry, ...]:
        """The newest entries, newest first."""
        return await self._read(f"/audit?most={most}", tuple[Entry, ...])

    async def publish(self, envelope: Envelope, channel: str, own: bool = False) -> str:
        """`own`: the nodes of the channel came with this version."""
        return await self._act("/releases", pack(envelope), {"channel": channel, **({"own": "yes"} if own else {})})

    async def start(self, plan: Plan) -> str:
        return await self._act("/rollouts", msgspec.json.encode(plan))

    async def act(self, channel: str, deed: str, model: str = "") -> str:
        """`deed` is pause, resume or revert; the server's sentence."""
        return await self._act(f"/rollouts/{channel}/{deed}", query={"model": model})

    async def move(self, node: str, channel: str) -> str:
        return await self._act(f"/nodes/{node}/channel/{channel}")

    async def upload(self, data: bytes, progress: Progress = lambda n: None) -> int:
        """Bring a file to the server, going on where a try broke off; how many bytes were sent (0: it was there)."""
        sha, sent = hashlib.sha256(data).hexdigest(), 0
        for attempt in range(TRIES):
            try:
                at = await self._held(sha)
                if at is None:
                    return sent
                status, sentence = await self._put(sha, data, at, progress)
                sent += len(data) - at
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if attempt == TRIES - 1 or isinstance(error, aiohttp.ClientSSLError):
                    raise self._told(error) from None
            else:
                if status in (200, 201):
                    return sent
                if status not in (202, 409, 503):
                    raise refusal(status, sentence)
            await asyncio.sleep(WAIT * 2**attempt)
        raise LinkError(f"an upload to {self.address} does not come to its end", got=f"{TRIES} tries", hint="Try again later.")

    async def _held(self, sha: str) -> int | None:
        """How much of a file the server has; None where it has all of it."""
        async with self._session.head(self.address + file_path(sha)) as response:
            if response.status == 200:
                return None
            if response.status != 404 or PARTIAL not in response.headers:
                raise refusal(response.status, "")
            return int(response.headers[PARTIAL])

    async def _put(self, sha: str, data: bytes, at: int, progress: Progress) -> tuple[int, str]:
        async def pieces() -> AsyncIterator[bytes]:
            for start in range(at, len(data), PIECE):
                yield data[start : start + PIECE]
                progress(min(PIECE, len(data) - start))

        at = min(at, len(data) - 1)
        headers = {"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}", "Content-Length": str(len(data) - at)}
        async with self._session.put(self.address + file_path(sha), data=pieces(), headers=headers) as response:
            return response.status, await _text(response)

    async def _read(self, path: str, kind: type[Kind]) -> Kind:
        try:
            async with self._session.get(self.address + path) as response:
                body = await response.content.read(LARGEST_ANSWER)
                if response.status != 200:
                    raise refusal(response.status, body.decode(errors="replace")[:1000])
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._told(error) from None
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            hint = "Is the server of the same version?"
            raise LinkError(f"{self.address} gave what cannot be read", got=error, hint=hint) from None

    async def _act(self, path: str, body: bytes = b"", query: Mapping[str, str] | None = None) -> str:
        try:
            async with self._session.post(self.address + path, data=body, params=query) as response:
                sentence = await _text(response)
                if response.status >= 300:
                    raise refusal(response.status, sentence)
                return sentence
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._told(error) from None

    def _told(self, error: Exception) -> LinkError:
        got = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return IdentityError(f"{self.address} is not to be trusted", got=got, allowed="a server of our authority")
        if isinstance(error, aiohttp.ClientConnectorError):
            hint = "Is the server running, and the address right? Say --server HOST:PORT."
            return LinkError(f"{self.address} cannot be reached", got=got, hint=hint)
        if isinstance(error, aiohttp.ServerDisconnectedError):
            hint = "Perhaps it does not accept this certificate: is it of the server's authority?"
            return LinkError(f"{self.address} ended the connection", got="no answer", hint=hint)
        return LinkError(f"{self.address} could not be asked", got=got, hint="Try again.")


def address(server: str) -> str:
    """The URL of `host[:port]`.

    >>> address("edge.example")
    'https://edge.example:8765'
    """
    host, colon, port = server.rpartition(":") if server.count(":") == 1 or server.startswith("[") else (server, "", "")
    if server.startswith("[") and server.endswith("]"):
        host, colon, port = server, "", ""
    sound = host and not set(host) & set("/@?# ") and (not colon or (port.isdecimal() and 0 < int(port) < 65536))
    if not sound or (":" in host and not host.startswith("[")):
        raise ConfigError("an address of a server cannot be used", got=server, allowed="HOST or HOST:PORT")
    return f"https://{host}:{port or PORT}"


def refusal(status: int, sentence: str) -> EdgewiseError:
    """What a server said no with."""
    kind = IdentityError if status in (401, 403) else LinkError
    return kind(f"the server refused it: {sentence.strip() or f'HTTP status {status}'}")


async def _text(response: Any) -> str:
    body = await response.content.read(4096)
    return str(body.decode(errors="replace")).strip()
