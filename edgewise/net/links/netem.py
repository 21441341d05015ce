"""The kernel's own packet link: a veth pair between two namespaces, shaped by netem, or by tbf where rate is all that is wanted.

netem carries rate, delay and loss at any speed, without a process of ours; it follows no trace, and many small kernels are built
without it: `probe` tries it and says so. tbf (a token bucket) is more often there; it has a rate and a queue, no delay and no
loss. Both shape what a side sends, so each end carries its own direction. A killed process leaves its namespaces behind until the
next link is opened (`namespaces.remove_stale`).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal

from edgewise.core.errors import LinkError
from edgewise.core.link import Link
from edgewise.net.links import namespaces
from edgewise.net.links.lane import queue_for
from edgewise.net.links.namespaces import MTU, SIDES, Pair, Side

Kind = Literal["netem", "tbf"]
Run = Callable[[Sequence[str]], None]
FRAME = MTU + 14  # bytes of a full packet as a queue of the kernel counts it
MOST_PACKETS = 10_000  # that may be under way where no rate bounds them
BUCKET_SECONDS = 0.005


def unfit(link: Link, kind: Kind) -> str | None:
    """Why `kind` cannot be this link, as a sentence; None where it can."""
    if link.trace_up is not None or link.trace_down is not None:
        return f"{kind} follows no trace, and {link.name!r} has one."
    if kind == "tbf" and (link.delay or link.loss):
        return f"tbf has a rate alone, and {link.name!r} has a delay or a loss."
    if kind == "tbf" and not (8 <= link.rate_up < math.inf and 8 <= link.rate_down < math.inf):
        return f"tbf needs a rate in both directions, and {link.name!r} has none in one of them."
    return None


def shape(link: Link, up: bool, kind: Kind, queue: int | None = None) -> list[str]:
    """The words of `tc` that make one side's sending as slow as that direction of the link.

    >>> " ".join(shape(Link("l", rate_up=8e6, delay=0.02, loss=0.01), True, "netem"))
    'netem limit 80 delay 20000us loss 1% rate 8000000bit'
    """
    rate = link.rate_up if up else link.rate_down
    bound = queue if queue is not None else queue_for(link, up)
    if kind == "tbf":
        bucket = max(2 * FRAME, int(rate / 8 * BUCKET_SECONDS))
        return ["tbf", "rate", f"{rate:.0f}bit", "burst", str(bucket), "limit", str(bound)]
    under_way = MOST_PACKETS * FRAME if rate == math.inf else rate / 8 * link.delay
    words = ["netem", "limit", str(math.ceil((bound + under_way) / FRAME))]  # netem's counts what is delayed as well
    if link.delay:
        words += ["delay", f"{link.delay * 1e6:.0f}us"]
    loss = 100.0 if rate < 8 else 100 * link.loss  # to netem a rate of 0 is none
    if loss:
        words += ["loss", f"{loss:.6g}%"]
    return words if rate < 8 or rate == math.inf else [*words, "rate", f"{rate:.0f}bit"]


def making(pair: Pair) -> list[list[str]]:
    """Commands that make both ends and the cable between them, not yet shaped."""
    ends = [(pair.interfaces[side], pair.name(side)) for side in SIDES]
    (device, there), (edge, beyond) = ends
    cable = ["ip", "link", "add", device, "netns", there, "type", "veth", "peer", "name", edge, "netns", beyond]
    # Without this the kernel hands over up to 64 KB as one packet, to be lost as one.
    whole = [["ip", "-n", name, "link", "set", end, "gso_max_segs", "1"] for end, name in ends]
    return [*pair.making(), cable, *whole, *pair.addressing()]


def shaping(pair: Pair, link: Link, kind: Kind, queue: int | None = None) -> list[list[str]]:
    """Commands that shape both directions; they may be given again, with another link."""
    sides: tuple[tuple[Side, bool], ...] = (("device", True), ("edge", False))
    return [
        ["tc", "-n", pair.name(side), "qdisc", "replace", "dev", pair.interfaces[side], "root", *shape(link, up, kind, queue)]
        for side, up in sides
    ]


def probe(kind: Kind = "netem", run: Run = namespaces.command) -> str | None:
    """Why there can be no such link here, as a sentence; None where there can. It is tried, and removed again."""
    if (sentence := namespaces.obstacle("tc")) is not None:
        return sentence
    delay = 0.001 if kind == "netem" else 0.0
    pair = Pair.new()
    try:
        for words in making(pair):
            run(words)
    except LinkError as error:
        return f"a cable between two namespaces cannot be made; the kernel says: {error.got}"
    else:
        try:
            for words in shaping(pair, Link("probe", rate_up=1e6, rate_down=1e6, delay=delay), kind):
                run(words)
        except LinkError as error:
            return f"this kernel has no {kind}; it says: {error.got}"
        return None
    finally:
        pair.remove()


class KernelLink:
    """A link that the kernel shapes; the same face as `tun.TunLink`."""

    def __init__(self, link: Link, pair: Pair, kind: Kind, queue: int | None, run: Run) -> None:
        self.link, self.pair, self.kind = link, pair, kind
        self.device, self.edge = (namespaces.ADDRESSES[side] for side in SIDES)
        self._queue, self._run = queue, run

    @classmethod
    def open(cls, link: Link, *, kind: Kind = "netem", queue: int | None = None, run: Run = namespaces.command) -> KernelLink:
        """Make and shape it; LinkError where the kernel, or the kind, cannot."""
        if (sentence := namespaces.obstacle("tc")) is not None:
            raise LinkError(f"there can be no {kind} link here", got=sentence)
        namespaces.remove_stale()
        made = cls(link, Pair.new(), kind, queue, run)
        try:
            for words in making(made.pair):
                run(words)
            made.set_link(link)
        except BaseException:
            made.close()
            raise
        return made

    def set_link(self, link: Link) -> None:
        """From now on this link; what waits in the kernel may be lost by the change."""
        if (sentence := unfit(link, self.kind)) is not None:
            raise LinkError(f"{self.kind} cannot be this link", got=sentence, hint="The TUN link can.")
        self.link = link
        for words in shaping(self.pair, link, self.kind, self._queue):
            self._run(words)

    def at_device(self) -> contextlib.AbstractContextManager[None]:
        return self.pair.inside("device")

    def at_edge(self) -> contextlib.AbstractContextManager[None]:
        return self.pair.inside("edge")

    def close(self) -> None:
        """Remove the namespaces, and with them all of it; a second call does nothing."""
        self.pair.remove()

    def __enter__(self) -> KernelLink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
