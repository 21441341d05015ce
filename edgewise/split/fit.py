"""Split of a person's own network with training: `edgewise split fit --model mypkg.net:build --cut layer1 --data DIR`.

The job: read the pictures, teach a student whose module at the cut is a bottleneck (`edgewise.split.training`), export it, cut
it, find codes of several widths for what crosses, measure each on pictures that taught nothing, write a bundle. Labels are not
needed; where the pictures lie in class folders named as the labels, they score the points and nothing else.

Everything that takes long is kept in the work folder: a call that was killed is simply made again, with the same outcome.
"""

from __future__ import annotations

import contextlib
import logging
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from edgewise.core.artifact import Bottleneck, Manifest, PartName, Task
from edgewise.core.errors import ConfigError, ImageError, SourceError
from edgewise.data.pack import Pack, open_pack
from edgewise.data.picture import SUFFIXES, picture_size, read_picture
from edgewise.data.preprocess import narrow
from edgewise.graph.picture import Look
from edgewise.runtime.session import Session
from edgewise.split.gallery import Gallery, gathered, parted
from edgewise.split.judged import Judge, Sessions
from edgewise.split.order import order
from edgewise.split.points import Ranges, coded, measured, ranged, within, written
from edgewise.split.task import task_of
from edgewise.split.training.recipe import BITS, Recipe

log = logging.getLogger(__name__)

Advance = Callable[[str, float], None]
TESTS = ("test", "val", "valid", "validation")
TRAINS = ("train", "training")
MASKS = ("masks", "mask", "SegmentationClass", "labels_mask")
PARTS: tuple[PartName, ...] = ("head", "tail", "full")
MOST_JUDGED = 400
LARGEST = 1024  # px of the longer side that is taken as the network's own size
CALIBRATED = 512  # pictures that ranges and tables are fitted on
ORDERED = 32  # of them, by which the order of channels is found
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow")


class Fit(Struct, frozen=True, forbid_unknown_fields=True):
    """What `split fit` is told. `width` and `height` 0: the first picture's own; `work` empty: a folder beside `out`.

    `bytes`: only points whose mean frame (payload and header) is not larger are written (0: all). `noise` and `price` are ours,
    see the recipe.
    """

    model: str
    cut: str
    data: Path
    weights: Path | None = None
    out: Path = Path("split-bundle")
    work: Path | None = None
    name: str = ""
    recipe: Literal["hnd", "ghnd"] = "ghnd"
    channels: Annotated[int, Meta(ge=1, le=1024)] = 3
    paths: tuple[str, ...] = ()
    wide: Annotated[float, Meta(gt=0, le=16)] = 1.0
    fine: bool = False
    width: Annotated[int, Meta(ge=0)] = 0
    height: Annotated[int, Meta(ge=0)] = 0
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    bgr: bool = False
    task: Task | None = None
    labels: tuple[str, ...] = ()
    epochs: Annotated[float, Meta(gt=0)] = 20.0
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    rate: Annotated[float, Meta(gt=0)] = 1e-3
    schedule: Literal["steps", "cosine"] = "steps"
    batch: Annotated[int, Meta(ge=1)] = 4
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

    @property
    def taught(self) -> Recipe:
        return Recipe(
            self.recipe,
            self.paths,
            self.relative or self.price > 0,
            self.rate,
            self.batch,
            self.epochs,
            self.seconds,
            self.noise,
            self.late,
            self.bits,
            self.price,
            self.schedule,
        )


class Fitted(Struct, frozen=True):
    """What came of it: the bundle's folder and manifest, steps and seconds of the training, pictures left out by name, and
    what the points' qualities are."""

    folder: Path
    manifest: Manifest
    steps: int
    seconds: float
    left: tuple[tuple[str, str], ...]
    measure: str


def fit(config: Fit, advance: Advance = lambda what, share: None) -> Fitted:
    """Do the whole job; an error is a sentence, and a call that was killed carries on where it was."""
    from edgewise.split.training.job import made
    from edgewise.split.training.teacher import teacher

    _sensible(config)
    work = config.work or config.out.with_name(config.out.name + "-work")
    pack = open_pack(config.data)
    names = pictures_of(pack)
    look = Look(*_size(config, pack, names), 3, config.scale, config.mean, config.std, config.bgr)
    net = teacher(config.model, config.weights, config.cut)
    gallery = gathered(pack, look.picture, work, config.most_bad, config.limit, names, advance)
    learn, judged = parted(gallery.names, config.validation, config.seed)
    between = len(gallery) - len(learn) - len(judged)
    log.info("%d pictures to learn from, %d to judge on, %d between them unused", len(learn), len(judged), between)
    source = Chosen(gallery, learn)
    done = made(
        net,
        config.cut,
        config.channels,
        source,
        look,
        config.taught,
        config.seed,
        work,
        wide=config.wide,
        fine=config.fine,
        threads=config.threads,
        advance=advance,
    )
    sessions = Sessions(*(Session.load(done.parts.models[part], config.threads) for part in PARTS))
    shapes = {t.name: [d or 1 for d in t.shape] for t in sessions.full.outputs}
    task, decoding = task_of(shapes, config.task)
    judge = Judge(sessions, gallery, spread(judged, MOST_JUDGED), decoding, config.labels)
    features = sessions.features(gallery.of(spread(learn, CALIBRATED)))
    held = Ranges(done.learnt.low, done.learnt.high) if done.learnt.low else ranged(features, config.per_channel)
    bottleneck = Bottleneck(done.parts.shape, held.low, held.high)

    def original(i: int) -> NDArray[np.uint8]:
        return narrow(read_picture(pack.read(gallery.names[i]), gallery.names[i]))

    codings = coded(bottleneck, features, config.bits, order(sessions.tailed, features[:ORDERED]))
    points = within(measured(judge, bottleneck, codings, original, advance), config.bytes)
    manifest = written(
        config.out,
        name=config.name or config.out.name,
        models=done.parts.models,
        picture=look.picture,
        bottleneck=bottleneck,
        task=task,
        decoding=decoding,
        labels=config.labels,
        points=points,
        codings=codings,
        parameters=done.parts.parameters,
        provenance=provenance(config, gallery, len(judge), between, judge.measure, done.learnt.steps, done.learnt.seconds),
    )
    left = tuple((x.name, x.why) for x in gallery.left)
    return Fitted(config.out, manifest, done.learnt.steps, done.learnt.seconds, left, judge.measure)


