"""The best link that this machine can have, by kind: netem, then tbf, then TUN, then the proxy; and why not a better one.

One face for all of them: where a server listens, from where a device speaks, and under which address it finds the server. `kind`
stands in every result that came over the link, for the kinds differ: the proxy ends TCP and shows neither loss nor slow start.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from msgspec import Struct

from edgewise.core.errors import LinkError
from edgewise.core.link import Link
from edgewise.net.links import netem, tun
from edgewise.net.links.proxy import Proxy, start

KINDS = ("netem", "tbf", "tun", "proxy")
LOOPBACK = "127.0.0.1"
Probe = Callable[[str], str | None]


class Choice(Struct, frozen=True):
    """`kind` is the best there can be; `why` says, kind by kind, why it is no better one ("" where it is the best)."""

    kind: str
    why: str


def probe(kind: str) -> str | None:
    """Why this machine cannot have links of `kind`; None where it can."""
    if kind == "tun":
        return tun.probe()
    if kind in ("netem", "tbf"):
        return netem.probe("netem" if kind == "netem" else "tbf")
    return None if kind == "proxy" else f"there is no kind of link {kind!r}; allowed: {', '.join(KINDS)}."


def choose(link: Link, kinds: tuple[str, ...] = KINDS, probe: Probe = probe) -> Choice:
    """The first of `kinds` that can be `link` on this machine; LinkError with every reason where none can."""
    reasons: list[str] = []
    for kind in kinds:
        shaped = netem.unfit(link, "netem" if kind == "netem" else "tbf") if kind in ("netem", "tbf") else None
        sentence = shaped or probe(kind)
        if sentence is None:
            return Choice(kind, " ".join(reasons))
        reasons.append(f"Not {kind}: {sentence}")
    raise LinkError("no link can be had here", got=" ".join(reasons), allowed=", ".join(KINDS))


class Path:
    """A device's way to its server over an emulated link; `opened` makes one.

    A server opens its socket within `at_edge()` on `host`; `await reach(port)` is the address under which a device that
    connects within `at_device()` finds it.
    """

    def __init__(self, kind: str, why: str, link: Link, packets: tun.TunLink | netem.KernelLink | None) -> None:
        self.kind, self.why, self.link = kind, why, link
        self.host = LOOPBACK if packets is None else packets.edge
        self._packets = packets
        self._proxies: dict[int, Proxy] = {}

    def at_edge(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._packets is None else self._packets.at_edge()

    def at_device(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._packets is None else self._packets.at_device()

    async def reach(self, port: int) -> tuple[str, int]:
        if self._packets is not None:
            return self.host, port
        if port not in self._proxies:
            self._proxies[port] = await start((LOOPBACK, 0), (LOOPBACK, port), self.link)
        return LOOPBACK, self._proxies[port].port

    def set_link(self, link: Link) -> None:
        """From now on this link."""
        self.link = link
        for shaped in (self._packets, *self._proxies.values()):
            if shaped is not None:
                shaped.set_link(link)

    async def close(self) -> None:
        for proxy in self._proxies.values():
            await proxy.close()
        if self._packets is not None:
            self._packets.close()


@contextlib.asynccontextmanager
async def opened(link: Link, kinds: tuple[str, ...] = KINDS, *, seed: int = 0) -> AsyncIterator[Path]:
    """The best path of `kinds`, removed afterwards; one kind alone is that kind or a LinkError."""
    choice = choose(link, kinds)
    packets: tun.TunLink | netem.KernelLink | None = None
    if choice.kind == "tun":
        packets = tun.TunLink.open(link, seed=seed)
    elif choice.kind != "proxy":
        packets = netem.KernelLink.open(link, kind="netem" if choice.kind == "netem" else "tbf")
    path = Path(choice.kind, choice.why, link, packets)
    try:
        yield path
    finally:
        await path.close()
