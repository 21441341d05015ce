"""Suspicion: a device whose samples are unlike those of all others teaches nobody, and no device fills the place of the rest.

Who owns a device can send pictures that bend the shadow. Its labels are the teacher's, so what is left to it is garbage, or
pictures made to be misjudged; both show in how often source and teacher disagree about them, and in how unsure the teacher is.
A device whose mean of either stands above the median of the *other* devices' by more than `apart` is doubted, from `least`
samples on, as long as it does; it is still observed. A rule for many devices: of one or two nobody knows which is the odd one,
and the gate alone stands then. All of this is ours.

It does not know an attacker who stays below `apart`; what he can do the gate bounds, device by device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

FORGET = 0.99  # what a mean keeps at each new sample: about the newest hundred count


class Standing(Struct, frozen=True):
    """Of one device: `samples` seen, and running means of disagreement (source, teacher) and of the teacher's entropy, 0..1."""

    samples: int = 0
    disagreement: float = 0.0
    doubt: float = 0.0


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """`least` samples, `apart` in shares, at least `devices` to compare; one device gives at most `share` of a step."""

    least: int = 20
    apart: float = 0.35
    devices: int = 3
    share: float = 0.5


def noted(standing: Standing, disagreement: float, doubt: float) -> Standing:
    """After one more sample; means of few are plain means."""
    weight = max(1 - FORGET, 1 / (standing.samples + 1))
    return Standing(
        standing.samples + 1,
        standing.disagreement + weight * (disagreement - standing.disagreement),
        standing.doubt + weight * (doubt - standing.doubt),
    )


def doubted(standings: Mapping[str, Standing], rules: Rules) -> frozenset[str]:
    """Devices that teach nobody now."""
    known = {name: s for name, s in standings.items() if s.samples >= rules.least}
    if len(known) < rules.devices:
        return frozenset()
    found = set()
    for name, own in known.items():
        others = [s for other, s in known.items() if other != name]
        for mine, theirs in ((own.disagreement, [s.disagreement for s in others]), (own.doubt, [s.doubt for s in others])):
            if mine > float(np.median(theirs)) + rules.apart:
                found.add(name)
    return frozenset(found)


def fair(devices: Sequence[str], number: int, share: float = 0.5) -> list[int]:
    """Places of up to `number` of samples from these `devices`, newest last: the newest of each device in turn, so that no
    device has more than `share` of them while others wait.

    >>> fair(["a", "a", "a", "b"], 2)
    [2, 3]
    """
    queues: dict[str, list[int]] = {}
    for place, device in enumerate(devices):
        queues.setdefault(device, []).append(place)
    most = max(1, int(share * number)) if len(queues) > 1 else number
    chosen: list[int] = []
    rounds = 0
    while len(chosen) < number and any(queues.values()) and rounds < most:
        for queue in queues.values():
            if queue and len(chosen) < number:
                chosen.append(queue.pop())
        rounds += 1
    return sorted(chosen)
