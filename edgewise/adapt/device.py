"""The device's half of adapting, forward only: what its node asks of each frame, and what the server's wishes make of it.

A `DeviceLearner` fits the seam of the node (`consider`, `settle`, `withdraw`, `wanted`, `counts`) without knowing it: doubts and
sizes come in, choices go out, and coding and sending are the node's. It keeps the budget of learning, so whatever else the node
sends is not its business; `bytes` of the wishes is what is left for it. No torch, no thread, no clock of its own.

Without wishes nothing goes up. Wishes that cannot be meant are not followed: the ones before them stay, and `refused` says why.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Protocol

from edgewise.adapt.select import Choice, Selector
from edgewise.core.errors import ConfigError
from edgewise.core.learning import Learning
from edgewise.data.doubt import Doubt

NOT_ASKED = "nobody wants to learn"


class Chosen(Protocol):
    """A choice as it comes back from a node: what it was, not how it was made."""

    @property
    def learn(self) -> bool: ...
    @property
    def audit(self) -> bool: ...
    @property
    def cascade(self) -> bool: ...
    @property
    def why(self) -> str: ...


class DeviceLearner:
    """Chooses frames for one device by what its server wants. `classes` is how many its model tells apart, `seed` draws its
    audits (`seed_of` its name, so that devices draw apart), `usual` is the mean doubt of the calibration set where that is known.

    >>> learner = DeviceLearner(10, seed_of("cam1"))
    >>> learner.consider(None, now=0.0, size=900.0).why
    'nobody wants to learn'
    """

    def __init__(self, classes: int, seed: int = 0, usual: float | None = None) -> None:
        self.refused = ""  # why wishes were not followed, for a person
        self._classes, self._seed, self._usual = classes, seed, usual
        self._selector: Selector | None = None
        self._asleep = 0  # frames while nothing was wanted
        self._wanted = False

    def wanted(self, learning: Learning | None) -> None:
        """What is to be done from now on; None: nothing. What is known of the stream stays in any case."""
        self._wanted = learning is not None and self._follow(learning)

    def consider(self, doubt: Doubt | None, now: float, size: float, answered: bool = True) -> Choice:
        """What becomes of the next frame at `now` (s), whose picture takes about `size` bytes (0: nobody knows)."""
        if self._selector is None or not self._wanted:
            self._asleep += 1
            return Choice(why=NOT_ASKED)
        return self._selector.consider(doubt, now, size, answered)

    def settle(self, choice: Chosen, asked: float, size: float) -> bool:
        """The upload takes `size` bytes (0: its picture goes anyway); False: it cannot be paid, and is withdrawn already.

        What it was thought to take stands in the choice; `asked` is believed where the choice is none of ours.
        """
        return self._selector is None or self._selector.settle(_ours(choice, asked), size)

    def withdraw(self, choice: Chosen, asked: float, why: str) -> None:
        """What was chosen did not go: `asked` bytes, to which it was settled, are given back (0: what it was thought to take)."""
        if self._selector is not None:
            self._selector.withdraw(_ours(choice, asked), why, asked or None)

    @property
    def counts(self) -> Mapping[str, int]:
        """Frames by what became of them; they add up to all that were considered."""
        own = {NOT_ASKED: self._asleep} if self._asleep else {}
        return own if self._selector is None else own | self._selector.counts

    def _follow(self, learning: Learning) -> bool:
        """Whether there are wishes to follow now: these, or those before them."""
        try:
            if self._selector is None:
                self._selector = Selector(learning, self._classes, self._seed, self._usual)
            else:
                self._selector.adopt(learning)
        except ConfigError as error:
            self.refused = str(error)
            return self._wanted
        self.refused = ""
        return True


def seed_of(name: str) -> int:
    """The seed of a device of this name, the same on every machine."""
    return zlib.crc32(name.encode())


def _ours(choice: Chosen, asked: float) -> Choice:
    if isinstance(choice, Choice):
        return choice
    return Choice(choice.learn, choice.audit, choice.cascade, choice.why, asked)
