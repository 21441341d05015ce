"""From records and pieces to ways: what each method sends at an accuracy that all of them reach, and what it asks of both sides.

Equal accuracy is the teacher's less DROP. A method's bytes there are read off its curve (`bench.rates.curves`: between two points
the logarithm of bytes is linear in accuracy); where all its points are better than that, its smallest counts, and where none is
as good, the method is no way to answer and is listed with the best that it reached. Early exits are taken at one of their
thresholds, for the share of pictures that cross belongs to it.

A method is known by its name in the records; a name that is not here, or whose pieces were not timed, is listed as unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from bench.rates.boards import Effort
from bench.rates.curves import bytes_at, curve
from bench.rates.pieces import CODEC
from bench.rates.record import Record
from bench.rates.timing import Timed
from bench.rates.ways import Kind, Way

DROP = 0.02  # of accuracy below the teacher
OURS = "lean"
OWN = ("lean-task", "lean")  # ours as a way to answer one task: the first that there is, whichever is faster
LEFT = ("jpeg-reference",)  # what is only measured from


class Recipe(Struct, frozen=True):
    """`name` of the way (what it is called in tables), its pieces: networks and coders on the device and on the edge server."""

    name: str
    kind: Kind
    device: str
    encode: str = ""
    decode: str = ""
    edge: str = ""

    def timed(self, pieces: Mapping[str, Timed]) -> bool:
        """Whether all that it needs was timed."""
        return all(name in pieces for name in (self.device, self.encode, self.decode, self.edge) if name)

    def effort(self, pieces: Mapping[str, Timed]) -> tuple[Effort, Effort]:
        """Seconds on either side, one thread of this machine."""

        def busy(name: str) -> float:
            return pieces[name].seconds.busy if name else 0.0

        return Effort(busy(self.device), busy(self.encode)), Effort(busy(self.edge), busy(self.decode))


class Reached(Struct, frozen=True):
    """`ways` at equal accuracy; `short`: the best accuracy of methods that do not reach it; `unknown`: methods without pieces."""

    ways: tuple[Way, ...]
    short: dict[str, float]
    unknown: tuple[str, ...]


def recipe(method: str, point: str) -> Recipe | None:
    """The pieces of a record's method, None where it is not known.

    >>> recipe("jpeg-shared-tuned", "q10").edge
    'teacher'
    """
    if method == "teacher":
        return Recipe("local teacher", "local", "teacher")
    if method == "local":
        return Recipe(f"local {point}", "local", f"local {point}")
    if found := re.fullmatch(r"(jpeg|webp|avif)(-shared)?(-tuned)?", method):
        kind = found[1]
        return Recipe(method, "image", "", f"{kind} encode", f"{kind} decode", "teacher")
    if method in ("bottlefit", "bottlefit-coded") and (channels := re.match(r"(3|12)(s?)-", point)):
        slim = "slim" if channels[2] else ""
        return _split(f"{method} {channels[1]} {slim}".rstrip(), f"bottlefit-{channels[1]}-{slim}".rstrip("-"))
    if method in ("exits", "early-exits-jpeg"):
        layer, own = point.partition("-")[0], method == "exits"
        how = (
            (f"exit {layer} encode", f"exit {layer} decode", f"exit {layer} tail")
            if own
            else ("jpeg encode", "jpeg decode", "teacher")
        )
        return Recipe(f"{method} {layer}", "split" if own else "image", f"exit {layer} head", *how)
    return _split(method, SPLITS[method]) if method in SPLITS else None


SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("lean", "lean-task", "lean-progressive", "lean-task-progressive"), "lean"),
    "entropic": "entropic-narrow",
    "entropic-paper": "entropic",
    "end-to-end": "entropic-narrow",
    "cr-bq": "ghnd",
    "mid": "mid",
    "image-codec": CODEC,
    "image-codec-tuned": CODEC,
}


def reached(records: Sequence[Record], pieces: Mapping[str, Timed], drop: float = DROP) -> Reached:
    """Every method of the records at the teacher's accuracy less `drop`; all of the task, data and pictures of `teacher`."""
    teacher = next(r for r in records if r.about.method == "teacher")
    alike = [r for r in records if (r.about.task, r.about.data) == (teacher.about.task, teacher.about.data)]
    grouped: dict[str, list[Record]] = {}
    recipes: dict[str, Recipe] = {}
    unknown: dict[str, None] = {}
    for one in alike:
        found = recipe(one.about.method, one.about.point)
        if found is None or not found.timed(pieces):
            called = one.about.method if found is None else found.name
            unknown |= {called: None} if one.about.method not in LEFT else {}
            continue
        recipes[found.name] = found
        grouped.setdefault(found.name, []).append(one)
    ways, short = [], {}
    for name, group in grouped.items():
        way = _way(recipes[name], group, teacher, pieces, drop)
        if isinstance(way, Way):
            ways.append(way)
        else:
            short[name] = way
    return Reached(tuple(ways), short, tuple(unknown))


def _split(name: str, cut: str) -> Recipe:
    return Recipe(name, "split", f"{cut} head", f"{cut} encode", f"{cut} decode", f"{cut} tail")


def _way(asked: Recipe, group: Sequence[Record], teacher: Record, pieces: Mapping[str, Timed], drop: float) -> Way | float:
    """The way at that accuracy, or the best accuracy of the group where it does not reach it."""
    device, edge = asked.effort(pieces)
    target = teacher.accuracy - drop
    good = [r for r in group if r.accuracy >= target]
    if not good:
        return max(r.accuracy for r in group)
    if asked.kind == "local":
        return Way(asked.name, "local", 0.0, device, accuracy=good[0].accuracy)
    if asked.device.startswith("exit"):
        best = min(good, key=lambda r: r.mean_bytes)
        sent = best.bytes[best.bytes > 0]
        crosses = len(sent) / len(best.bytes)
        return Way(asked.name, asked.kind, float(sent.mean()), device, edge, best.accuracy, crosses, Effort(device.nets))
    bytes_ = bytes_at(curve(asked.name, group), teacher, drop, np.full((1, len(teacher.right)), 1 / len(teacher.right))).value
    if bytes_ is None:  # all points are better than that
        bytes_ = min(r.mean_bytes for r in good)
    return Way(asked.name, asked.kind, bytes_, device, edge, target)
