"""A device's way to its server: one WebSocket over TLS, and how long to wait before the next try.

What went wrong comes back as a LinkError, or an IdentityError where it was a certificate. With TLS 1.3 a server refuses a
client's certificate only after the client believes the handshake done, and asyncio's servers close without sending the alert
that says so. So a connection that dies at once is opened again, in silence: a server that waits for a request is content
with the certificate, one that hangs up is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp

from edgewise.core.errors import ConfigError, IdentityError, LinkError
from edgewise.net.identity import Identity, client_context
from edgewise.net.transport import CLOSE_SECONDS, WebSocketTransport

PATH = "/link"
REFUSED = "Edgewise-Refused"  # header of an HTTP answer that holds the sentence
_HINT = "Ask the one who runs the server for a certificate of its authority."


def backoff(attempt: int, uniform: Callable[[float, float], float], *, first: float = 0.05, cap: float = 0.8) -> float:
    """Seconds to wait before try number `attempt`: none before 0, then full jitter below a doubling bound.

    `uniform` is that of a random generator. The cap keeps a device within 1 s of a server that listens again, and the
    jitter spreads 200 of them over most of it.

    >>> backoff(0, lambda low, high: high), backoff(2, lambda low, high: high), backoff(99, lambda low, high: high)
    (0.0, 0.1, 0.8)
    """
    return 0.0 if attempt <= 0 else uniform(0.0, min(cap, first * 2.0 ** min(attempt - 1, 30)))


def url(address: str, secure: bool) -> str:
    """The WebSocket's URL of `host:port`, `host:port/path` or a whole wss:// (ws:// without an identity) URL.

    >>> url("10.0.0.1:8443", secure=True)
    'wss://10.0.0.1:8443/link'
    """
    scheme = "wss" if secure else "ws"
    try:
        parts = urlsplit(address if "://" in address else f"{scheme}://{address}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        host, port, parts = None, None, urlsplit("")
        address = f"{address} ({error})"
    if not host or port is None or parts.scheme not in ("ws", "wss") or (parts.scheme == "wss") != secure:
        raise ConfigError("an address of a server cannot be used", got=address, allowed=f"host:port or {scheme}://host:port/path")
    return f"{parts.scheme}://{parts.netloc}{parts.path if parts.path not in ('', '/') else PATH}"


async def connect(
    address: str,
    identity: Identity | None,
    *,
    tls: Callable[[Identity], ssl.SSLContext] = client_context,
    max_message: int = 2 << 20,
    timeout: float = 5.0,
) -> WebSocketTransport:
    """A transport to the server at `address`; without an `identity` a plain one, for tests and links that are secure below.

    `tls` makes the context, anew for each connection: the certificate may have been renewed meanwhile.
    """
    target = url(address, identity is not None)
    context = tls(identity) if identity is not None else None
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context if context is not None else True, limit=1, force_close=True),
        timeout=aiohttp.ClientTimeout(total=timeout),
    )
    try:
        async with asyncio.timeout(timeout):
            ws = await session.ws_connect(
                target, max_msg_size=max_message, compress=0, timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS)
            )
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        await session.close()
        raise _sentence(target, error) or await _ask(target, context, timeout) or _unreachable(target, error) from None
    except BaseException:
        await session.close()
        raise
    wire = ws._response.connection.transport if ws._response.connection else None  # aiohttp shows it nowhere else
    if wire is None:
        await session.close()
        raise LinkError(f"{target} closed the link at once")
    return WebSocketTransport(ws, wire, release=session.close)


def _sentence(target: str, error: BaseException) -> LinkError | None:
    """What the error says by itself, or None where it only says that the connection died."""
    if isinstance(error, aiohttp.WSServerHandshakeError):
        said = error.headers.get(REFUSED) if error.headers else None
        kind = IdentityError if error.status in (401, 403) else LinkError
        return kind(f"{target} refused the link", got=said or f"HTTP status {error.status}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner = error.certificate_error
        got = getattr(inner, "verify_message", "") or inner
        return IdentityError(
            f"the certificate of {target} is not to be trusted", got=got, allowed="one of our authority", hint=_HINT
        )
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, aiohttp.ClientError):  # which wraps one
            return _alert(target, cause)
        cause = getattr(cause, "os_error", None) or cause.__cause__
    return None


def _alert(target: str, error: ssl.SSLError) -> LinkError | None:
    reason = error.reason or str(error)
    if "CERTIFICATE_REQUIRED" in reason:
        return IdentityError(f"{target} refused us", got="no certificate", allowed="one of its authority", hint=_HINT)
    if any(
        word in reason
        for word in ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "CERTIFICATE_EXPIRED", "DECRYPT_ERROR")
    ):
        got = f"a certificate that it does not accept ({reason.lower().replace('_', ' ')})"
        return IdentityError(f"{target} refused us", got=got, allowed="one of its authority", hint=_HINT)
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason or "HTTP_REQUEST" in reason:
        return LinkError(f"{target} does not speak TLS", got=reason)
    return None


def _unreachable(target: str, error: BaseException) -> LinkError:
    got = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return LinkError(f"{target} cannot be reached", got=got, hint="Is the server running, and the address right?")


async def _ask(target: str, context: ssl.SSLContext | None, timeout: float) -> LinkError | None:
    """Open a connection, say nothing, and see whether the server ends it."""
    if context is None:
        return None
    parts = urlsplit(target)
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(min(timeout, 1.0)):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)
            if await reader.read(1) == b"":
                got = "our certificate, without a word"
                return IdentityError(f"{target} refused us", got=got, allowed="one of its authority", hint=_HINT)
    except ssl.SSLError as error:
        return _alert(target, error)
    except (OSError, TimeoutError):
        return None
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await writer.wait_closed()
    return None
