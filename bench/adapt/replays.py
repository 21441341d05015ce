"""A job that replays one stream: methods by name or with changes of their own, a teacher, a budget; a Record is what it leaves.

Methods are the product's and the baselines' (`edgewise.adapt.training.methods.table`), on the networks of `bench.adapt.ground` in
torch; bytes are of real JPEGs and coded deltas. The budget of uploads is said as a share of all frames and becomes bytes a second
by the size of this stream's own pictures, so that every method of a case has the same bytes.

A replay that is ended begins anew; none should take more than 12 minutes of a core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import nn

from bench.adapt import models, record
from bench.adapt.data import Part
from bench.adapt.ground import SCALES, before
from bench.adapt.models import LOOKS, Data
from bench.adapt.nets import published
from bench.adapt.planted import Noisy, Shuffled
from bench.adapt.record import About, Record
from bench.jobs import Advance, Job, Size
from edgewise.adapt.method import TestTimeMethod
from edgewise.adapt.recipe import Recipe
from edgewise.adapt.replay import Replayed
from edgewise.adapt.teacher import Teacher
from edgewise.adapt.training.methods.table import METHODS, Setting
from edgewise.adapt.training.replayed import Course, Judge
from edgewise.adapt.training.replayed import run as replayed
from edgewise.adapt.training.student import Student, of_net
from edgewise.adapt.training.teacher import TorchTeacher
from edgewise.adapt.uplink import Crossing
from edgewise.adapt.upload import Calibration
from edgewise.codec.image import ImageCodec
from edgewise.core.errors import ConfigError
from edgewise.core.wire import FRAME_HEADER
from edgewise.data.album import Album
from edgewise.data.streams import Order, Stream, parse, stream
from edgewise.training.classes import tensor

RATE = 20.0  # frames/s of a stream
LEVEL = 85  # of JPEG
SHARE = 1 / 3  # of the frames that may go up
WEIGHED = 64  # pictures that a budget is measured on
BESIDE = 150  # bytes of a sample beside its picture: what it says of itself, and its part of statistics
HOME = 100  # calibration pictures
# chosen on CHOOSING (`bench.adapt.choosing`), reported on REPORTED
CHOSEN = Recipe(samples=1e6)
BOTH = {"cascade": 0.25}  # ours: the most doubtful quarter is answered, the rest of the budget teaches


class Variant(Struct, frozen=True, forbid_unknown_fields=True):
    """A method `of` the table with changes of the recipe, of how late shipments are (batches), or of its `share` of frames."""

    of: str
    recipe: dict[str, Any] = {}
    delay: int = 1
    share: float = SHARE


class Replay(Struct, frozen=True, forbid_unknown_fields=True):
    """One stream and what runs on it. `teacher`: `taught` (through all families), `self` (the student), `published` (without any
    training of ours), `shuffled`, `noisy`. `every`: pictures between two notes of the timeline."""

    case: str
    group: str
    shifts: str
    methods: dict[str, Variant]
    each: int
    seed: int = 0
    data: Data = "cifar10"
    order: Order = "iid"
    rounds: int | None = None
    part: Part = "report"
    teacher: str = "taught"
    judge: int = 0
    every: int = 500
    size: Size = "full"


def job(asked: Replay, minutes: float, priority: float = 4) -> Job:
    """The job that runs it; it takes so many minutes of a core in the full size."""
    name = record.file(asked.case, asked.group, asked.seed).removeprefix("records/").removesuffix(".npz")
    return Job(
        name,
        "bench.adapt.replays:leave",
        (record.file(asked.case, asked.group, asked.seed),),
        {"asked": msgspec.to_builtins(asked)},
        priority,
        before(asked.data, asked.seed),
        {"recipe": msgspec.to_builtins(CHOSEN), "rate": RATE},
        round(minutes * SCALES[asked.size].part(asked.data), 2),
    )


def plain(*names: str) -> dict[str, Variant]:
    """Methods as they stand in the table; ours with the cascade."""
    return {name: Variant(name, BOTH if name == "ours" else {}) for name in names}


def leave(work: Path, advance: Advance, asked: dict[str, Any]) -> None:
    """The job: run it, keep the record."""
    replay = msgspec.convert(asked, Replay)
    made = Made(work, replay, advance)
    found = made.run(advance)
    about = About(replay.case, replay.group, replay.seed, len(found.number), replay.data, made.bytes(SHARE))
    record.keep(Record(about, found), work)


class Made:
    """Everything that a Replay asks for, ready to run."""

    def __init__(self, work: Path, asked: Replay, advance: Advance = lambda what, share: None) -> None:
        self.asked, self.look = asked, LOOKS[asked.data]
        limit = asked.judge or SCALES[asked.size].judge
        self.album = models.pictures(asked.data, asked.part, work, limit, advance)
        self.stream: Stream = stream(parse(asked.shifts), self.album.labels, asked.order, asked.seed, asked.each, asked.rounds)
        self.net = models.taken(work, asked.data, "student", asked.seed)
        self.teach(taught(work, asked, self.net, self.album.names))
        self._weight = weight(self.album, self.stream)
        self._home = home(models.pictures(asked.data, "choose", work, SCALES[asked.size].judge, advance), asked.seed)

    def teach(self, teacher: Teacher) -> None:
        """Another teacher, for methods that are made from now on."""
        self.teacher = teacher
        self.crossing = Crossing(teacher.probabilities, LEVEL, process_time)

    def prepare(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(n, 3, height, width), normalised, of pictures of the network's own size."""
        found: NDArray[np.float32] = tensor(np.stack(pictures), self.look).numpy()
        return found

    def student(self) -> Student:
        return of_net(self.net)

    def bytes(self, share: float) -> float:
        """Bytes a second by which so many of the frames can go up."""
        return share * RATE * self._weight

    def setting(self, variant: Variant) -> Setting:
        recipe = replace(CHOSEN, bytes=self.bytes(variant.share), seed=self.asked.seed, level=LEVEL)
        recipe = msgspec.convert({**msgspec.to_builtins(recipe), **variant.recipe}, Recipe)
        return Setting(
            self.student, self.album.names, self.prepare, self.teacher, self.crossing, recipe, self._home, variant.delay
        )

    def methods(self) -> dict[str, TestTimeMethod]:
        unknown = [v.of for v in self.asked.methods.values() if v.of not in METHODS]
        if unknown:
            raise ConfigError("there is no such method", got=", ".join(unknown), allowed=", ".join(METHODS))
        return {name: METHODS[v.of](self.setting(v)) for name, v in self.asked.methods.items()}

    def run(self, advance: Advance, methods: dict[str, TestTimeMethod] | None = None) -> Replayed:
        judge = Judge(self.album.labels, self.teacher.probabilities)
        course = Course(rate=RATE, level=LEVEL, every=self.asked.every)
        chosen = self.methods() if methods is None else methods
        return replayed(
            self.stream, self.album, chosen, self.crossing, self.prepare, judge, len(self.album.names), course, advance
        )


