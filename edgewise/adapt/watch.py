"""The head-room watch: whether learning is worth it, told by pictures that were drawn blindly, before anything is learned from
them.

Of each audit the teacher's answer is compared with that of the source (as it was shipped first) and with that of the adapted
shadow, both under the device's statistics:

    dᵢ = agreement(adapted, teacher) − agreement(source, teacher)      gain = mean d
    z  = Σ d / √Σ d²                     for d in {−1, 0, 1} this is McNemar's (b − c)/√(b + c)
    1 − agreement(source, teacher)       disagreement: an upper bound of what can be won

| phase | left when | for |
|---|---|---|
| measuring | disagreement is surely ≥ `worth`, or is ≥ `worth` after `asked` audits | trial |
| | disagreement is surely below, or is below after `asked` | rest |
| trial | z ≥ `early`; z ≥ `keep` after `verdict` audits | learning |
| | z ≤ `harm` after any multiple of `look`; z < `keep` after `verdict` | rest |
| learning | z ≤ `harm` over the newest `window`, after `look` of them | rest |
| rest | disagreement of the newest `recent` rose by `rise` and is ≥ `worth`, by a standard error more; a shift | measuring |

"Surely": two standard errors, after `least` audits (ours, so that night is not waited for like dusk). Thresholds: long runs
§4, read off a few runs there. On *selected* uploads the same test reports two to three times the true gain; it must see audits
alone.

A Watch is a value. It does not know how audits are drawn, nor what is done in a phase.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

Phase = Literal["measuring", "trial", "learning", "rest"]


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds: audits (`least`, `asked`, `look`, `verdict`, `window`, `recent`), shares (`worth`, `rise`), z (the others)."""

    least: int = 32
    asked: int = 200
    worth: float = 0.20
    look: int = 650
    harm: float = -1.0
    surely: float = -3.0
    early: float = 4.0
    verdict: int = 2500
    keep: float = 2.0
    window: int = 1300
    recent: int = 100
    rise: float = 0.08


class Watch(Struct, frozen=True):
    """Where it stands: `differences` d and `missed` (disagreement), newest last, of the audits of this phase; `rested` is the
    disagreement at the beginning of a rest, `audits` counts all that it ever saw.
    """

    phase: Phase = "measuring"
    differences: tuple[float, ...] = ()
    missed: tuple[float, ...] = ()
    rested: float = 0.0
    audits: int = 0
    why: str = ""

    @property
    def disagreement(self) -> float | None:
        """Of the source and the teacher, in this phase; None where there was no audit."""
        return float(np.mean(self.missed)) if self.missed else None

    @property
    def gain(self) -> float | None:
        return float(np.mean(self.differences)) if self.differences else None

    @property
    def z(self) -> float | None:
        return significance(self.differences) if self.differences else None

    @property
    def least_gain(self) -> float:
        """What was won at least, with two standard errors; 0 where that is not known to be anything."""
        if len(self.differences) < 2:
            return 0.0
        d = np.asarray(self.differences)
        return max(0.0, float(d.mean() - 2 * d.std(ddof=1) / math.sqrt(len(d))))


def significance(differences: Sequence[float] | NDArray[np.float64]) -> float:
    """z of paired differences; 0 where none differs.

    >>> significance([1, 1, 1, -1, 0]), significance([0, 0])
    (1.0, 0.0)
    """
    d = np.asarray(differences, np.float64)
    squares = float((d**2).sum())
    return float(d.sum()) / math.sqrt(squares) if squares else 0.0


def audited(watch: Watch, source: Sequence[float], adapted: Sequence[float], rules: Rules) -> Watch:
    """After more audits, whose agreement with the teacher is `source` (n,) and `adapted` (n,), each in 0..1."""
    new = tuple(float(a) - float(s) for s, a in zip(source, adapted, strict=True))
    missed = tuple(1 - float(s) for s in source)
    most = {"learning": rules.window, "rest": rules.recent}.get(watch.phase, rules.verdict + len(new))
    return replace(
        watch,
        differences=(watch.differences + new)[-most:],
        missed=(watch.missed + missed)[-most:],
        audits=watch.audits + len(new),
    )


def judged(watch: Watch, rules: Rules, before: int | None = None) -> Watch:
    """The watch in the phase that its audits ask for, with `why` in words where it changed.

    `before`: how many audits of this phase there were when it was judged last; harm is looked for where a multiple of `look` was
    passed since then, so that a trial is not given up by looking often.
    """
    n = len(watch.differences)
    share = watch.disagreement
    if share is None:
        return watch
    passed = n // rules.look > (n - 1 if before is None else before) // rules.look
    z = watch.z or 0.0
    if watch.phase == "measuring":
        width = 2 * math.sqrt(max(share * (1 - share), 0.01) / n)
        asked = n >= rules.asked
        if (n >= rules.least and share - width >= rules.worth) or (asked and share >= rules.worth):
            return replace(watch, phase="trial", why=f"the teacher disagrees on {share:.0%} of {n}")
        if (n >= rules.least and share + width < rules.worth) or asked:
            return rest(watch, f"the teacher disagrees on {share:.0%} of {n} alone")
    elif watch.phase == "trial":
        if (passed and z <= rules.harm) or (n >= rules.least and z <= rules.surely):
            return rest(watch, f"learning did harm: {watch.gain:+.1%}, z {z:.1f} of {n}")
        if z >= rules.early and n >= rules.asked:
            return replace(watch, phase="learning", why=f"learning helps: {watch.gain:+.1%}, z {z:.1f} of {n}")
        if n >= rules.verdict:
            if z >= rules.keep:
                return replace(watch, phase="learning", why=f"learning helps: {watch.gain:+.1%}, z {z:.1f} of {n}")
            return rest(watch, f"learning was not shown to help: {watch.gain:+.1%}, z {z:.1f} of {n}")
    elif watch.phase == "learning":
        if (n >= rules.look and z <= rules.harm) or z <= rules.surely:
            return rest(watch, f"learning helps no longer: {watch.gain:+.1%}, z {z:.1f} of {n}")
    elif n >= rules.recent and share - math.sqrt(share * (1 - share) / n) >= max(watch.rested + rules.rise, rules.worth):
        return begun(watch, f"the teacher's disagreement rose from {watch.rested:.0%} to {share:.0%}")
    return watch


def rest(watch: Watch, why: str) -> Watch:
    """Back to the source and to audits alone."""
    return replace(watch, phase="rest", rested=watch.disagreement or watch.rested, differences=(), missed=(), why=why)


def begun(watch: Watch, why: str) -> Watch:
    """Measured again from the beginning: after a shift, or a rise of disagreement."""
    return replace(watch, phase="measuring", rested=0.0, differences=(), missed=(), why=why)
