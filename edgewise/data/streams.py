"""A Stream: in which order pictures come, and through which weather: the same for every method that is compared on it.

    iid         one domain after the other; within it every picture once, in a drawn order
    sorted      the same, but class after class, as when one thing is in front of the camera for an hour
    mixed       all domains at once, drawn anew for each picture
    recurring   the whole row of domains again and again (`rounds`), new orders each time, as dusk every day
    gradual     in each domain the severity rises step by step from clean to the domain's own, and falls again
    given       one domain after the other, pictures in their own order: frames of footage

A stream is a value: arrays of numbers, no pictures. How a picture is corrupted depends on the seed, the picture, the domain and
how often it was shown in it before, not on its place: two orders show the same pictures, and a second visit shows new noise. It
is continuous: nobody is told where one domain ends, and nothing is reset there ("adapt notes", protocol).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from edgewise.core.errors import ConfigError
from edgewise.data.corruptions import KINDS, check, corrupt

Order = Literal["iid", "sorted", "mixed", "recurring", "gradual", "given"]
ORDERS: tuple[Order, ...] = get_args(Order)
CLEAN = "clean"
USUAL = 5  # severity where none is said
ROUNDS = 2  # visits of each domain in a recurring stream


class Domain(Struct, frozen=True, forbid_unknown_fields=True):
    """A `kind` of `edgewise.data.corruptions.KINDS` at a severity of 1 to 5, or "clean" at 0."""

    kind: str = CLEAN
    severity: int = 0

    @property
    def name(self) -> str:
        """As `parse` reads it.

        >>> Domain("fog", 3).name, Domain().name
        ('fog:3', 'clean')
        """
        return self.kind if self.kind == CLEAN else f"{self.kind}:{self.severity}"


class Shown(Struct, frozen=True, forbid_unknown_fields=True):
    """One place of a stream: the picture's `index`, what it is seen through, the domain of the row that it counts to (`number`),
    which `visit` of that kind this is, and how often this picture was `drawn` through it before (both from 0). Only a gradual
    stream shows another severity than its domain's."""

    index: int
    domain: Domain
    number: int
    visit: int
    drawn: int


class Stream(Struct, frozen=True):
    """`domains` as asked for; for each of the n places what `Shown` tells of it: index, number, severity, visit, drawn (n,)."""

    domains: tuple[Domain, ...]
    order: Order
    seed: int
    index: NDArray[np.int64]
    number: NDArray[np.int64]
    severity: NDArray[np.int64]
    visit: NDArray[np.int64]
    drawn: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    def at(self, place: int) -> Shown:
        number, severity = int(self.number[place]), int(self.severity[place])
        domain = Domain(self.domains[number].kind, severity) if severity else Domain()
        return Shown(int(self.index[place]), domain, number, int(self.visit[place]), int(self.drawn[place]))

    def __iter__(self) -> Iterator[Shown]:
        return (self.at(place) for place in range(len(self)))

    def through(self, picture: NDArray[np.uint8], shown: Shown) -> NDArray[np.uint8]:
        """`picture` (height, width, 3; uint8) as it is seen there; a clean one is given back as it is."""
        return seen(picture, shown.domain, [self.seed, shown.drawn, shown.index])


def parse(shifts: str) -> tuple[Domain, ...]:
    """The domains of "fog:3,night,clean", in this order; `USUAL` is the severity where none is said.

    >>> parse("fog:3, night, clean")
    (Domain(kind='fog', severity=3), Domain(kind='night', severity=5), Domain(kind='clean', severity=0))
    """
    return tuple(_domain(word.strip()) for word in shifts.split(","))


