"""What a swap of models costs the frames around it: inferences are due at a camera's rate while another version is made ready."""

from __future__ import annotations

from statistics import median

import numpy as np
from msgspec import Struct

from bench.report import Row
from edgewise.apps.vision.bundles import find
from edgewise.node.heads import Heads
from edgewise.runtime.bundle import Bundle
from edgewise.runtime.slots import Slots, swap_delays, warm

RATE = 20.0  # frames a second


class Swaps(Struct, frozen=True):
    """Seconds from when each inference was due to its end: with nothing else going on, and while versions were swapped."""

    alone: tuple[float, ...]
    during: tuple[float, ...]
    rounds: int

    @property
    def delayed(self) -> float:
        """How much later than the usual one the latest inference around a swap came."""
        return max(self.during) - median(self.alone)


def swaps(rounds: int) -> Swaps:
    """`rounds` swaps of the shipped bundle; a frame is one head, its coding and one local answer."""
    image = np.zeros((360, 640, 3), np.uint8)
    heads: dict[int, Heads] = {}

    def infer(bundle: Bundle) -> None:
        held = heads.setdefault(id(bundle), Heads(bundle))
        held.prepare(image, held.manifest.point("split-4"))
        held.local(image)

    slots = Slots(Bundle.open(find("vehicles")))
    warm(slots.current)
    kept, alone, during = [slots.current], [], []
    for _ in range(rounds):
        kept.append(Bundle.open(find("vehicles")))
        found = swap_delays(slots, kept[-1], infer, RATE, alone=1.0, after=0.3)
        alone += found.alone
        during += found.during
    return Swaps(tuple(alone), tuple(during), rounds)


def rows(it: Swaps) -> list[Row]:
    case = f"swap of the shipped bundle, {RATE:g} frames a second"
    return [
        Row(case, "inference, nothing else going on, median", median(it.alone), "s", len(it.alone), min(it.alone), max(it.alone)),
        Row(case, "inference while a version is made ready and swapped, latest", max(it.during), "s", len(it.during)),
        Row(case, "delay of an inference by a swap, largest", it.delayed, "s", it.rounds),
    ]
