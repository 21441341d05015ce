"""What came of the detectors: a row for each point, BD-rates of students against picture codecs, and whether they are below zero.

Every figure is made from the detections that jobs of `things` left. A student that does not beat a codec, or whose best point
scores less than the codec's worst, has its target refuted, with the codec's name. Where its worst scores more than the codec's
best, its smallest frame is held against the codec's: a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.rates import detections
from bench.rates.detections import above, curves, difference, rows_of
from bench.rates.sights import NAMES, Name
from bench.rates.things import WAYS
from bench.report import Row, Target, left_out

WANT = "BD-rate < 0 in {}, with its interval"
CODECS = ("jpeg", "jpeg-tuned", "webp", "webp-tuned", "image-codec")
TRIED = "a student of two epochs in all does not reach it"


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    """Rows of every point, BD-rates of every student against every codec, and a target for each method and score."""
    out: list[Row] = []
    targets: list[Target] = []
    for name in NAMES:
        points = [d.scored for d in detections.detections(work, name)]
        for one in points:
            out += rows_of(one)
        by = curves(points)
        codecs = [c for c in CODECS if c in by]
        for task in ("box", "mask") if name == NAMES[0] else ("box",):
            for method in WAYS:
                found, told = _against(name, method, task, codecs, by)
                out += found
                targets.append(told)
    return out, targets


def _against(
    name: Name, method: str, task: str, codecs: Sequence[str], by: dict[str, detections.Curve]
) -> tuple[list[Row], Target]:
    what = detections.NAMES[task]
    title = f"{method} on {name}, {what}, against {', '.join(codecs) or 'picture codecs'}"
    want = WANT.format(what)
    if method not in by or not codecs:
        return [], left_out(title, want, "its jobs have not run")
    found, told, lost = [], [], []
    for codec in codecs:
        if (one := difference(by[codec], by[method], task)) is not None:
            metric, where = "BD-rate", f"over AP {one.scores[0]:.3f} … {one.scores[1]:.3f}"
        elif (one := above(by[codec], by[method], task)) is not None:
            metric = "smallest frame"
            where = f"from smallest frame to smallest, AP {one.scores[1]:.3f} for {one.scores[0]:.3f}"
        else:
            told.append(f"{codec}: all its points score higher")
            lost.append(codec)
            continue
        value, low, high = 100 * one.value, 100 * one.low, 100 * one.high
        found.append(Row(f"{name}, {method} against {codec}", f"{metric}, {what}", value, "%", one.drawings, low, high))
        told.append(f"{codec} {value:+.0f} % [{low:+.0f}, {high:+.0f}] {where}")
        lost += [codec] if value >= 0 else []
    reason = f"refuted against {', '.join(lost)}: {TRIED}" if lost else ""
    return found, Target(title, want, "; ".join(told), not lost, reason)
