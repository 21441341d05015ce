"""Ways to answer a picture: what each asks of device, link and edge server, and what comes of it in seconds and joules.

A way is what was measured (seconds of one thread of this machine on either side, bytes of a frame), nothing of a board or a link;
`cost` puts it on a board, a server and a link, by the planner's own cost model (`edgewise.plan.evaluate`). Bytes on the link are
those of the socket: frame, WebSocket, TLS records (`edgewise.core.wire`); the answer is a frame with a class in it. Of a way that
answers some pictures on the device (early exits) `crosses` is the share that does not.

It does not know queues: one picture is on its way at a time, the link has no loss, TCP is warm, the server is idle.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from bench.rates.boards import Board, Effort
from edgewise.core.cost import Cost, Site
from edgewise.core.device import Device
from edgewise.core.link import Link
from edgewise.core.placement import Part, Placement
from edgewise.core.wire import FRAME_HEADER, socket_bytes
from edgewise.plan.break_even import Line
from edgewise.plan.evaluate import evaluate

Kind = Literal["local", "split", "image"]
ANSWER = socket_bytes(16)  # bytes of the answer on the socket: a class and its probability
RATES = (50e3, 100e3, 250e3, 500e3, 1e6, 2e6, 5e6, 20e6)  # bit/s of the tables
FINE = tuple(50e3 * (20e6 / 50e3) ** (i / 48) for i in range(49))  # bit/s of figures and searches
ROUND_TRIPS = (5e-3, 30e-3)  # s


class Way(Struct, frozen=True):
    """`frame` bytes go up (header included, 0: none) for the share `crosses` of pictures; `device` and `edge` are the efforts of
    either side for a picture that crosses, `stays` the device's for one that does not (its own `device` if None)."""

    name: str
    kind: Kind
    frame: float
    device: Effort
    edge: Effort = Effort()
    accuracy: float | None = None
    crosses: float = 1.0
    stays: Effort | None = None
    note: str = ""


class Answered(Struct, frozen=True):
    """Of one picture on the average: `latency` (s) with the ends that the boards' ratios leave open, `busy` (s) of the device,
    `energy` (J) of the device or None where its power is not known, and mean `power` (W) while it waits for the answer."""

    latency: float
    low: float
    high: float
    busy: float
    energy: float | None

    @property
    def power(self) -> float | None:
        return None if self.energy is None else self.energy / self.latency


def link(rate: float, round_trip: float, radio: str = "wifi") -> Link:
    """A link of one rate both ways; half of the round trip each way."""
    return Link(f"{rate:g} bit/s", rate, rate, round_trip / 2, radio=radio)


def placement(way: Way, here: Board, there: Board, stays: bool = False, end: int = 0) -> Placement:
    """The way on two machines; `end` 0, 1, 2 takes the middle, low or high ends of the boards' ratios."""
    work = here.seconds((way.stays or way.device) if stays else way.device)[end]
    first = Part(way.name, "device", work)
    if stays or way.kind == "local" or way.frame <= 0:
        return Placement(way.name, (first,), (0.0,))
    tail = Part(way.name, "edge", there.seconds(way.edge)[end])
    return Placement(way.name, (first, tail), (float(socket_bytes(round(way.frame) - FRAME_HEADER)), float(ANSWER)))


def cost(way: Way, here: Board, there: Board, at: Link) -> Answered:
    """What a picture takes by this way."""
    latency, low, high = (_mixed(way, [c.latency or 0.0 for c in _costs(way, here, there, at, end)]) for end in range(3))
    middle = _costs(way, here, there, at)
    joules = [c.energy.device for c in middle]
    known = [j for j in joules if j is not None]
    busy = _mixed(way, [c.busy.device or 0.0 for c in middle])
    return Answered(latency, low, high, busy, _mixed(way, known) if len(known) == len(joules) else None)


def line(way: Way, here: Board, there: Board, round_trip: float) -> Line:
    """The way as seconds and bits, for break-even rates: the answer's bits count as the uplink's, for both have one rate."""
    crossed, stayed = (placement(way, here, there, stays) for stays in (False, True))
    fixed = sum(p.time or 0.0 for p in crossed.parts) + (round_trip if len(crossed.parts) > 1 else 0.0)
    alone = sum(p.time or 0.0 for p in stayed.parts)
    bits = 8 * sum(crossed.crossing)
    return Line(way.name, way.crosses * fixed + (1 - way.crosses) * alone, way.crosses * bits)


def _costs(way: Way, here: Board, there: Board, at: Link, end: int = 0) -> list[Cost]:
    """The cost of a picture that crosses, and of one that stays where some do."""
    sites: dict[Site, Device] = {"device": here.device, "edge": there.device}
    return [
        evaluate(placement(way, here, there, stays, end), sites, at)
        for stays in ((False,) if way.crosses == 1 else (False, True))
    ]


def _mixed(way: Way, values: list[float]) -> float:
    return values[0] if len(values) == 1 else way.crosses * values[0] + (1 - way.crosses) * values[1]
