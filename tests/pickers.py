"""A learner for tests: it chooses by a rule, and keeps what became of each choice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from msgspec import Struct

from edgewise.core.learning import Learning
from edgewise.data.doubt import Doubt
from edgewise.node.learning import Choice


class Picked(Struct, frozen=True):
    learn: bool = False
    audit: bool = False
    cascade: bool = False
    why: str = "chosen"


class Picker:
    """A learner that chooses by a rule, pays everything (`most` bytes), and keeps what became of each choice."""

    def __init__(self, rule: Callable[[int], Picked], most: float = 1e12) -> None:
        self.rule, self.most = rule, most
        self.wishes: list[Learning | None] = []
        self.asked: list[tuple[Doubt | None, bool]] = []
        self.chosen = self.settled = self.withdrawn = 0
        self.why: Counter[str] = Counter()

    def wanted(self, learning: Learning | None) -> None:
        self.wishes.append(learning)

    def consider(self, doubt: Doubt | None, now: float, size: float, answered: bool = True) -> Picked:
        self.asked.append((doubt, answered))
        found = self.rule(len(self.asked) - 1)
        self.chosen += found.learn or found.cascade
        return found

    def settle(self, choice: Choice, asked: float, size: float) -> bool:
        self.settled += size <= self.most
        self.withdrawn += size > self.most
        return size <= self.most

    def withdraw(self, choice: Choice, asked: float, why: str) -> None:
        self.withdrawn += 1
        self.why[why] += 1

    @property
    def counts(self) -> Mapping[str, int]:
        return {}


LEARN, CASCADE, NOTHING = Picked(learn=True), Picked(cascade=True), Picked()
