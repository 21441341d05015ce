"""What came of the detectors: a row for each point, BD-rates of students against picture codecs, and whether they are below zero.

Every figure is made from the detections that jobs of `things` left. A student that does not beat a codec, or whose best point
scores less than the codec's worst, has its target refuted, with the codec's name. Where its worst scores more than the codec's
best, its smallest frame is held against the codec's: a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.rates import detections
from bench.rates.detections import Difference, above, curves, difference, rows_of
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
        one = difference(by[codec], by[method], task)
        bound = above(by[codec], by[method], task) if one is None else None
        if bound is not None:
            found.append(Row(f"{name}, {method} against {codec}", f"smallest frame, {what}", *_percent(bound)))
            told.append(
                f"{codec} {_spoken(bound)} from smallest frame to smallest, AP {bound.scores[1]:.3f} for {bound.scores[0]:.3f}"
            )
            lost += [codec] if bound.value >= 0 else []
            continue
        if one is None:
            told.append(f"{codec}: all its points score higher")
            lost.append(codec)
            continue
        case = f"{name}, {method} against {codec}"
        found.append(Row(case, f"BD-rate, {what}", *_percent(one)))
        reach = f"AP {one.scores[0]:.3f} … {one.scores[1]:.3f}"
        told.append(f"{codec} {_spoken(one)} over {reach}")
        lost += [codec] if one.value >= 0 else []
    reason = f"refuted against {', '.join(lost)}: {TRIED}" if lost else ""
    return found, Target(title, want, "; ".join(told), not lost, reason)


def _percent(one: Difference) -> tuple[float, str, int, float, float]:
    return 100 * one.value, "%", one.drawings, 100 * one.low, 100 * one.high


def _spoken(one: Difference) -> str:
    return f"{100 * one.value:+.0f} % [{100 * one.low:+.0f}, {100 * one.high:+.0f}]"