def stream(
    domains: Sequence[Domain],
    labels: ArrayLike,
    order: Order = "iid",
    seed: int = 0,
    each: int | None = None,
    rounds: int | None = None,
) -> Stream:
    """The stream of `each` pictures a visit of a domain (None: every one once), from `labels` (n,), the class of each picture.

    More than there are go round again, in another order and with new noise. ConfigError for no picture, no domain, an unknown
    order, or counts below 1.
    """
    classes = np.asarray(labels)
    count = classes.size if each is None else each
    visits = (ROUNDS if order == "recurring" else 1) if rounds is None else rounds
    _possible(domains, classes, order, count, visits)
    generator = np.random.default_rng([seed, ORDERS.index(order), 29])
    kinds = [d.kind for d in domains]
    parts = []
    for again in range(visits):
        row = []
        for number, domain in enumerate(domains):
            visit = again * kinds.count(domain.kind) + kinds[:number].count(domain.kind)
            row.append(_visit(number, domain, visit, classes, order, count, generator))
        whole = np.concatenate(row, axis=1)
        parts.append(whole[:, generator.permutation(whole.shape[1])] if order == "mixed" else whole)
    index, number, severity, visit = np.concatenate(parts, axis=1)
    kind = np.array([KINDS.index(k) if k != CLEAN else len(KINDS) for k in kinds])[number]
    drawn = _earlier((index * (len(KINDS) + 1) + kind) * (USUAL + 1) + severity)
    return Stream(tuple(domains), order, seed, index, number, severity, visit, drawn)


def seen(picture: NDArray[np.uint8], domain: Domain, seed: Sequence[int]) -> NDArray[np.uint8]:
    """`picture` (height, width, 3; uint8) through a domain; the seed and the domain decide every drop and every grain."""
    if domain.kind == CLEAN:
        return picture
    generator = np.random.default_rng([*seed, zlib.crc32(domain.kind.encode()), domain.severity])
    return corrupt(picture, domain.kind, domain.severity, generator)


def _visit(
    number: int, domain: Domain, visit: int, classes: NDArray[np.int64], order: Order, count: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Rows index, number, severity, visit (4, count) of one visit of one domain."""
    rounds = -(-count // classes.size)
    draws = [np.arange(classes.size) if order == "given" else generator.permutation(classes.size) for _ in range(rounds)]
    index = np.concatenate(draws)[:count]
    if order == "sorted":
        rank = {label: i for i, label in enumerate(generator.permutation(np.unique(classes)).tolist())}
        index = index[np.argsort([rank[label] for label in classes[index].tolist()], kind="stable")]
    severity = np.full(count, domain.severity)
    if order == "gradual":
        severity = _ramp(domain.severity, count)
    return np.stack([index, np.full(count, number), severity, np.full(count, visit)])


def _earlier(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of the keys (n,) how many of those before it are the same."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    place = np.arange(len(keys))
    first = np.maximum.accumulate(np.where(np.diff(ranked, prepend=ranked[:1] - 1) != 0, place, 0))
    found = np.empty_like(place)
    found[order] = place - first
    return found


def _ramp(severity: int, count: int) -> NDArray[np.int64]:
    """0, 1 … severity … 1, 0 in steps of equal length (count,)."""
    levels = np.array([*range(severity + 1), *range(severity - 1, -1, -1)])
    found: NDArray[np.int64] = levels[np.arange(count) * len(levels) // count]
    return found


def _domain(word: str) -> Domain:
    kind, colon, severity = word.partition(":")
    if kind == CLEAN and not colon:
        return Domain()
    if kind not in KINDS or (colon and not severity.isascii()) or (colon and not severity.isdecimal()):
        raise ConfigError(
            "a shift is not well named",
            got=repr(word),
            allowed=f"clean, or KIND or KIND:SEVERITY with a severity from 1 to 5 and a kind of {', '.join(KINDS)}",
        )
    found = Domain(kind, int(severity) if colon else USUAL)
    check(found.kind, found.severity)
    return found


def _possible(domains: Sequence[Domain], classes: NDArray[np.int64], order: Order, count: int, rounds: int) -> None:
    if order not in ORDERS:
        raise ConfigError("there is no such order of a stream", got=order, allowed=", ".join(ORDERS))
    if not domains or classes.ndim != 1 or classes.size == 0:
        raise ConfigError(
            "a stream needs domains and pictures",
            got=f"{len(domains)} domains, labels of shape {classes.shape}",
            allowed="1 or more",
        )
    if count < 1 or rounds < 1:
        raise ConfigError("a stream needs pictures and rounds", got=f"{count} pictures, {rounds} rounds", allowed="1 or more")
    for domain in domains:
        if domain != Domain():
            check(domain.kind, domain.severity)
