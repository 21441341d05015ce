"""The gate: whether a step that was made may be kept, told by samples that it did not learn from. Pure.

    kept   agreement(s′, T) ≥ agreement(s, T) − `points`, or z > −1      on held-out uploads, against the version before
    and    agreement(s′, T) ≥ agreement(source, T) − `points` − 2 s.e.   so that many small losses are seen too          (ours)
    and    loss on calibration ≤ max(`clean`, what was surely won on audits, half of what is surely won here)            (ours)
    and    no device alone loses significantly                            paired z > `unfair`                             (ours)
    and    the classes that it sees have not collapsed                    KL from the teacher's no larger by `collapse`   (ours)

From the adapt notes (2.5). There the calibration clause is `clean` alone; in deep night that would throw away ten points for
three of a domain that the model is not in, and to which it returns by the source's own values. So a point there may be paid for
with a point here, and not with more; what held-out uploads report counts half, for where they were selected they report more.

What does harm is thrown away, and halves the step size. What is only not paid for may go on for a while, for the first steps
out of a bad place cost before they help. It does not know whether the teacher is right; `unfit` asks that where there is
truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.adapt.step import Kind, Values, agreement
from edgewise.adapt.watch import significance

FEW = 20  # samples of a device of which it is not judged alone
LOWEST, HIGHEST = 1e-4, 3.0  # the step size at least, and at most in units of the recipe's
WEAKER = 0.10  # by how much a teacher may be worse than the source on the source's own domain
STRANGER = 0.5  # agreement with the source there, below which a teacher speaks of something else


class Gate(Struct, frozen=True, forbid_unknown_fields=True):
    """Shares (`points`, `clean`), a z (`unfair`) and nats (`collapse`)."""

    points: float = 0.01
    clean: float = 0.02
    unfair: float = -3.0
    collapse: float = 0.3


class Verdict(Struct, frozen=True):
    """`why` what was learned may not be kept, "" where it may. `waits`: not yet, for it costs more than it is known to be
    worth; it may be learned on.
    """

    why: str
    waits: bool = False


class Proof(Struct, frozen=True, eq=False):
    """What is known of a step: agreement with the teacher (n,) of `source`, `before` and `after` on the probe, each row of it
    from one of `devices`; agreement with the truth of calibration `at_home` and `home_after` (None: there is no calibration);
    shares (C,) of the classes that `seen` the student, the source and the teacher say; `won` on audits, at least.
    """

    source: Values
    before: Values
    after: Values
    devices: tuple[str, ...]
    at_home: float | None = None
    home_after: float | None = None
    seen: tuple[Values, Values, Values] | None = None
    won: float = 0.0


def judged(proof: Proof, gate: Gate) -> Verdict:
    """Whether what was learned may be kept."""
    why = _harm(proof, gate)
    return Verdict(why) if why else Verdict(_unpaid(proof, gate), waits=True)


def _unpaid(proof: Proof, gate: Gate) -> str:
    """Why calibration lost too much; "" where it did not."""
    if proof.at_home is None or proof.home_after is None:
        return ""
    gained, error = _beside(proof)
    lost, allowed = proof.at_home - proof.home_after, max(gate.clean, proof.won, (gained - 2 * error) / 2)
    return f"calibration lost {lost:.1%}, {allowed:.1%} allowed" if lost > allowed + 1e-9 else ""


def _beside(proof: Proof) -> tuple[float, float]:
    """How much more than the source it agrees with the teacher, and the standard error of that."""
    d = (proof.after - proof.source).astype(np.float64)
    return (float(d.mean()) if len(d) else 0.0), (float(d.std(ddof=1)) / math.sqrt(len(d)) if len(d) > 1 else 1.0)


def _harm(proof: Proof, gate: Gate) -> str:
    """Why it does harm on the stream; "" where nothing shows that."""
    n = len(proof.after)
    if not np.isfinite(proof.after).all():
        return "the answers are no numbers"
    if not n:
        return ""
    gained, error = _beside(proof)
    before, after = float(proof.before.mean()), float(proof.after.mean())
    if after < before - gate.points - 1e-9 and significance((proof.after - proof.before).tolist()) <= -1:
        return f"agreement with the teacher fell from {before:.1%} to {after:.1%} of {n}"
    if gained < -gate.points - 2 * error:
        return f"agreement with the teacher is {gained:+.1%} beside the source's, of {n}"
    for device in sorted(set(proof.devices)):
        own = np.array([d == device for d in proof.devices])
        if own.sum() >= FEW and significance((proof.after[own] - proof.before[own]).tolist()) <= gate.unfair:
            return f"{device} loses by it"
    if proof.seen is not None:
        student, source, teacher = proof.seen
        more = divergence(student, teacher) - divergence(source, teacher)
        if more > gate.collapse:
            return f"its classes collapse: {more:.2f} nats further from the teacher's than the source's"
    return ""


def histogram(answers: NDArray[np.float32], kind: Kind = "classes") -> Values:
    """Shares (C,) of the likeliest classes of answers (n, C); of maps, those of occupied and empty cells."""
    if kind == "cells":
        occupied = float((answers >= 0.5).mean()) if answers.size else 0.0
        return np.array([occupied, 1 - occupied], np.float32)
    counts = np.bincount(answers.argmax(axis=1), minlength=answers.shape[1])
    return np.asarray(counts / max(len(answers), 1), np.float32)


def divergence(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """KL(one ‖ other) of two histograms, in nats; empty classes count as a hundredth.

    >>> divergence(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    0.0
    """
    a, b = (np.maximum(h.astype(np.float64), 0.01) for h in (one, other))
    a, b = a / a.sum(), b / b.sum()
    return float((a * np.log(a / b)).sum())


def stepped(rate: float, usual: float, kept: int, z: float, sound: bool) -> float:
    """The step size after `kept` steps in a row: 0 halves it, each eight double it, up to the `usual`; up to three times that
    only while z > 5 and calibration is `sound` (long runs §6).

    >>> stepped(1e-3, 1e-3, 0, 0.0, True), stepped(5e-4, 1e-3, 8, 0.0, True), stepped(1e-3, 1e-3, 8, 6.0, True)
    (0.0005, 0.001, 0.002)
    """
    if not kept:
        return max(rate / 2, min(LOWEST, usual))
    most = usual * HIGHEST if z > 5 and sound else usual
    return min(rate * 2, most) if kept % 8 == 0 else min(rate, most)


def best(agreements: Mapping[str, Values]) -> str:
    """Of several φ, by name in the order of preference, the one whose agreement (n,) with the teacher is best; a later one
    must be better than an earlier by more than a standard error of their difference.
    """
    names = list(agreements)
    chosen = names[0]
    for name in names[1:]:
        d = (agreements[name] - agreements[chosen]).astype(np.float64)
        error = float(d.std(ddof=1)) / math.sqrt(len(d)) if len(d) > 1 else 0.0
        if len(d) and float(d.mean()) > error:
            chosen = name
    return chosen


def unfit(teacher: Values, source: Values, truth: Values | None, kind: Kind = "classes") -> str:
    """Why nobody should be taught by a teacher, told by its answers (n, C) on calibration pictures; "" where nothing speaks
    against it.

    Where the `truth` is known it may be `WEAKER` than the source there; else it must agree with the source on half of them.
    """
    if not np.isfinite(teacher).all():
        return "the teacher answers what is no number"
    if truth is None:
        share = float(agreement(teacher, source, kind).mean())
        return f"teacher and model agree on {share:.0%} of calibration pictures" if share < STRANGER else ""
    knows, knew = (float(agreement(answers, truth, kind).mean()) for answers in (teacher, source))
    return (
        f"the teacher is right on {knows:.0%} of calibration pictures, the model on {knew:.0%}" if knows < knew - WEAKER else ""
    )