def taught(work: Path, asked: Replay, student: nn.Module, names: Sequence[str]) -> Teacher:
    """The teacher of that name; ConfigError for one that is none."""
    look = LOOKS[asked.data]
    good: Callable[[], TorchTeacher] = lambda: TorchTeacher(  # noqa: E731
        models.taken(work, asked.data, "teacher"), look, None, names, name="taught"
    )
    made: dict[str, Callable[[], Teacher]] = {
        "taught": good,
        "self": lambda: TorchTeacher(student, look, None, names, name="self"),
        "published": lambda: TorchTeacher(published(56), look, None, names, name="published"),
        "shuffled": lambda: Shuffled(good(), asked.seed),
        "noisy": lambda: Noisy(good(), asked.seed),
    }
    if asked.teacher not in made:
        raise ConfigError("there is no such teacher", got=asked.teacher, allowed=", ".join(made))
    return made[asked.teacher]()


def weight(album: Album, shown: Stream) -> float:
    """Bytes of a frame that goes up, in the mean over pictures from all along the stream."""
    codec = ImageCodec("jpeg", LEVEL)
    places = np.linspace(0, len(shown) - 1, min(WEIGHED, len(shown))).round().astype(int).tolist()
    sizes = [len(codec.encode(shown.through(album.of(shown.at(i).index), shown.at(i)))) for i in places]
    return float(np.mean(sizes)) + FRAME_HEADER + BESIDE


def home(album: Album, seed: int) -> Calibration:
    """Pictures of the source's own domain that chose constants, and taught nothing."""
    chosen = np.random.default_rng([seed, 23]).permutation(len(album))[:HOME].tolist()
    truth = np.eye(len(album.names), dtype=np.float32)[album.labels[chosen]]
    return Calibration(tuple(album.of(i) for i in chosen), truth)
