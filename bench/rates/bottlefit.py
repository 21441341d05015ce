"""BottleFit (paper 8) on the ground of the benchmark: two stages, four ways of the second, 3 and 12 channels.

    bottlefit          8 bits for each value and nothing coded, one range for all channels, as published
    bottlefit-coded    the same values through our coder; ranges of each channel, 8 to 2 bits, with tables of neighbours (`n`)

| way | stage 2 | |
|---|---|---|
| `ft`, `kd` | cross-entropy; half of it and half KL | the whole student learns |
| `ft-fe`, `kd-fe` | the same | with the encoder frozen |
| `kd-q3` … | after `kd`: again, the encoder frozen, the values in 2^3 steps | ours: codes so coarse that the tail must know |

    epochs      here   paper
    stage 1       8      10
    stage 2       3      10

The cut is behind layer2, the teacher's tail layer3 and layer4. `slim` has a quarter of the encoder's filters (16 for 64). The
head's parameters are beside each point; what the whole teacher and the head of the autoencoder in its middle have is in `sizes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from torch import nn

from bench.jobs import Advance, Job, Size
from bench.rates.decoded import Decoded, answered, files
from bench.rates.ground import Ground, ground
from bench.rates.jobs import DATA, record_file
from bench.rates.record import About, Record, keep
from edgewise.codec.fitted import coding_for
from edgewise.codec.image import ImageCodec
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.core.wire import FRAME_HEADER
from edgewise.split.training.bottleneck import Geometry
from edgewise.split.training.carried import evaluate
from edgewise.split.training.mid import autoencoder, middle
from edgewise.split.training.stages import Staged, Student, bottleneck_of, crossing, finished, taught
from edgewise.training.paths import module, siblings

CUT = "stem..layer2"
EPOCHS: dict[Size, tuple[float, float]] = {"quick": (2, 1), "medium": (3, 1), "full": (10, 4)}
WAYS = ("kd", "ft", "kd-fe", "ft-fe")
METHOD, CODED = "bottlefit", "bottlefit-coded"
REFERENCE = 75  # quality of the JPEG that the paper's 77.1 % are counted from


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """A student: its design, channels and way; `bits` of 0: the ways of the paper, else `kd-q{bits}`."""

    design: str
    channels: int
    way: str

    @property
    def name(self) -> str:
        """As it stands in a record's point."""
        return f"{self.channels}{'s' if self.design.endswith('slim') else ''}-{self.way}"

    @property
    def bits(self) -> int:
        return int(self.way.partition("-q")[2] or 0)


FULL = (
    *(Asked("bottlefit", 3, way) for way in WAYS),
    Asked("bottlefit", 12, "kd"),
    *(Asked("bottlefit", 12, f"kd-q{bits}") for bits in (3, 2)),
    Asked("bottlefit-slim", 3, "kd"),
)
SMALL = (Asked("bottlefit", 3, "kd"), Asked("bottlefit", 3, "kd-fe"))


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """One job for the reference and the sizes, one for each stage 1, one for each way of the second."""
    asked: tuple[Asked, ...] = (FULL if seed == 0 else FULL[:1]) if size == "full" else SMALL
    priority, found = 4 if seed == 0 else 6, []
    if seed == 0:
        reference = (record_file("jpeg-reference", f"q{REFERENCE}", 0, data=DATA[size]),)
        found.append(Job("bottlefit-sizes", "bench.rates.bottlefit:sizes", reference, {"size": size}, priority))
    for one in asked:
        leaves = tuple(record_file(m, p, seed, data=DATA[size]) for m, p in points(one))
        arguments = {"design": one.design, "channels": one.channels, "way": one.way, "seed": seed, "size": size}
        first = [j.name for j in found if j.name.startswith(f"bottlefit-{one.name.partition('-')[0]}-")]
        found.append(
            Job(f"bottlefit-{one.name}.{seed}", "bench.rates.bottlefit:way", leaves, arguments, priority, tuple(first[:1]))
        )
    return found


def points(asked: Asked) -> list[tuple[str, str]]:
    """Method and point of each record that a way leaves."""
    if asked.bits:
        return [(CODED, f"{asked.name}n")]
    own = [(METHOD, f"{asked.name}-q8"), (CODED, f"{asked.name}-q8")]
    return own + [(CODED, f"{asked.name}-q{bits}n") for bits in coded_bits(asked)]


def coded_bits(asked: Asked) -> tuple[int, ...]:
    """Of the codes of each channel, beside the published ones."""
    return (8, 6, 5, 4) if asked.way == "kd" else ()


def plan(asked: Asked, seed: int, size: Size, crop: int) -> Staged:
    """What the two stages are asked for."""
    first, tuned = EPOCHS[size]
    tuning, _, rest = asked.way.partition("-")
    return Staged(
        first=first,
        tuned=tuned,
        tuning="ft" if tuning == "ft" else "kd",
        free=not rest,
        channels=asked.channels,
        crop=crop,
        seed=seed,
    )


