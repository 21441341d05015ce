"""Limits by address on a real server: who guesses is not listened to, nobody else is disturbed, and memory is bounded."""

from __future__ import annotations

from collections import Counter

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from edgewise.net.allowance import Allowance, Allowances
from edgewise.net.limits import limits, network


class Door:
    """A server that lets `right` in, under a clock of ours; `get` gives the status."""

    def __init__(self, requests: Allowances, failures: Allowances) -> None:
        self.now, self.told = 0.0, Counter[str]()

        async def page(request: web.Request) -> web.Response:
            if request.headers.get("Authorization") != "right":
                raise web.HTTPUnauthorized
            return web.Response()

        middleware = limits(requests, failures, lambda: self.now, lambda kind, sentence: self.told.update([kind]))
        self.app = web.Application(middlewares=[self._elsewhere, middleware])
        self.app.add_routes([web.get("/", page)])

    @web.middleware
    async def _elsewhere(self, request: web.Request, handler):  # type: ignore[no-untyped-def]
        return await handler(request.clone(remote=request.headers.get("X-From", "192.0.2.1")))

    async def get(self, word: str, times: int = 1, source: str = "192.0.2.1") -> list[int]:
        async with TestServer(self.app) as server, aiohttp.ClientSession() as client:
            found = []
            for _ in range(times):
                async with client.get(server.make_url("/"), headers={"Authorization": word, "X-From": source}) as reply:
                    found.append(reply.status)
                    assert reply.status != 429 or ("too many" in await reply.text() and int(reply.headers["Retry-After"]) >= 1)
            return found


async def test_wrong_tries_are_bounded_even_for_the_right_word_and_the_address_next_door_is_served() -> None:
    door = Door(Allowances(100, 100), Allowances(0.1, 3))
    assert await door.get("wrong", 5) == [401, 401, 401, 429, 429]
    assert await door.get("right") == [429]
    assert await door.get("right", source="192.0.2.2") == [200]
    door.now = 11.0
    assert await door.get("right", 3) == [200, 200, 200]  # being right costs nothing of this
    assert await door.get("wrong", 2) == [401, 429]
    assert door.told["too many wrong tries"] == 4


async def test_requests_are_bounded_by_address_and_an_ipv6_subscriber_is_one_address() -> None:
    door = Door(Allowances(1, 2), Allowances(1, 9))
    assert await door.get("right", 3) == [200, 200, 429]
    assert await door.get("right", 2, source="2001:db8::1") == [200, 200]
    assert await door.get("right", 1, source="2001:db8::2") == [429]
    assert await door.get("right", 1, source="2001:db8:0:1::2") == [200]


def test_no_more_peers_are_remembered_than_was_said() -> None:
    many = Allowances(rate=1.0, burst=1.0, most=50)
    for i in range(1000):
        assert many.take(f"{i}", 1, now=0.0)
        assert len(many) <= 50
    assert not many.take("999", 1, now=0.0)


def test_an_allowance_never_gives_more_than_its_burst_and_its_rate() -> None:
    one, taken = Allowance(rate=2.0, burst=5.0), 0
    for step in range(1000):
        taken += one.take(1, step / 100)
    assert taken <= 5 + 2 * 10
    assert taken >= 24
    assert one.left(1e9) == 5.0


@pytest.mark.parametrize("address", ["", "unix:", "not an address", "::ffff:192.0.2.1", "fe80::1%eth0"])
def test_any_address_has_a_network(address: str) -> None:
    assert len(network(address)) <= 64
