"""Split of a person's own network with training: `edgewise split fit --model mypkg.net:build --cut layer1 --data DIR`.

    recipe               teaches                                                       gives
    hnd, ghnd            a bottleneck to give what a module gave (paper 2)             one bundle, a point for each width of code
    bottlefit            the same at stride 8, then the tail on what comes (paper 8)   one bundle, a point for each width of code
    entropic, lean       with a price on bits, at N of them; then the tail (paper 6)   N points (`edgewise.split.rates`)

The job: read the pictures, the network and the labels (`lesson`), teach a student, export it, cut it, find codes for what
crosses, measure each point on pictures that taught nothing, write a bundle. No recipe needs labels. Where there are some, they
score the points; they teach only where `supervised` says so, and the manifest says which.

Everything that takes long is kept in the work folder: a call that was killed is simply made again, with the same outcome.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from edgewise.core.artifact import Bottleneck, Manifest, PartName, Task
from edgewise.runtime.session import Session
from edgewise.split.judged import Judge, Sessions
from edgewise.split.lesson import Lesson, lesson, spread
from edgewise.split.options import PUBLISHED, sensible
from edgewise.split.order import order
from edgewise.split.points import Ranges, coded, measured, ranged, within, written
from edgewise.split.provenance import provenance
from edgewise.split.training.recipe import BITS, Recipe

log = logging.getLogger(__name__)

Advance = Callable[[str, float], None]
PARTS: tuple[PartName, ...] = ("head", "tail", "full")
MOST_JUDGED = 400
CALIBRATED = 512  # pictures that ranges and tables are fitted on
ORDERED = 32  # of them, by which the order of channels is found


class Fit(Struct, frozen=True, forbid_unknown_fields=True):
    """What `split fit` is told. `width` and `height` 0: the configuration's, or the first picture's own; `work` empty: a folder
    beside `out`; `channels`, `epochs`, `batch` 0, `scale`, `mean` and `std` None: the recipe's, and the configuration's or 0..1.

    `bytes`: only points whose mean frame (payload and header) is not larger are written (0: all). `noise` and `price` are ours,
    see the recipe. `rates`, `betas`, `together`, `free` and `crop` are for recipes of two stages (`edgewise.split.rates`).
    """

    model: str
    cut: str
    data: Path
    weights: Path | None = None
    out: Path = Path("split-bundle")
    work: Path | None = None
    name: str = ""
    recipe: Literal["hnd", "ghnd", "bottlefit", "entropic", "lean"] = "ghnd"
    rates: Annotated[int, Meta(ge=0, le=16)] = 0
    betas: tuple[Annotated[float, Meta(gt=0)], ...] = ()
    channels: Annotated[int, Meta(ge=0, le=1024)] = 0
    paths: tuple[str, ...] = ()
    wide: Annotated[float, Meta(gt=0, le=16)] = 1.0
    fine: bool = False
    width: Annotated[int, Meta(ge=0)] = 0
    height: Annotated[int, Meta(ge=0)] = 0
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    bgr: bool = False
    task: Task | None = None
    labels: tuple[str, ...] = ()
    supervised: bool = False
    unlabelled: bool = False
    free: bool = False
    together: bool = False
    crop: Annotated[int, Meta(ge=0)] = 0
    epochs: Annotated[float, Meta(ge=0)] = 0.0
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    rate: Annotated[float, Meta(gt=0)] = 1e-3
    schedule: Literal["steps", "cosine"] = "steps"
    batch: Annotated[int, Meta(ge=0)] = 0
    relative: bool = False
    noise: Literal["none", "round", "uniform"] = "none"
    late: Annotated[float, Meta(gt=0, le=1)] = 0.5
    price: Annotated[float, Meta(ge=0)] = 0.0
    bits: tuple[int, ...] = BITS
    per_channel: bool = True
    bytes: Annotated[int, Meta(ge=0)] = 0
    validation: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    limit: Annotated[int, Meta(ge=0)] = 0
    most_bad: Annotated[float, Meta(ge=0, le=1)] = 0.05
    seed: int = 0
    threads: Annotated[int, Meta(ge=1)] = 1
    device: str = "cpu"
    cores: Annotated[int, Meta(ge=1)] = 1

    @property
    def taught(self) -> Recipe:
        """The published recipes' own words for it."""
        assert self.recipe == "hnd" or self.recipe == "ghnd"
        return Recipe(
            self.recipe,
            self.paths,
            self.relative or self.price > 0,
            self.rate,
            self.batch or 4,
            self.epochs or 20.0,
            self.seconds,
            self.noise,
            self.late,
            self.bits,
            self.price,
            self.schedule,
        )

    @property
    def place(self) -> Path:
        """The work folder."""
        return self.work or self.out.with_name(self.out.name + "-work")


