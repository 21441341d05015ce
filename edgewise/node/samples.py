"""A server's intake of samples: what each node is told to send, how much of it is taken, and to whom it is handed.

A sample comes by itself, in pieces, or as a frame that was to be answered anyway (CARRIED): either way it is one upload, and is
handed on once. What a node may send is its wish and a little more (SLACK), however often it connects; a device that uploads
without end uses that up and is refused, counted, and in the end sent away by its session. A frame beyond it is answered as ever,
and not learned from.

It does not know what is learned, nor by whom.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable

from edgewise.core.errors import EdgewiseError
from edgewise.core.learning import LARGEST_PICTURE, Learning, Sample
from edgewise.net import teaching
from edgewise.net.allowance import Allowance
from edgewise.net.edge_session import Wants, wants_nothing
from edgewise.net.messages import Stream

log = logging.getLogger("edgewise.samples")
SLACK = 1.25  # of its wish that a node may send
HOLD = 30.0  # s of that which it may send at once, and two samples in any case
NODES = 4096  # whose use is remembered
OnSamples = Callable[[str, list[Sample]], None]


class Samples:
    """`wants` says what a node is to do (None: nothing), `on_samples` takes what came of it, on the loop: it must be quick."""

    def __init__(self, wants: Wants = wants_nothing, on_samples: OnSamples | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._wants, self._on_samples = wants, on_samples
        self._allowed: OrderedDict[str, Allowance] = OrderedDict()

    def wants(self, node: str) -> Learning | None:
        """What this node is to do; nothing where nobody would take it."""
        return self._wants(node) if self._on_samples is not None else None

    def allows(self, node: str, size: int, now: float) -> bool:
        """Whether a node may send so many bytes more; they count as sent then."""
        wish = self.wants(node)
        if wish is None:
            return False
        rate = SLACK * wish.bytes
        burst = max(HOLD * rate, 2.0 * LARGEST_PICTURE)
        found = self._allowed.pop(node, None) or Allowance(rate, burst)
        left = found.left(now)
        found.rate, found.burst = rate, burst
        self._allowed[node] = found
        if len(self._allowed) > NODES:
            self._allowed.popitem(last=False)
        self.counts["sample bytes"] += size if size <= left else 0
        return found.take(size, now)

    def came(self, node: str, sample: Sample) -> None:
        """A sample of this node is whole; it is handed on."""
        if self._on_samples is None:
            return
        try:
            self._on_samples(node, [sample])
        except EdgewiseError as error:  # a full disk must not end the connection
            self.counts["samples that failed"] += 1
            log.error("a sample of %s cannot be taken: %s", node, error)

    def carried(self, node: str, frame: int, stream: Stream, payload: memoryview, flags: int, now: float) -> None:
        """A frame came; where it says so, its picture is learned from as well."""
        found = teaching.learned(flags)
        if found is None:
            return
        if stream.codec != teaching.CODED or not 0 < len(payload) <= LARGEST_PICTURE:
            self.counts["frames that cannot be learned from"] += 1
        elif not self.allows(node, len(payload), now):
            self.counts["frames not learned from"] += 1
        else:
            self.counts["frames learned from"] += 1
            self.came(node, Sample(frame, 0.0, bytes(payload), found[0], found[1], stream.address))