def provenance(
    config: Fit, gallery: Gallery, judged: int, between: int, measure: str, steps: int, seconds: float
) -> dict[str, str]:
    """How it was made, in words and figures for the manifest; no path of this machine."""
    model = Path(config.model).name
    shown = msgspec.structs.replace(config, model=model, out=Path(), work=None, data=Path(config.data.name), weights=None)
    return {
        "command": "edgewise split fit",
        "config": msgspec.json.encode(shown, enc_hook=str).decode(),
        "teacher": f"{model}, weights {config.weights.name if config.weights else 'as built'}",
        "data": f"{len(gallery)} pictures of {config.data.name}, {len(gallery.left)} left out; no labels were learned from",
        "trained": f"{config.recipe.upper()} at {config.cut}, {steps} steps in {seconds:.0f} s",
        "seed": str(config.seed),
        "quality": f"{measure}, on {judged} pictures that taught nothing, in stretches of each folder, {between} neighbours "
        "between them and what taught left out; 95 % intervals by bootstrap over neighbours",
        "times": f"measured, median processor time of 1 thread, {platform.machine()}, onnxruntime; neither waiting nor link",
        "bytes": "measured, mean payload, without frame header",
        "versions": ", ".join([f"python {platform.python_version()}", *(f"{p} {version(p)}" for p in PACKAGES)]),
    }


def spread(indices: Sequence[int], most: int) -> list[int]:
    """At most `most` of the indices, evenly chosen."""
    if len(indices) <= most:
        return list(indices)
    return [indices[i] for i in np.linspace(0, len(indices) - 1, most).round().astype(int)]


class Chosen:
    """Some pictures of a gallery, numbered anew."""

    def __init__(self, gallery: Gallery, chosen: Sequence[int]) -> None:
        self._gallery, self._chosen = gallery, np.asarray(chosen, int)

    def __len__(self) -> int:
        return len(self._chosen)

    def of(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        return self._gallery.of(self._chosen[np.asarray(indices, int)].tolist())


def pictures_of(pack: Pack) -> list[str]:
    """The pictures of a set to learn from: its training part where it has parts, never those for tests, never masks."""
    names = [n for n in pack.names if PurePosixPath(n).suffix.lower() in SUFFIXES]
    folders = {n: {part.lower() for part in PurePosixPath(n).parts[:-1]} for n in names}
    names = [n for n in names if not folders[n] & {m.lower() for m in MASKS}]
    trains = [n for n in names if folders[n] & set(TRAINS)]
    return trains or [n for n in names if not folders[n] & set(TESTS)] or names


def _sensible(config: Fit) -> None:
    if bool(config.width) != bool(config.height):
        raise ConfigError("a picture's size is half said", got=f"{config.width} × {config.height}", allowed="both, or neither")
    wrong = [b for b in config.bits if not 1 <= b <= 8]
    if wrong or not config.bits or len(set(config.bits)) < len(config.bits):
        raise ConfigError("the codes have impossible widths", got=list(config.bits), allowed="different numbers from 1 to 8")


def _size(config: Fit, pack: Pack, names: Sequence[str]) -> tuple[int, int]:
    """Height and width of what the network sees."""
    if config.model.lower().endswith(".onnx"):
        from edgewise.training.from_onnx import size

        own = size(config.model, (config.height, config.width) if config.width else None)
        if own:
            return own
    if config.width:
        return config.height, config.width
    for name in names:
        with contextlib.suppress(ImageError):  # it is left out, counted and named when the pictures are read
            width, height = picture_size(pack.read(name), name)
            if max(width, height) > LARGEST:
                raise ConfigError(
                    "the pictures are large, and nobody says at which size the network takes them",
                    got=f"{width} × {height} in {name}",
                    allowed=f"up to {LARGEST} pixels without being told",
                    hint="Say it, as in `--size 640 360`.",
                )
            return height, width
    found = f"{len(names)} in {pack.path}, of which none can be read" if names else pack.path
    raise SourceError("there is no picture to learn from", got=found, allowed=" ".join(sorted(SUFFIXES)))
