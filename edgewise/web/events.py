"""Live values for browsers by server-sent events: one Hub, any number of subscribers, none of which can hold the server up.

A subscriber that joins gets a snapshot first, so nothing has to be repeated for one who was away. After that each gets what is
published, at most ten writes a second. An event with a key is a *state*: a newer one replaces the older one that still
waits. An event without is a *fact*: it waits in line, the line is bounded, and a browser too slow for it loses the
oldest, is told how many, and is dropped when it does not read at all for `patience` seconds.

It does not know what the events mean, and it does not authenticate: who may read the page is the server's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

from edgewise.core.errors import ConfigError
from edgewise.web.shell import HEADERS

Payload = Struct | dict[str, Any]
Event = tuple[str, Payload]

_encoder = msgspec.json.Encoder()


def encode(kind: str, payload: Payload) -> bytes:
    """One event as it goes over the wire; JSON holds no raw line break, so a payload cannot end its own event.

    >>> encode("node", {"name": "a\\nb"})
    b'event: node\\ndata: {"name":"a\\\\nb"}\\n\\n'
    """
    if not kind.isidentifier():
        raise ConfigError("the kind of an event is no plain word", got=repr(kind), allowed="letters, digits and _")
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _encoder.encode(payload))


class Subscriber:
    """What waits for one browser, in order: bounded, the oldest is lost first and counted."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.lost = 0
        self.wake = asyncio.Event()
        self._told = 0
        self._waiting: dict[tuple[str, str], bytes] = {}

    def offer(self, slot: tuple[str, str], event: bytes) -> None:
        self._waiting.pop(slot, None)  # so that the newer one also takes its place at the end of the line
        if len(self._waiting) >= self.capacity:
            del self._waiting[next(iter(self._waiting))]
            self.lost += 1
        self._waiting[slot] = event
        self.wake.set()

    def drain(self) -> bytes:
        """Everything that waits, as one write; how much was lost goes first where it has grown."""
        self.wake.clear()
        told = b""
        if self.lost != self._told:
            told, self._told = encode("stream", {"lost": self.lost}), self.lost
        batch = told + b"".join(self._waiting.values())
        self._waiting.clear()
        return batch


def _nothing() -> None:
    return None


class Hub:
    """Publishes events to its subscribers.

    `snapshot` gives what a fresh subscriber must know. `refresh` is called before each write and at least once a second
    while anyone looks, so that costly views are made only when they are read; `stir` says that there is something new.
    """

    def __init__(
        self,
        snapshot: Callable[[], Iterable[Event]],
        refresh: Callable[[], None] = _nothing,
        *,
        interval: float = 0.1,
        capacity: int = 512,
        most: int = 64,
        heartbeat: float = 10.0,
        patience: float = 30.0,
    ) -> None:
        self._snapshot, self._refresh = snapshot, refresh
        self._interval, self._capacity, self._most = interval, capacity, most
        self._heartbeat, self._patience = heartbeat, patience
        self._subscribers: set[Subscriber] = set()
        self._numbers = itertools.count()
        self._closed = False
        self.lost = 0  # events lost by browsers that have left, so that `losses` never shrinks
        self.stalled = 0

    @property
    def watching(self) -> int:
        return len(self._subscribers)

    @property
    def losses(self) -> int:
        """Events that slow browsers have lost, over all of them."""
        return self.lost + sum(s.lost for s in self._subscribers)

    def publish(self, kind: str, payload: Payload, key: str = "") -> None:
        """Give `payload` to everyone who looks; with a `key`, in place of the last one of that kind and key."""
        if not self._subscribers:
            return
        event = encode(kind, payload)
        slot = (kind, key) if key else (kind, f"\n{next(self._numbers)}")
        for subscriber in self._subscribers:
            subscriber.offer(slot, event)

    def stir(self) -> None:
        for subscriber in self._subscribers:
            subscriber.wake.set()

    def close(self) -> None:
        """End every stream; called when the server goes down, which would otherwise wait for its readers."""
        self._closed = True
        self.stir()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for events until the browser leaves or the hub is closed."""
        if self._closed or len(self._subscribers) >= self._most:
            said = "The server is going down." if self._closed else f"{self._most} browsers look already; close one of them."
            return web.Response(status=503, text=said, headers=HEADERS | {"Retry-After": "2"})
        response = web.StreamResponse(headers=HEADERS | {"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        subscriber = Subscriber(self._capacity)
        self._subscribers.add(subscriber)
        first = b"retry: 1000\n\n" + b"".join(encode(kind, payload) for kind, payload in self._snapshot())
        try:
            await self._feed(request, response, subscriber, first)
        except TimeoutError:
            self.stalled += 1
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # the browser left; nothing is owed to it
        finally:
            self._subscribers.discard(subscriber)
            self.lost += subscriber.lost
        return response

    async def _feed(self, request: web.Request, response: web.StreamResponse, subscriber: Subscriber, first: bytes) -> None:
        loop = asyncio.get_running_loop()
        batch, written = first, loop.time()
        while not self._closed and request.transport is not None and not request.transport.is_closing():
            if not batch and loop.time() - written >= self._heartbeat:
                batch = b": alive\n\n"
            if batch:
                async with asyncio.timeout(self._patience):
                    await response.write(batch)
                written = loop.time()
                await asyncio.sleep(self._interval)
            with contextlib.suppress(TimeoutError):  # a second without news: what depends on time is looked at again
                async with asyncio.timeout(1.0):
                    await subscriber.wake.wait()
            self._refresh()
            batch = subscriber.drain()