class Fitted(Struct, frozen=True):
    """What came of it: a folder and a manifest for each bundle, steps and seconds of the training, pictures left out by name,
    what the points' qualities are, and sentences about the data."""

    folders: tuple[Path, ...]
    manifests: tuple[Manifest, ...]
    steps: int
    seconds: float
    left: tuple[tuple[str, str], ...]
    measure: str
    told: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return self.folders[0]

    @property
    def manifest(self) -> Manifest:
        return self.manifests[0]


def fit(config: Fit, advance: Advance = lambda what, share: None) -> Fitted:
    """Do the whole job; an error is a sentence, and a call that was killed carries on where it was."""
    sensible(config)
    read = lesson(config, config.place, advance)
    counts = len(read.learn), len(read.judged), len(read.unused)
    log.info("%d pictures to learn from, %d to judge on, %d between them unused", *counts)
    if config.recipe in PUBLISHED:
        return _published(config, read, advance)
    from edgewise.split.rates import fitted

    return fitted(config, read, advance)


def _published(config: Fit, read: Lesson, advance: Advance) -> Fitted:
    from edgewise.split.training.job import made

    done = made(
        read.net,
        config.cut,
        config.channels or 3,
        read.source,
        read.look,
        config.taught,
        config.seed,
        config.place,
        wide=config.wide,
        fine=config.fine,
        threads=config.threads,
        advance=advance,
    )
    sessions = Sessions(*(Session.load(done.parts.models[part], config.threads) for part in PARTS))
    judge = judge_of(config, read, sessions)
    features = sessions.features(read.gallery.of(spread(read.learn, CALIBRATED)))
    held = Ranges(done.learnt.low, done.learnt.high) if done.learnt.low else ranged(features, config.per_channel)
    bottleneck = Bottleneck(done.parts.shape, held.low, held.high)
    codings = coded(bottleneck, features, config.bits, order(sessions.tailed, features[:ORDERED]))
    points = within(measured(judge, bottleneck, codings, read.original, advance), config.bytes)
    trained = f"{config.recipe.upper()} at {config.cut}, {done.learnt.steps} steps in {done.learnt.seconds:.0f} s"
    manifest = written(
        config.out,
        name=config.name or config.out.name,
        models=done.parts.models,
        picture=read.look.picture,
        bottleneck=bottleneck,
        task=read.task,
        decoding=read.decoding,
        labels=read.names,
        points=points,
        codings=codings,
        parameters=done.parts.parameters,
        provenance=provenance(config, read, len(judge), judge.measure, trained),
    )
    left = tuple((x.name, x.why) for x in read.gallery.left)
    return Fitted((config.out,), (manifest,), done.learnt.steps, done.learnt.seconds, left, judge.measure, read.told)


def judge_of(config: Fit, read: Lesson, sessions: Sessions) -> Judge:
    """Who measures: by labels where there are some, else by agreement with the uncut model."""
    chosen = spread(read.judged, MOST_JUDGED)
    if read.labels is None or not all(read.labels.word(i) for i in chosen):
        return Judge(sessions, read.gallery, chosen, read.decoding, read.names, true=())
    true = [read.labels.word(i) for i in chosen]
    return Judge(sessions, read.gallery, chosen, read.decoding, read.names, true=true, of=f"labels ({read.labels.of})")
