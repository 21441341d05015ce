"""Detection and masks: Entropic Student and ours on detectors, against picture codecs, at the teacher's size.

The teacher answers held-out pictures as they are and through each codec: with its own weights, and with weights tuned on decoded
pictures of many qualities. Students replace everything from the picture to layer1 and answer from decoded bytes alone; one serves
all its rates (a gain for each; Cui et al. 2021). They learn what the teacher's later modules give, at the pyramid and in
the heads, without labels, where Entropic Student is published with losses at layer1 to layer4. An early student of half an
epoch with those needed three times the bytes, but its stride and batch were others too: what the losses alone do was not
measured. Stage 2 learns from labels:

    entropic     decoder and tail, the encoder frozen (as published)
    lean         the same for our encoder: one bitstream for any tail
    lean-task    our encoder too, bits at their price: what no box and no mask needs no longer crosses

All have the same epochs, and the codecs' tuned detectors those of stage 2.
"""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from torch import nn

from bench.jobs import Advance, Job, Size
from bench.rates import tails_tuned
from bench.rates.detections import file, frame, judged, keep
from bench.rates.image_codec import LearnedCodec
from bench.rates.record import About
from bench.rates.scenes import Pictures
from bench.rates.sights import BATCH, NAMES, Name, Raw, Sight, plain, sight
from edgewise.codec.image import ImageCodec, Kind
from edgewise.core.answer import Answer
from edgewise.core.wire import FRAME_HEADER
from edgewise.split.training.carried import carried
from edgewise.split.training.ladder import Climb
from edgewise.split.training.rung import Plan, Rung
from edgewise.split.training.stretch import split_of

CUT = "stem..layer1"
QUALITIES: dict[Kind, tuple[int, ...]] = {"jpeg": (2, 5, 10, 20, 35, 50, 75, 90), "webp": (1, 5, 15, 30, 50, 75, 90)}
TUNED: dict[Kind, tuple[int, ...]] = {"jpeg": (3, 5, 8, 12, 20, 35, 50), "webp": (1, 3, 8, 15, 30, 50)}  # drawn from
EPOCHS: dict[Size, tuple[float, float]] = {"quick": (4.0, 1.0), "medium": (3.0, 2.0), "full": (0.75, 1.25)}
IMAGE: dict[Size, float] = {"quick": 2.0, "medium": 4.0, "full": 2.0}  # epochs of the image codec, of crops
IMAGES = (0.01, 0.03, 0.1)


class Way(Struct, frozen=True):
    """A student: its design, its β; `free`: stage 2 teaches the encoder too; `rounded`: the share of stage 1 in which the decoder
    hears rounded values."""

    design: str
    betas: tuple[float, ...]
    free: bool = False
    rounded: float = 0.33


WAYS = {
    "lean-task": Way("lean", (0.5, 2.0, 6.0, 18.0), free=True),
    "entropic": Way("entropic-narrow", (1.0, 4.0, 12.0, 36.0)),
    "lean": Way("lean", (0.5, 2.0, 6.0, 18.0)),
}

FRAMES = "junction-frames"
SMALL = (0.001, 0.01)  # β of a quick run, which would learn nothing but to be silent by others
BEGUN = {"lean": "lean-task"}  # ways of one stage 1: the second has a copy of the first's
STAGE_1 = "several/stage-1"


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """Codecs as they are and with tuned detectors, the image codec, and the students; of small sizes, some of the junctions'."""
    found = [_frames(size)] if seed == 0 else []
    for name in NAMES if size == "full" else NAMES[:1]:
        ways = list(WAYS) if size == "full" else list(WAYS)[: 1 if size == "quick" else 2]
        found += [_job(name, w, "students", [f"b{b:g}" for b in betas(w, size)], seed, size, way=w) for w in ways]
        if seed:
            continue
        kinds: tuple[Kind, ...] = ("jpeg",) if size == "quick" else ("jpeg", "webp")
        for kind in kinds:
            points = [f"q{q}" for q in QUALITIES[kind]]
            found.append(_job(name, kind, "pictures", points, 0, size, kind=kind))
            found += [_job(name, f"{kind}-tuned", "pictures_tuned", points, 0, size, kind=kind)] if size == "full" else []
        found += [_job(name, "image-codec", "image_codec", [f"b{b:g}" for b in IMAGES], 0, size)] if size == "full" else []
    return found