def way(work: Path, advance: Advance, design: str, channels: int, way: str, seed: int = 0, size: Size = "full") -> None:
    """A student, its codings, and its records."""
    asked, found = Asked(design, channels, way), ground(work, size, advance)
    made = learnt(work, found, asked, seed, size, advance)
    epochs = dict(zip(("stage 1", "stage 2"), EPOCHS[size], strict=True))
    values = crossing(made, found.train, found.look)
    if asked.bits:
        epochs["stage 2, coarse"] = epochs["stage 2"]
        wide, coding = steps(values, asked.bits)
        judged(work, found, made, wide, coding, [(CODED, f"{asked.name}n")], seed, epochs)
        return
    whole = bottleneck_of(values, per_channel=False)
    plain = coding_for(whole, [values], [256] * channels, range(channels))
    judged(work, found, made, whole, plain, [(METHOD, f"{asked.name}-q8"), (CODED, f"{asked.name}-q8")], seed, epochs)
    for bits in coded_bits(asked):
        wide, coding = steps(values, bits)
        judged(work, found, made, wide, coding, [(CODED, f"{asked.name}-q{bits}n")], seed, epochs)
        advance("judging", 1 / (1 + bits))


def learnt(work: Path, found: Ground, asked: Asked, seed: int, size: Size, advance: Advance) -> Student:
    """The student after its last stage; what the work folder holds is taken up."""
    folder = work / METHOD / f"{asked.design}-{asked.channels}.{seed}"
    labels = found.train.labels.tolist()
    asks = plan(asked, seed, size, found.crop)
    first = taught(found.teacher, CUT, asked.design, found.train, found.look, asks, folder / "first", advance)
    if not asked.bits:
        return finished(found.teacher, first, found.train, labels, found.look, asks, folder / asked.way, None, advance)
    free = plan(Asked(asked.design, asked.channels, "kd"), seed, size, found.crop)
    before = finished(found.teacher, first, found.train, labels, found.look, free, folder / "kd", None, advance)
    _, coding = steps(crossing(before, found.train, found.look), asked.bits)
    return finished(found.teacher, before, found.train, labels, found.look, asks, folder / asked.way, coding, advance)


def steps(values: NDArray[np.float32], bits: int) -> tuple[Bottleneck, Coding]:
    """2^bits steps of each channel's own range, and tables of neighbours."""
    wide = bottleneck_of(values, per_channel=True)
    channels = wide.channels
    return wide, coding_for(wide, [values], [1 << bits] * channels, range(channels), context=True)


def judged(
    work: Path,
    found: Ground,
    made: Student,
    bottleneck: Bottleneck,
    coding: Coding,
    named: Sequence[tuple[str, str]],
    seed: int,
    epochs: dict[str, float],
    more: dict[str, float] | None = None,
) -> None:
    """Records of one coding; of METHOD the bytes are those of uncoded values, 8 bits each."""
    labels = found.held.labels.tolist()
    seen = evaluate(made.net, made.stretch, bottleneck, coding, found.held, found.look, labels)
    for method, point in named:
        about = About(method, point, seed, data=found.data, epochs=epochs, parameters=made.head, more=more or {})
        plain = np.full_like(seen.bytes, FRAME_HEADER + int(np.prod(bottleneck.shape)))
        keep(Record(about, seen.right, plain if method == METHOD else seen.bytes), work)


def sizes(work: Path, advance: Advance, size: Size = "full") -> None:
    """The record of the JPEG that the paper compares with, and in its `more` the parameters of whole model and middle head."""
    found = ground(work, size, advance)
    codec = ImageCodec("jpeg", REFERENCE, small=True)
    kept = files(found.held, codec, work / "coded" / f"{found.data}-jpeg-{REFERENCE}.npz", advance)
    more = {"whole": float(parameters(found.teacher)), "middle": float(middle_head(found.teacher))}
    about = About("jpeg-reference", f"q{REFERENCE}", data=found.data, more=more)
    keep(Record(about, answered(found.teacher, Decoded(kept, codec), found), kept.sizes + FRAME_HEADER), work)


def middle_head(net: nn.Module) -> int:
    """Parameters of the head of the autoencoder in the middle: stem, layers up to there, and its encoder at 3 channels."""
    last = middle(net)
    before = [p for p in siblings(net, "layer1") if p <= last]
    channels = next(m for m in reversed(list(module(net, last).modules())) if isinstance(m, nn.Conv2d)).out_channels
    encoder = autoencoder(Geometry((channels, 8, 8), (channels, 8, 8)), 3).encoder
    return parameters(module(net, "stem")) + sum(parameters(module(net, p)) for p in before) + parameters(encoder)


def parameters(net: nn.Module) -> int:
    """How many there are."""
    return sum(p.numel() for p in net.parameters())
