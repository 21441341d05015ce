"""What is not worth learning from: the paper's two exclusions, with a threshold that moves, and the filter of what is redundant.

    H      doubt of the answer, in units of ln C                               `edgewise.data.doubt`
    Hbar   = (1−ρ)·Hbar + ρ·H          ρ = 1 − (1 − 0.02)^(1/50), a window of about 2,500 samples
    Emax   = E0 · clip(Hbar / H0, 0.5, 1)        H0: the mean of the first 200 samples, or of the calibration set
    kept   where Emin < H < Emax                                               paper 7, exclusions; adapt notes 2.3
    and    |cos(p, EMA(p))| < d                                                EATA (Niu et al. 2022), where d is above 0

Above Emax an answer is *unreliable*: nothing steady is learned from it. Below Emin it is *low-informative*. The released code
compares with a mean over all samples and does not clip, so that its threshold crawls, and rises as data get worse; ours is
windowed and never above E0. H0 has a floor, because a calibration set without any doubt would make the quotient explode.

Both states are frozen values. They do not know whether a student learns by what they keep: at half or more right answers the
exclusions are no better than chance (adapt notes, long runs, §3), which is why `random` is the default selection.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.core.learning import Learning

FORGETS = 1 - (1 - 0.02) ** (1 / 50)  # of the running mean, with every sample
WARM = 200  # samples whose mean is the usual doubt where no calibration set says it
LEAST_USUAL = 0.01
NARROWEST = 0.5  # share of the ceiling that is left when there is little doubt about
KEEPS = 0.9  # of the mean answer, with every sample that is kept
Reason = Literal["", "unreliable", "low-informative", "redundant"]
Floats = NDArray[np.float32]


class Window(Struct, frozen=True, forbid_unknown_fields=True):
    """The running `mean` doubt of a stream after `seen` samples, against the `usual` one; `calibrated` where that was given."""

    mean: float = 0.0
    usual: float = 0.0
    seen: int = 0
    calibrated: bool = False


def calibrated(usual: float) -> Window:
    """A window that knows the mean doubt of the calibration set."""
    return Window(usual, usual, 0, True)


def seen(window: Window, doubt: float) -> Window:
    """The window after one more sample; a doubt that is no number changes nothing.

    >>> seen(seen(Window(), 0.25), 0.75).mean
    0.5
    """
    if not math.isfinite(doubt):
        return window
    n = window.seen + 1
    if not window.calibrated and n <= WARM:
        mean = window.mean + (doubt - window.mean) / n
        return Window(mean, mean, n)
    return replace(window, mean=window.mean + FORGETS * (doubt - window.mean), seen=n)


def ceiling(window: Window, learning: Learning) -> float:
    """Emax now, in units of ln C.

    >>> ceiling(Window(mean=0.1, usual=0.4, seen=999), Learning(ceiling=0.4))
    0.2
    """
    if not window.calibrated and window.seen < WARM:
        return learning.ceiling
    return learning.ceiling * min(max(window.mean / max(window.usual, LEAST_USUAL), NARROWEST), 1.0)


def excluded(window: Window, doubt: float, learning: Learning) -> Reason:
    """Why a sample is not worth learning from; "" where it is.

    >>> excluded(Window(), 0.3, Learning()), excluded(Window(), 0.9, Learning()), excluded(Window(), 0.01, Learning())
    ('', 'unreliable', 'low-informative')
    """
    if not doubt < ceiling(window, learning):
        return "unreliable"
    return "" if doubt > learning.floor else "low-informative"


def redundant(mean: Floats | None, probabilities: Floats, margin: float) -> bool:
    """Whether an answer (C,) looks too much like the mean of those that were kept; never where `margin` is 0 or none was kept.

    >>> redundant(np.array([1.0, 0.0]), np.array([1.0, 0.1]), 0.4), redundant(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.4)
    (True, False)
    """
    if margin <= 0 or mean is None or mean.shape != probabilities.shape:
        return False
    length = math.sqrt(float(mean @ mean) * float(probabilities @ probabilities))
    return length > 0 and not abs(float(mean @ probabilities)) < margin * length


def kept(mean: Floats | None, probabilities: Floats) -> Floats:
    """The mean answer after one more that is kept; it begins anew where answers have another length."""
    if mean is None or mean.shape != probabilities.shape:
        return probabilities
    return np.float32(KEEPS) * mean + np.float32(1 - KEEPS) * probabilities