def betas(way: str, size: Size) -> tuple[float, ...]:
    """The β of a way, rising."""
    return SMALL if size == "quick" else WAYS[way].betas


def _frames(size: Size) -> Job:
    return Job(FRAMES, "bench.rates.things:frames", (f"things/{FRAMES}.json",), {"size": size}, 4.9)


def _job(name: Name, what: str, run: str, points: Sequence[str], seed: int, size: Size, **arguments: object) -> Job:
    leaves = tuple(file(About(what, point, seed, data=name)) for point in points)
    told = {"name": name, "size": size, "seed": seed, **arguments}
    after = ((FRAMES,) if name == NAMES[0] and not seed else ()) + ((f"{name}-{BEGUN[what]}.{seed}",) if what in BEGUN else ())
    return Job(f"{name}-{what}.{seed}", f"bench.rates.things:{run}", leaves, told, 5 + (what in BEGUN) / 10, after)


def frames(work: Path, advance: Advance, size: Size) -> None:
    """Render what is missing of the frames, once for all jobs."""
    at = sight(NAMES[0], work, size)
    facts = {"taught": len(at.source), "held": len(at.held)}
    (work / "things" / f"{FRAMES}.json").write_bytes(msgspec.json.encode(facts))


def students(work: Path, advance: Advance, name: Name, way: str, seed: int, size: Size) -> None:
    """One student at all its rates."""
    at = sight(name, work, size)
    first, second = EPOCHS[size]
    for done in climbed(work, at, way, seed, size, advance):
        parameters = sum(p.numel() for p in split_of(done.net, done.stretch).encoder.parameters())
        about = About(
            way,
            f"b{done.beta:g}",
            seed,
            task="detection",
            data=name,
            epochs={"stage 1": first * at.times, "stage 2": second * at.times},
            parameters=parameters,
            more={"beta": done.beta, "estimated": done.history["estimated"]},
        )
        _kept(work, at, about, *through(done, at))


def climbed(work: Path, at: Sight, way: str, seed: int, size: Size, advance: Advance) -> list[Rung]:
    """The rungs of a student; what is done of it in `work` is taken up."""
    asked, (first, second) = WAYS[way], EPOCHS[size]
    step = 0.01  # of an epoch for each further rate: one course teaches all of them
    plan = Plan(
        betas=betas(way, size),
        first=first * at.times - step * (len(betas(way, size)) - 1),
        further=step,
        tuned=second * at.times,
        free=asked.free,
        several=True,
        rounded=asked.rounded,
        losses=at.losses,
        mirror=False,
        batch=8,
        tuned_batch=8,
        rate=3e-3,
        tuned_rate=5e-3,
        still=True,
        seed=seed,
    )
    place = folder(work, at.name, way, seed)
    _begun(folder(work, at.name, BEGUN.get(way, way), seed) / STAGE_1, place / STAGE_1)
    return Climb(at.teacher, CUT, asked.design, at.source, at.loss, at.look, plan, place, advance).all()


def _begun(there: Path, here: Path) -> None:
    """Take a copy of a stage 1 that another way has been through."""
    if there != here and (there / "checkpoint.pt").exists() and not here.exists():
        unfinished = here.with_name("stage-1.unfinished")
        shutil.copytree(there, unfinished, dirs_exist_ok=True)
        unfinished.replace(here)


def pictures(work: Path, advance: Advance, name: Name, kind: Kind, size: Size, seed: int = 0) -> None:
    """A picture codec at all its qualities, answered by the teacher as it is; with the first codec the teacher itself."""
    at = sight(name, work, size)
    net = plain(at.teacher)
    if kind == "jpeg":
        raw = tuple(frame(p.size) for p in at.held.pictures)
        _kept(work, at, About("teacher", "as it is", task="detection", data=name), raw, at.said(net, at.held.pictures))
    _coded(work, at, kind, kind, net, advance)


