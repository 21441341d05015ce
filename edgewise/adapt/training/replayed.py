"""Replay recorded pictures as a stream through weather, for several methods side by side, each judged before it learns.

    album ─► stream ─► weather ─► batch ─┬─► method: answer, then adapt ─► right?
                                         ├─► method …                       paired, picture by picture
                                         └─► crossing: JPEG, teacher (once for all)

Batches are of frames one after the other at `rate` a second, so that budgets in bytes a second mean what they mean on a link. A
method that needs batches gets them; one that does not (`moving`, ours) treats the rows as single frames. Each method pays its own
processor time; drawing, weather, coding and the teacher are paid once and belong to nobody.

An answer is right where its likeliest class is the label's. Without labels, or where an answer is a map, it is held against what
the teacher says of the same picture *before* the weather: agreement, not truth.

`run` replays any methods on any stream; `replay` makes all of it of a bundle and a folder. It does not know how long a stream has
to be: learning shows after some 2,000 pictures (adapt notes, long runs).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import process_time

import numpy as np
import torch
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.adapt.inputs import prepared
from edgewise.adapt.method import Inputs, Tally, TestTimeMethod, Values
from edgewise.adapt.recipe import Recipe
from edgewise.adapt.replay import Event, Replayed, Right, Trail, timeline
from edgewise.adapt.step import Kind, agreement
from edgewise.adapt.teacher import Picture, Teacher
from edgewise.adapt.training.methods.ours import Ours
from edgewise.adapt.training.methods.table import BATCH, METHODS, Setting, made
from edgewise.adapt.training.student import of_bundle
from edgewise.adapt.uplink import Ask, Crossing
from edgewise.adapt.upload import Calibration
from edgewise.adapt.way import way
from edgewise.core.artifact import Manifest
from edgewise.core.errors import ConfigError, TensorError
from edgewise.data.album import UNKNOWN, Album, open_album
from edgewise.data.dataset import TO_LEARN
from edgewise.data.streams import Order, Stream, parse, stream
from edgewise.runtime.bundle import bundle_files
from edgewise.runtime.update import manifest_of

Advance = Callable[[str, float], None]
MOMENTS = 50  # of a timeline
HOME = 100  # pictures of the source's own domain (adapt notes, 2.5)
RATE = 10.0  # frames/s
HOMELESS = "no pictures of the model's own domain: no gate knows what it could do there, and EATA holds nothing"


class Course(Struct, frozen=True, forbid_unknown_fields=True):
    """How a stream is run: `batch` frames at once, `rate` frames/s, JPEG `level`, and after how many frames counts are noted."""

    batch: int = BATCH
    rate: float = RATE
    level: int = 85
    every: int = 0


USUAL = Course()
BOTH = Recipe(samples=1e6, cascade=0.25)  # learning and a cascade, bounded by bytes alone


class Judge:
    """Says of answers (n, C) how right they are (n,), 0 to 1; `labels` by picture, UNKNOWN where nobody knows."""

    def __init__(self, labels: NDArray[np.int64], ask: Ask, kind: Kind = "classes") -> None:
        self._labels, self._ask, self._kind = labels, ask, kind
        self.blind = kind == "cells" or bool((labels == UNKNOWN).any())
        self._clean: dict[int, Values] = {}

    def truth(self, indices: Sequence[int], pictures: Sequence[Picture], classes: int) -> Values:
        """(n, C) of the pictures of these numbers as they are before the weather."""
        if not self.blind:
            found = np.zeros((len(indices), classes), np.float32)
            found[np.arange(len(indices)), self._labels[list(indices)]] = 1
            return found
        new = {i: p for i, p in zip(indices, pictures) if i not in self._clean}
        if new:
            self._clean.update(zip(new, self._ask(list(new.values()))))
        return np.stack([self._clean[i] for i in indices])

    def right(self, said: Values, truth: Values) -> Right:
        """(n,): what is no number is not right."""
        found = agreement(np.nan_to_num(said, nan=-1.0), truth, self._kind)
        return np.where(np.isfinite(said).all(1), found, np.float32(0)).astype(np.float32)


def run(
    shown: Stream,
    album: Album,
    methods: Mapping[str, TestTimeMethod],
    crossing: Crossing,
    prepare: Callable[[Sequence[Picture]], Inputs],
    judge: Judge,
    classes: int,
    course: Course = USUAL,
    advance: Advance = lambda what, share: None,
) -> Replayed:
    """Every method on every picture of a stream, in its order, and how right they were.

    TensorError where a method does not answer each picture.
    """
    right: dict[str, list[Right]] = {name: [] for name in methods}
    seconds = dict.fromkeys(methods, 0.0)
    every = course.every or max(course.batch, len(shown) // MOMENTS)
    noted: list[tuple[int, Mapping[str, Tally]]] = []
    for first in range(0, len(shown), course.batch):
        places = [shown.at(i) for i in range(first, min(first + course.batch, len(shown)))]
        clean = [album.of(place.index) for place in places]
        pictures = np.stack([shown.through(picture, place) for picture, place in zip(clean, places)])
        crossing.show(pictures, first, np.arange(first, first + len(places)) / course.rate)
        inputs = prepare(list(pictures))
        truth = judge.truth([place.index for place in places], clean, classes)
        for name, method in methods.items():
            before, apart = process_time(), crossing.seconds
            said = method.answer(inputs)
            seconds[name] += process_time() - before - (crossing.seconds - apart)
            if said.shape != truth.shape:
                raise TensorError(f"the method {name} does not answer each picture", got=said.shape, allowed=truth.shape)
            right[name].append(judge.right(said, truth))
        done = first + len(places)
        if done // every > first // every or done == len(shown):
            noted.append((done, {name: method.tally() for name, method in methods.items()}))
        advance("replaying", done / len(shown))
    whole = {name: np.concatenate(rows) for name, rows in right.items()}
    return Replayed(
        tuple(domain.name for domain in shown.domains),
        shown.number,
        {name: Trail(whole[name], methods[name].tally(), seconds[name]) for name in methods},
        timeline([domain.name for domain in shown.domains], shown.number, whole, noted),
        tuple(
            e for name, method in methods.items() if isinstance(method, Ours) and name == "ours" for e in _events(method, course)
        ),
        (*album.told, *(("right means: as the teacher says of the picture before the weather",) if judge.blind else ())),
    )


def replay(
    bundle: str | Path,
    source: str | Path,
    shifts: str,
    methods: Sequence[str],
    teacher: Teacher,
    budget: float = 20_000.0,
    seed: int = 0,
    advance: Advance = lambda what, share: None,
    *,
    order: Order = "iid",
    each: int | None = None,
    limit: int | None = None,
    recipe: Recipe = BOTH,
    course: Course = USUAL,
    delay: int = 1,
    home: str | Path | None = None,
    threads: int = 1,
) -> Replayed:
    """`methods` (all where none is named) of a bundle on pictures of `source`, seen through `shifts` (`fog:3,night,clean`).

    `budget` bytes a second may go up from ours; `each` pictures a domain (None: every one once), of `limit` that are opened.
    `home` holds pictures of the source's own domain; without, those to learn from that lie beside the stream, if it has parts.
    ConfigError, ModelError or SourceError say what does not go together.
    """
    torch.set_num_threads(threads)
    files = bundle_files(bundle)
    manifest = manifest_of(files)
    parts = way(manifest)
    size = manifest.pictures.get(parts[0])
    prepare = prepared(manifest.parts[parts[0]].inputs[0], size)
    album = open_album(source, limit, seed, size, advance=advance)
    labels = classed(album, manifest.labels)
    crossing = Crossing(teacher.probabilities, course.level, process_time)
    student = of_bundle(files, parts)
    own = _home(home, source, seed, album, manifest)
    setting = Setting(
        lambda: of_bundle(files, parts),
        manifest.labels,
        prepare,
        teacher,
        crossing,
        replace(recipe, bytes=budget, seed=seed, level=course.level),
        own,
        delay,
        base=manifest.address,
    )
    chosen = made(methods or tuple(METHODS), setting)
    shown = stream(parse(shifts), labels, order, seed, each)
    with torch.no_grad():
        classes = student.logits(torch.from_numpy(prepare([album.of(0)]))).shape[1]
    judge = Judge(labels, teacher.probabilities, student.kind)
    found = run(shown, album, chosen, crossing, prepare, judge, classes, course, advance)
    return found if own is not None else replace(found, told=(*found.told, HOMELESS))


def classed(album: Album, labels: Sequence[str]) -> NDArray[np.int64]:
    """(n,) the class of each picture as a number of the model's `labels`; UNKNOWN everywhere where no picture has a label.

    ConfigError where pictures have labels that the model does not know.
    """
    known = {name: i for i, name in enumerate(labels)}
    strange = sorted({e.label for e in album.entries if e.label and e.label not in known})
    if strange:
        raise ConfigError(
            "pictures have labels that the model does not know",
            got=", ".join(strange[:5]) + (" …" if len(strange) > 5 else ""),
            allowed=", ".join(labels[:10]) + (" …" if len(labels) > 10 else ""),
            hint="Folders of classes must be named as the bundle names them.",
        )
    return np.array([known.get(e.label, UNKNOWN) for e in album.entries], np.int64)


def _home(home: str | Path | None, source: str | Path, seed: int, album: Album, manifest: Manifest) -> Calibration | None:
    """Pictures of the source's own domain: from the folder that is named, or the part of the data that is there to learn from."""
    if home is None and not album.names:
        return None
    found = open_album(home if home is not None else source, HOME, seed + 1, album.picture, part=TO_LEARN)
    if home is None and {e.name for e in found.entries} & {e.name for e in album.entries}:
        return None  # the data has no parts: what is judged on is not to be known before
    pictures = tuple(found.of(i) for i in range(len(found)))
    numbers = classed(found, manifest.labels)
    if (numbers == UNKNOWN).any():
        return Calibration(pictures)
    return Calibration(pictures, np.eye(len(manifest.labels), dtype=np.float32)[numbers])


def _events(method: Ours, course: Course) -> list[Event]:
    return [Event(round(e.at * course.rate) + 1, e.what, e.why) for e in method.events]
