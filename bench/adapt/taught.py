"""The other half of the paper: does the teacher itself get better from what devices send?

    as it is     the teacher, frozen
    follows      its statistics move with the uploads, mixed with a tenth of its own
    learns       and its scales and shifts step down the entropy of its own answers, on what it is sure of

Each is asked about a fifth of a domain's pictures, drawn blindly and coded as they come up, in batches of 32, and is right or
not before it moves. The teacher that saw every family, and one with published weights, that saw none and not these JPEGs either.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from bench.adapt import models
from bench.adapt.ground import SCALES, before
from bench.adapt.models import LOOKS
from bench.adapt.nets import published
from bench.adapt.replays import LEVEL
from bench.jobs import Advance, Job, Size
from bench.kept import document
from bench.report import Row, Target, left_out
from edgewise.adapt.replay import Paired, paired
from edgewise.adapt.training.teacher import TorchTeacher
from edgewise.codec.image import ImageCodec
from edgewise.data.streams import parse, stream

FILE = "records/taught.json"
DOMAINS = "gaussian_noise:5,fog:5,night:5"
WAYS: dict[str, dict[str, float]] = {"as it is": {}, "follows": {"follow": 0.02}, "learns": {"follow": 0.02, "rate": 2.5e-4}}
BATCH = 32
PART = 0.2  # of a domain: what would go up of it


class Better(Struct, frozen=True, forbid_unknown_fields=True):
    """The accuracy of a teacher, frozen and in one of the other ways, in a domain; `gain` over frozen on the same pictures."""

    teacher: str
    domain: str
    way: str
    accuracy: float
    gain: Paired


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    if seed or size == "quick":
        return []
    return [
        Job(
            "taught.0",
            "bench.adapt.taught:leave",
            (FILE,),
            {"size": size},
            5,
            before("cifar10", 0),
            {"ways": WAYS},
            2.5 * SCALES[size].part("cifar10"),
        )
    ]


def leave(work: Path, advance: Advance, size: Size) -> None:
    """The job."""
    album = models.pictures("cifar10", "report", work, SCALES[size].judge, advance)
    look, codec = LOOKS["cifar10"], ImageCodec("jpeg", LEVEL)
    found: list[Better] = []
    for domain in parse(DOMAINS):
        shown = stream((domain,), album.labels, each=SCALES[size].pictures("cifar10", PART))
        right: dict[tuple[str, str], list[bool]] = {}
        nets = {"taught": models.taken(work, "cifar10", "teacher"), "published": published(56)}
        teachers = {(n, w): TorchTeacher(nets[n], look, None, album.names, **WAYS[w]) for n in nets for w in WAYS}  # type: ignore[arg-type]
        for first in range(0, len(shown), BATCH):
            places = [shown.at(i) for i in range(first, min(first + BATCH, len(shown)))]
            came = [codec.decode(codec.encode(shown.through(album.of(p.index), p))) for p in places]
            true = album.labels[[p.index for p in places]]
            for key, teacher in teachers.items():
                right.setdefault(key, []).extend((teacher.probabilities(came).argmax(1) == true).tolist())
            advance(f"teachers in {domain.name}", first / len(shown))
        as_float = {key: np.asarray(values, np.float32) for key, values in right.items()}
        for (name, way), values in as_float.items():
            found.append(Better(name, domain.name, way, float(values.mean()), paired(values, as_float[name, "as it is"])))
    document(work / FILE, found)


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    name, want = "the teacher gets better by what devices send", "measured on their streams"
    path = work / FILE
    if not path.exists():
        return [], [left_out(name, want, "no teacher was followed in this run")]
    found = msgspec.json.decode(path.read_bytes(), type=list[Better])
    lines = []
    for one in found:
        case, g = f"teacher {one.teacher}, {one.domain}", one.gain
        lines.append(Row(case, f"accuracy, {one.way}", 100 * one.accuracy, "%", g.n))
        if one.way != "as it is":
            lines.append(Row(case, f"points over frozen, {one.way}", 100 * g.gain, "", g.n, 100 * g.low, 100 * g.high))
    moved = [one for one in found if one.way != "as it is"]
    got = "; ".join(f"{one.teacher}, {one.domain}, {one.way} {100 * one.gain.gain:+.1f}" for one in moved)
    return lines, [Target(name, want, got, True)]
