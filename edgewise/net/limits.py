"""How often one address may ask, and how often it may be wrong about who it is: an aiohttp middleware.

Both are buckets an address (an IPv6 address counts as its /64, which is what one subscriber has). Who has used up its wrong tries
is not listened to until the bucket refills, whatever it shows then: so a token cannot be guessed faster for being right at last.
Devices with certificates are not limited here, since a certificate is nothing to guess and the sessions have bounds of their own.

It does not see handshakes that fail: those are counted by the Listener and cost what TLS costs.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_address

from aiohttp import web
from aiohttp.typedefs import Middleware

from edgewise.net.allowance import Allowances

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def limits(
    requests: Allowances,
    failures: Allowances,
    clock: Callable[[], float] = time.monotonic,
    on_refused: Callable[[str, str], None] | None = None,
) -> Middleware:
    """Answer 429 where an address asks too often, or failed to say who it is (401, 403) too often.

    >>> middleware = limits(Allowances(rate=50, burst=200), Allowances(rate=0.1, burst=10))
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.get_extra_info("peercert"):
            return await handler(request)
        source, now = network(request.remote or ""), clock()
        if failures.left(source, now) < 1:
            return refuse(source, "wrong tries", failures.rate)
        if not requests.take(source, 1, now):
            return refuse(source, "requests", requests.rate)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            count(source, error.status)
            raise
        count(source, response.status)
        return response

    def count(source: str, status: int) -> None:
        if status in (401, 403):
            failures.take(source, 1, clock())

    def refuse(source: str, what: str, rate: float) -> web.Response:
        sentence = f"too many {what} from {source}; allowed: {rate * 60:g} a minute."
        if on_refused is not None:
            on_refused(f"too many {what}", sentence)
        return web.Response(status=429, text=sentence, headers={"Retry-After": f"{max(1, round(1 / rate))}"})

    return middleware


def for_people(on_refused: Callable[[str, str], None] | None = None) -> Middleware:
    """The limits of a page and its interface: 500 requests/s (cameras have many previews), ten wrong tries, then one in 10 s."""
    return limits(Allowances(rate=500, burst=2000), Allowances(rate=0.1, burst=10), on_refused=on_refused)


def network(address: str) -> str:
    """The address, or the /64 of an IPv6 one.

    >>> network("192.0.2.7"), network("2001:db8::1:2:3:4")
    ('192.0.2.7', '2001:db8::/64')
    """
    try:
        given = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(given, IPv6Address):
        if given.ipv4_mapped is not None:
            return str(given.ipv4_mapped)
        return f"{IPv6Address(int(given) >> 64 << 64)}/64"
    return str(given)