def pictures_tuned(work: Path, advance: Advance, name: Name, kind: Kind, size: Size, seed: int = 0) -> None:
    """The same with the whole teacher tuned on decoded pictures of drawn qualities."""
    at = sight(name, work, size)
    net = Raw(at.teacher.classes, at.teacher.keypoints, at.teacher.prototypes)
    net.load_state_dict(at.teacher.state_dict())
    shown = tails_tuned.Decoded(at.source, kind, TUNED[kind], seed)
    place = folder(work, name, f"{kind}-tuned", seed)
    tails_tuned.tuned(net, shown, at, EPOCHS[size][1] * at.times, place, advance, seed)
    _coded(work, at, kind, f"{kind}-tuned", plain(net), advance)


def image_codec(work: Path, advance: Advance, name: Name, size: Size, seed: int = 0) -> None:
    """A learned codec of pictures, taught on the same frames, before the teacher as it is."""
    at = sight(name, work, size)
    net = plain(at.teacher)
    plan = Plan(
        betas=IMAGES,
        first=IMAGE[size] * at.times - 0.02,
        further=0.01,
        tuned=0,
        losses=("picture",),
        rounded=0.3,
        several=True,
        crop=128,
        batch=16,
        seed=seed,
    )
    blank = nn.Sequential(OrderedDict({"picture": nn.Identity()}))  # the picture itself is what is to be given back
    source, look = Whole(at), msgspec.structs.replace(at.look, height=at.look.height // 16 * 16, width=at.look.width // 16 * 16)
    place = folder(work, name, "image-codec", seed)
    for done in Climb(blank, "picture", "factorised", source, None, look, plan, place, advance).all():
        codec = LearnedCodec(done, (at.look.height, at.look.width))
        sent = [codec.encode(p) for p in at.held.pictures]
        about = About("image-codec", f"b{done.beta:g}", seed, task="detection", data=name, epochs={"stage 1": IMAGE[size]})
        _kept(work, at, about, [frame(len(p)) for p in sent], at.said(net, np.stack([codec.decode(p) for p in sent])))


class Whole:
    """Pictures that teach, cut to sides that 16 divides."""

    def __init__(self, at: Sight) -> None:
        self._at = at

    def __len__(self) -> int:
        return len(self._at.source)

    def of(self, indices: list[int]) -> Pictures:
        found = self._at.source.of(indices)
        return found[:, : found.shape[1] // 16 * 16, : found.shape[2] // 16 * 16]


class Shown:
    """Pictures (n, height, width, 3) by number."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def of(self, indices: list[int]) -> Pictures:
        return self._pictures[indices]


def through(done: Rung, at: Sight) -> tuple[list[int], list[Answer]]:
    """Bytes of each held-out frame and what the student answers from them."""
    sizes: list[int] = []
    found: list[Answer] = []
    shown, net = Shown(at.held.pictures), plain(done.net)
    for _, maps, frames in carried(net, done.stretch, done.bottleneck, done.coding, shown, at.look, BATCH):
        found += at.read(maps)
        sizes += frames
    return sizes, found


def folder(work: Path, name: Name, what: str, seed: int = 0) -> Path:
    return work / "things" / name / f"{what}.{seed}"


def _coded(work: Path, at: Sight, kind: Kind, method: str, net: nn.Module, advance: Advance) -> None:
    for number, quality in enumerate(QUALITIES[kind]):
        advance(method, number / len(QUALITIES[kind]))
        codec = ImageCodec(kind, quality, small=True)
        sent = [codec.encode(p) for p in at.held.pictures]
        shown = np.stack([codec.decode(p) for p in sent])
        about = About(method, f"q{quality}", task="detection", data=at.name)
        _kept(work, at, about, [FRAME_HEADER + len(p) for p in sent], at.said(net, shown))


def _kept(work: Path, at: Sight, about: About, sizes: Sequence[int], said: Sequence[Answer]) -> None:
    keep(judged(about, sizes, said, at.held.truth, at.held.block, at.decoding.mask or 28), work)
