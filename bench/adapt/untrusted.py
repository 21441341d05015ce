"""A teacher that is bad from the beginning, one that turns bad, one that is often wrong, and a device that sends poison.

    shuffled   its classes are others: nothing may be learned from it                     accuracy not below statistics, no delta
    turned     good until something was learned, shuffled from then on                    back to the source, to the bit
    noisy      four in ten of its answers are drawn                                       accuracy not below statistics
    poisoned   one of four devices sends noise that it calls audits, with statistics      accuracy not below what three give
               that are lies

The last runs on the adapter alone, with four devices on one stream; that canaries try a version first, and that it comes back
from them alone, is the delivery's: real processes prove it in the tests of the vision application.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from bench.adapt.ground import SCALES, before
from bench.adapt.planted import Shuffled, Turned
from bench.adapt.replays import CHOSEN, HOME, Made, Replay, plain
from bench.jobs import Advance, Job, Size
from bench.kept import document
from bench.report import Row, Target, left_out
from edgewise.adapt.adapter import Adapter
from edgewise.adapt.replay import STATISTICS
from edgewise.adapt.training.methods.moving import Following
from edgewise.adapt.training.methods.ours import Ours
from edgewise.adapt.training.methods.subject import subject
from edgewise.adapt.training.step import AffineStep
from edgewise.adapt.upload import Upload
from edgewise.core.moments import Moments

DOMAIN, LEARNING = "night:5", "random uploads"
KINDS = ("shuffled", "turned", "noisy")
WITHIN = 0.01
DEVICES = 4


class Outcome(Struct, frozen=True, forbid_unknown_fields=True):
    """Of one planted case: accuracy of `statistics` alone and `learned`, deltas that went out, reverts; `source`: the device has
    the source again, to the bit; `doubted` devices."""

    kind: str
    n: int
    statistics: float
    learned: float
    deltas: int
    reverts: int
    source: bool
    doubted: tuple[str, ...] = ()


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    if seed:
        return []
    kinds = (*KINDS, "poisoned") if size != "quick" else ("shuffled", "poisoned")
    return [
        Job(
            f"untrusted.{kind}.0",
            f"bench.adapt.untrusted:{'poisoned' if kind == 'poisoned' else 'planted'}",
            (_file(kind),),
            {"kind": kind, "size": size},
            4.5,
            before("cifar10", 0),
            {"recipe": msgspec.to_builtins(CHOSEN)},
            round(1.5 * SCALES[size].part("cifar10"), 2),
        )
        for kind in kinds
    ]


def _file(kind: str) -> str:
    return f"records/untrusted.{kind}.json"


def _asked(kind: str, size: Size, share: float) -> Replay:
    each = SCALES[size].pictures("cifar10", share)
    return Replay(f"untrusted.{kind}", kind, DOMAIN, plain(STATISTICS, LEARNING), each, teacher="taught", size=size)


def planted(work: Path, advance: Advance, kind: str, size: Size) -> None:
    """A job: one stream with that teacher."""
    asked = _asked(kind, size, 0.3)
    made = Made(work, asked if kind == "turned" else msgspec.structs.replace(asked, teacher=kind), advance)
    if kind == "turned":
        good = made.teacher
        made.teach(Turned(good, Shuffled(good), HOME + asked.each // 6))
    methods = made.methods()
    found = made.run(advance, methods)
    ours = methods[LEARNING]
    assert isinstance(ours, Ours)
    tally = ours.tally()
    same = _same(ours.affine(), AffineStep(made.student()).affine())
    shares = {name: values[0] for name, values in found.accuracy.items()}
    document(
        work / _file(kind),
        Outcome(kind, len(found.number), shares[STATISTICS], shares[LEARNING], tally.deltas, tally.reverts, same),
    )


def poisoned(work: Path, advance: Advance, kind: str, size: Size) -> None:
    """A job: four devices, one of which lies; against the same without it."""
    made = Made(work, _asked(kind, size, 0.3), advance)
    clean, _ = _fed(made, False, advance)
    accuracy, adapter = _fed(made, True, advance)
    report = adapter.report()
    same = _same(adapter.there, AffineStep(made.student()).affine())
    document(
        work / _file(kind),
        Outcome(kind, len(made.stream), clean, accuracy, report.acknowledged, report.reverts, same, report.doubted),
    )


def _fed(made: Made, poison: bool, advance: Advance) -> tuple[float, Adapter]:
    """An adapter of four devices that share a stream, every third frame of which goes up; how right the last third is with what
    was acknowledged."""
    source, draw = subject(made.student(), made.album.names), np.random.default_rng(5)
    following, step = Following(source), AffineStep(made.student())
    setting = made.setting(made.asked.methods[LEARNING])
    adapter = Adapter(step, made.teacher, "0" * 64, made.prepare, setting.recipe, setting.calibration)
    right: list[float] = []
    for place in range(len(made.stream)):
        shown = made.stream.at(place)
        picture, now = made.stream.through(made.album.of(shown.index), shown), place / 20.0
        inputs = made.prepare([picture])
        following.logits(inputs)
        if place >= len(made.stream) * 2 // 3:
            step.follow(following.statistics)
            right.append(float(step.logits(inputs, adapter.there).argmax() == made.album.labels[shown.index]))
        elif place % 3 == 0:
            device = place // 3 % DEVICES
            lies = poison and device == DEVICES - 1
            statistics = following.statistics if place % 96 == 0 or lies else None
            if lies:
                picture = draw.integers(0, 256, picture.shape, np.uint8)
                statistics = {p: Moments(m.mean * 0 + 3, m.variance * 0 + 9) for p, m in following.statistics.items()}
            adapter.sample(Upload(f"device {device}", picture, True, None, statistics), now)
        adapter.tick(now)
        for shipment in adapter.deltas():
            adapter.acknowledged(shipment.number, shipment.recall or f"{shipment.number:064x}", now)
        advance("four devices", place / len(made.stream))
    return float(np.mean(right)), adapter


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    found = [msgspec.json.decode(f.read_bytes(), type=Outcome) for f in sorted((work / "records").glob("untrusted.*.json"))]
    name, want = "planted bad teacher, label noise, a poisoned device", "gate stops it; source restored bit-exactly"
    lines: list[Row] = []
    for one in found:
        beside = "three honest devices" if one.kind == "poisoned" else "statistics alone"
        case = f"untrusted, {one.kind}"
        lines += [
            Row(case, f"accuracy, {beside}", 100 * one.statistics, "%", one.n),
            Row(case, "accuracy", 100 * one.learned, "%", one.n),
        ]
        lines += [Row(case, "deltas that went out", one.deltas, ""), Row(case, "reverts", one.reverts, "")]
    if not found:
        return lines, [left_out(name, want, "no bad teacher was planted")]
    bad = [
        one.kind
        for one in found
        if one.learned < one.statistics - WITHIN or (one.kind in ("shuffled", "turned") and not one.source)
    ]
    got = "; ".join(
        f"{one.kind} {100 * (one.learned - one.statistics):+.1f} points, {one.deltas} deltas"
        + (", source to the bit" if one.source else "")
        + (f", doubted: {', '.join(one.doubted)}" if one.doubted else "")
        for one in found
    )
    return lines, [Target(name, want, got, not bad, f"not stopped: {', '.join(bad)}" if bad else "")]


def _same(a: Any, b: Any) -> bool:
    return set(a) == set(b) and all(np.array_equal(a[path], b[path]) for path in a)
