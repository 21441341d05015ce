"""What one way to send pictures gave a detector, picture by picture, and curves of bytes against average precision.

Average precision is no mean over pictures, so a record of rights and wrongs cannot hold it: what is kept is the answers
themselves, with the bytes of each frame (24 bytes of header and the payload). Everything else is made from those.

Fronts and BD-rate are those of `bench.rates.curves`, with average precision for accuracy. The interval of a BD-rate is paired:
each drawing of blocks scores and weighs both curves anew; a drawing in which the curves share no score is counted and has no
BD-rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.rates.curves import front, gap
from bench.rates.record import About
from bench.report import Row
from edgewise.core.answer import Answer
from edgewise.core.errors import SourceError
from edgewise.core.wire import FRAME_HEADER
from edgewise.data.things import Scene, drawn, resampled

DRAWS = 200
NAMES = {"box": "AP of boxes", "mask": "AP of masks"}
Floats = NDArray[np.float64]


class Scored(Struct, frozen=True, forbid_unknown_fields=True):
    """The mean bytes of a point and its score in each task, first as they are, then for each drawing of blocks."""

    about: About
    bytes: tuple[float, ...]
    scores: dict[str, tuple[float, ...]]
    pictures: int


class Detections(Struct, frozen=True, forbid_unknown_fields=True):
    """`answers` and `bytes` (of the whole frame) of the held-out pictures, in their order, and what they come to."""

    scored: Scored
    bytes: tuple[int, ...]
    answers: tuple[Answer, ...]

    @property
    def about(self) -> About:
        return self.scored.about


def frame(payload: int) -> int:
    """Bytes of the frame of a payload."""
    return FRAME_HEADER + payload


def file(about: About) -> str:
    """The place of a record below the work folder."""
    return f"things/detections/{about.data}.{about.method}.{about.point}.{about.seed}.msgpack"


def keep(found: Detections, work: Path) -> Path:
    """Write it; a later one of the same name takes its place."""
    path = work / file(found.about)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(msgspec.msgpack.encode(found))
    unfinished.replace(path)
    return path


def detections(work: Path, data: str) -> list[Detections]:
    """All that were kept for the pictures called `data`, by name; SourceError for a file that is none."""
    found = []
    for path in sorted((work / "things" / "detections").glob(f"{data}.*.msgpack")):
        try:
            found.append(msgspec.msgpack.decode(path.read_bytes(), type=Detections))
        except (OSError, msgspec.DecodeError) as error:
            raise SourceError(
                "detections cannot be read", got=f"{path.name} ({error})", hint="Remove the file and run its job again."
            ) from error
    return found


class Curve(Struct, frozen=True):
    """The points of one method, in any order."""

    method: str
    points: tuple[Scored, ...]

    def at(self, task: str, draw: int) -> tuple[Floats, Floats]:
        """Scores, rising, and ln(bytes) of the points that no cheaper one beats."""
        size = np.array([p.bytes[draw] for p in self.points])
        score = np.array([p.scores[task][draw] for p in self.points])
        return front(score, size)


def judged(
    about: About,
    sizes: Sequence[int],
    answers: Sequence[Answer],
    truth: Sequence[Scene],
    blocks: Sequence[object],
    side: int = 28,
    draws: int = DRAWS,
) -> Detections:
    """What a point gave, with its scores and bytes under the same drawings of blocks for every point."""
    weights = [np.ones(len(truth)), *resampled(blocks, draws, seed=0)]
    each = drawn(answers, truth, weights, side)
    size = np.array(sizes, float)
    bytes = tuple(float((w * size).sum() / w.sum()) for w in weights)
    scores = {task: tuple(round(one[task], 6) for one in each) for task in each[0]}
    return Detections(Scored(about, bytes, scores, len(truth)), tuple(sizes), tuple(answers))


def curves(points: Sequence[Scored]) -> dict[str, Curve]:
    """The points by method."""
    names = dict.fromkeys(p.about.method for p in points)
    return {name: Curve(name, tuple(p for p in points if p.about.method == name)) for name in names}


class Difference(Struct, frozen=True):
    """BD-rate with its 95 % interval, the range of scores it stands on, and in how many drawings there was one."""

    value: float
    low: float
    high: float
    scores: tuple[float, float]
    drawings: int


def difference(reference: Curve, other: Curve, task: str) -> Difference | None:
    """BD-rate of one curve against another in one task; None where they share no score."""
    first, second = reference.at(task, 0), other.at(task, 0)
    value = gap(second, first)
    if value is None:
        return None
    drawn_gaps = (gap(other.at(task, d), reference.at(task, d)) for d in range(1, len(reference.points[0].bytes)))
    each = [g for g in drawn_gaps if g is not None]
    low, high = np.expm1(np.quantile(each, (0.025, 0.975))).tolist() if each else (float("-inf"), float("inf"))
    shared = float(max(first[0][0], second[0][0])), float(min(first[0][-1], second[0][-1]))
    return Difference(float(np.expm1(value)), low, high, shared, len(each))


def above(reference: Curve, other: Curve, task: str) -> Difference | None:
    """Where every point of `other` scores higher than all of `reference`: bytes of its cheapest point against the cheapest there,
    less 1, which is a bound, for the score is higher too. None where their scores are not so far apart, in any drawing."""
    each, scores = [], []
    for draw in range(len(reference.points[0].bytes)):
        (theirs, sizes), (ours, own) = reference.at(task, draw), other.at(task, draw)
        if not (len(ours) and len(theirs) and ours[0] > theirs[-1]):
            return None
        each.append(float(np.expm1(own[0] - sizes[0])))
        scores.append((float(theirs[-1]), float(ours[0])))
    low, high = np.quantile(each[1:], (0.025, 0.975)).tolist()
    return Difference(each[0], low, high, scores[0], len(each) - 1)


def rows_of(point: Scored) -> list[Row]:
    """The mean frame and each score of a point, with 95 % intervals over blocks."""
    about = point.about
    case = f"{about.data}, {about.method} {about.point}" + (f", seed {about.seed}" if about.seed else "")
    low, high = np.quantile(point.bytes[1:], (0.025, 0.975)).tolist()
    rows = [Row(case, "frame", float(point.bytes[0]), "bytes", point.pictures, low, high)]
    for task, values in point.scores.items():
        low, high = np.nanquantile(values[1:], (0.025, 0.975)).tolist()
        metric = NAMES[task.removesuffix("50")].replace("AP", "AP50" if task.endswith("50") else "AP")
        rows.append(Row(case, metric, float(values[0]), "", point.pictures, low, high))
    return rows
