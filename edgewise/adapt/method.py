"""A TestTimeMethod answers a stream batch by batch and may change itself in between; a Tally says what that took.

The one interface behind everything that is compared: doing nothing, statistics of the batch, Tent, EATA, SAR, CoTTA, LAME,
sending everything, a cascade, CEMA as published, and ours. The order is always **predict, then adapt**: the answer to a batch is
given before anything is learned from it (prequential; adapt notes, section 7), and there is no reset between domains, which a
deployed device could not know.

What crosses the link is counted in whole frames: real JPEG bytes up, coded deltas and packed answers down, each with its header.
A method that sends nothing has no byte in its Tally, however much it computes; `backward` counts the pictures that went through a
backward pass on the device, which is what such methods pay with.

It does not know streams, models or torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

Inputs = NDArray[Any]  # (n, …) as the net takes them
Values = NDArray[np.float32]


class Tally(Struct, frozen=True, forbid_unknown_fields=True):
    """What a method did so far. `uploaded` pictures went up, `answered` of them were answered by the teacher; `bytes_up` and
    `bytes_down` hold frames with their headers.

    `deltas` reached the device, `refused` steps were thrown away before they could, `reverts` took the device back. `steps` of
    training were made anywhere, `backward` pictures needed a backward pass on the device itself. `reasons`: why pictures went up
    or stayed, and whatever else was left out, by count.
    """

    seen: int = 0
    uploaded: int = 0
    answered: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    deltas: int = 0
    refused: int = 0
    reverts: int = 0
    steps: int = 0
    backward: int = 0
    reasons: Mapping[str, int] = {}

    @property
    def uploaded_share(self) -> float:
        """Of all pictures seen.

        >>> Tally(seen=200, uploaded=50).uploaded_share
        0.25
        """
        return self.uploaded / self.seen if self.seen else 0.0

    def plus(self, **more: int) -> Tally:
        """With these counts on top.

        >>> Tally(seen=1).plus(seen=2, steps=1).seen
        3
        """
        return replace(self, **{name: getattr(self, name) + count for name, count in more.items()})


@runtime_checkable
class TestTimeMethod(Protocol):
    """`answer` takes what the net takes, (n, …), and gives probabilities (n, class); `tally` may be asked at any time."""

    name: str

    def answer(self, inputs: Inputs) -> Values: ...

    def tally(self) -> Tally: ...
