"""A Record is one replay as it was found: every method, right or not, picture by picture, and what it sent.

Every table, interval and target of the benchmark is made from records alone. Those of one `case` and seed are of one stream,
picture by picture, whatever methods each of them holds: they may be run one by one, and are read as one (`cases`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import msgspec
import numpy as np
from msgspec import Struct

from bench import kept
from edgewise.adapt.method import Tally
from edgewise.adapt.replay import Event, Moment, Replayed, Trail
from edgewise.core.errors import ConfigError, SourceError


class About(Struct, frozen=True, forbid_unknown_fields=True):
    """`case` names the stream, `group` the methods that ran together; `n` pictures; `more` for figures that a table wants."""

    case: str
    group: str
    seed: int
    n: int = 0
    data: str = "cifar10"
    budget: float = 0.0
    more: dict[str, float] = {}


class _Facts(Struct, frozen=True):
    """What of a Replayed is no array."""

    about: About
    domains: tuple[str, ...]
    tallies: dict[str, Tally]
    seconds: dict[str, float]
    timeline: tuple[Moment, ...]
    events: tuple[Event, ...]
    told: tuple[str, ...]


class Record(Struct, frozen=True, eq=False):
    about: About
    found: Replayed


def file(case: str, group: str, seed: int) -> str:
    """The path, below the work folder, at which `keep` puts the record of that name.

    >>> file("long.fog:5", "core", 1)
    'records/long.fog-5.core.1.npz'
    """
    return f"records/{case}.{group}.{seed}.npz".replace(":", "-").replace(",", "+")


def keep(record: Record, work: Path) -> Path:
    """Write it; a later one of the same case, group and seed takes its place."""
    a, r = record.about, record.found
    path = work / file(a.case, a.group, a.seed)
    facts = _Facts(
        a,
        r.domains,
        {name: trail.tally for name, trail in r.trails.items()},
        {name: trail.seconds for name, trail in r.trails.items()},
        r.timeline,
        r.events,
        r.told,
    )
    arrays: dict[str, Any] = {f"right.{i}": trail.right for i, trail in enumerate(r.trails.values())}
    return kept.arrays(path, number=r.number, facts=np.frombuffer(msgspec.json.encode(facts), np.uint8), **arrays)


def taken(path: Path) -> Record:
    """A record of a file; SourceError where it is none."""
    try:
        with path.open("rb") as held, np.load(held) as parts:
            facts = msgspec.json.decode(parts["facts"].tobytes(), type=_Facts)
            trails = {
                name: Trail(parts[f"right.{i}"], tally, facts.seconds[name])
                for i, (name, tally) in enumerate(facts.tallies.items())
            }
            found = Replayed(facts.domains, parts["number"], trails, facts.timeline, facts.events, facts.told)
    except (OSError, KeyError, ValueError, BadZipFile, msgspec.DecodeError) as error:
        raise SourceError(
            "a record cannot be read", got=f"{path.name} ({error})", hint="Remove it and run its job again."
        ) from error
    return Record(facts.about, found)


def records(work: Path) -> list[Record]:
    """All that were kept, by name."""
    return [taken(path) for path in kept.finished(work / "records")]


def cases(found: Sequence[Record], front: str = "") -> dict[str, dict[int, Record]]:
    """By case (that begins with `front`) and seed, the records of one stream as one; ConfigError where they do not pair up."""
    whole: dict[str, dict[int, Record]] = {}
    for one in found:
        if not one.about.case.startswith(front):
            continue
        seeds = whole.setdefault(one.about.case, {})
        seeds[one.about.seed] = _together(seeds[one.about.seed], one) if one.about.seed in seeds else one
    return whole


def _together(a: Record, b: Record) -> Record:
    if not np.array_equal(a.found.number, b.found.number) or a.found.domains != b.found.domains:
        raise ConfigError(
            "two records of one case are of different streams",
            got=f"{a.about.case}, {a.about.group} and {b.about.group}",
            hint="Remove the older one and run its job again.",
        )
    trails: Mapping[str, Trail] = {**b.found.trails, **a.found.trails}
    first = a.found if a.found.events or not b.found.events else b.found
    return Record(
        a.about,
        Replayed(first.domains, first.number, trails, first.timeline, first.events, (*a.found.told, *b.found.told)),
    )
