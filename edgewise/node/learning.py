"""The seam between a device and whoever chooses what is learned from: a `Learner` is asked of each frame once, when it is known
what the device itself makes of it.

The learner answers with a `Choice`: nothing, a sample (its picture goes up when the link has nothing else to do), or the cascade
(its picture goes up at once for the teacher's answer, while the answer that is here already stands by). What was chosen is then
`settle`d with the size that it came to, or `withdraw`n where it did not go. So the learner alone keeps the budget of learning,
and node knows no method (adapt brings one: `edgewise.adapt.device`).

It does not know pictures: coding and sending them is the node's (`edgewise.node.lessons`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from edgewise.core.learning import Learning
from edgewise.data.doubt import Doubt


class Choice(Protocol):
    """What becomes of a frame beside its answer; `learn` (an `audit`, or a chosen sample) and `cascade` are never both true."""

    @property
    def learn(self) -> bool: ...
    @property
    def audit(self) -> bool: ...
    @property
    def cascade(self) -> bool: ...
    @property
    def why(self) -> str: ...


class Learner(Protocol):
    """Chooses frames by what the server wants. All calls come from one thread; times in s, sizes in bytes on the link."""

    def wanted(self, learning: Learning | None) -> None:
        """From now on this is to be done; None: nothing, and `consider` is not called. `bytes` is what the device's own budget
        leaves of what the server allows, so it comes often and changes little.
        """
        ...

    def consider(self, doubt: Doubt | None, now: float, size: float, answered: bool = True) -> Choice:
        """What becomes of the next frame, whose picture takes about `size` bytes (0: nobody knows yet).

        `doubt` is None where the device's answer is no number, or where it has none of its own (`answered` False): the filter
        left the frame out, or the server answers it.
        """
        ...

    def settle(self, choice: Choice, asked: float, size: float) -> bool:
        """The upload was thought to take `asked` bytes and takes `size` (0: its picture goes up anyway). False: it cannot be
        paid, is withdrawn already, and must not go.
        """
        ...

    def withdraw(self, choice: Choice, asked: float, why: str) -> None:
        """What was chosen, and took `asked` bytes of the budget, did not go."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """Frames by what became of them."""
        ...
