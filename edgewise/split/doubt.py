"""How much doubt an early exit may have and still answer: a threshold whose cost is *known*, by the bound of the filter.

The doubt of an answer is 1 − the probability of its likeliest class. An exit answers where its doubt is below a threshold; the
rest is sent. What that costs is the share of all pictures that get another class than the whole network's: answered early, and
differently. The largest threshold is wanted at which this share is `risk` at most, with `confidence`: the very question that
`edgewise.split.bound` answers for a filter, when every picture counts as present, and as missed where it is answered early and
differently. So scenes stay scenes: frames of one clip are one piece of evidence.

It does not know whether the whole network is right: an exit that is right where the network is wrong counts as a difference.
No torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.errors import ConfigError, TensorError
from edgewise.split.bound import By, Scored, certify

Floats = NDArray[np.float64]


class Calibrated(Struct, frozen=True, forbid_unknown_fields=True):
    """An exit answers below `doubt`. Of all pictures `risk` at most get another class by that, with `confidence`, judged on `n`
    scenes; of those themselves the share `seen` did, and the share `left` was answered early."""

    doubt: float
    risk: float
    confidence: float
    n: int
    seen: float
    left: float


def doubts(probabilities: Floats) -> Floats:
    """(n, classes) → (n,).

    >>> doubts(np.array([[0.75, 0.25]]))
    array([0.25])
    """
    doubt: Floats = 1 - probabilities.max(1)
    return doubt


def calibrated(
    early: Floats,
    whole: Floats,
    risk: float,
    confidence: float = 0.95,
    block: Sequence[str] | None = None,
    by: By | None = None,
    seed: int = 0,
) -> Calibrated:
    """The threshold for probabilities `early` of an exit and `whole` of the network (n, classes), of calibration pictures alone.

    `block` names the scene of each picture; None: each is a scene of its own. `by` as in the bound: by `blocks` where there are
    some, else by `draw`, which is sharper. ConfigError where not even the surest answers are sure enough, or the pictures are too
    few to know it.

    >>> sure = np.tile([0.99, 0.01], (500, 1))
    >>> round(calibrated(sure, sure, 0.01).doubt, 2)  # nothing differs: whatever it says may stand
    1.0
    """
    if early.shape != whole.shape or early.ndim != 2 or not len(early):
        raise TensorError("an exit and the network give different answers", got=f"{early.shape} against {whole.shape}")
    if not 0 < risk < 1:
        raise ConfigError("a risk is a share of the pictures", got=risk, allowed="between 0 and 1")
    doubt, same = doubts(early), early.argmax(1) == whole.argmax(1)
    scene = tuple(block) if block is not None else tuple(map(str, range(len(doubt))))
    everything = np.ones(len(doubt), bool)
    scored = Scored(np.where(same, np.inf, doubt), everything, scene)
    refused = ConfigError(
        "no answer of an exit is known to be sure enough",
        got=f"{len(set(scene))} scenes, {float(same.mean()):.1%} of the pictures with the network's own answer",
        allowed=f"a risk of {risk:g} or less, with confidence {confidence:g}",
        hint="Take more pictures, a higher risk, or an exit at a later layer.",
    )
    try:
        found = certify(scored, 1 - risk, confidence, by=by or ("draw" if block is None else "blocks"), seed=seed)
    except ConfigError as error:
        raise refused from error
    left = float((doubt < found.threshold).mean())
    if not left:
        raise refused
    return Calibrated(found.threshold, risk, confidence, found.n, 1 - found.seen, left)
