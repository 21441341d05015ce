"""How low a filter's threshold must be for its recall to be *known*: a bound that holds with high probability.

Learn-then-Test (Angelopoulos et al. 2021): a grid of thresholds, fixed beforehand, is walked from the lowest up; at each stands
the hypothesis "recall is below what was asked for", and the walk goes on while it is rejected at level 1 − confidence. The last
threshold that was rejected is taken. Tested in this fixed order, no correction is due: the first mistake would end the walk.

Frames of one scene (a block) resemble each other: a hundred frames of one camera that misses the same far lorry are one piece
of evidence. So scenes are the sample, and the recall that is bounded is that of a frame with something in it, drawn from a scene
that is drawn: a scene counts once, however long it was filmed. Two ways, both exact for scenes that are drawn independently:

* `draw`: one frame with something in it is drawn from each scene; the binomial tail (Clopper–Pearson 1934) judges those alone.
* `blocks` (the default): of each scene the share that is missed, z in 0..1. A bettor who starts with 1 and puts a stake λ against
  "the mean of z is above risk" on every scene, the mean over a few λ, has 1 / (1 − confidence) at the end with probability
  1 − confidence at most (Markov; Waudby-Smith and Ramdas 2024 choose the next λ by what they saw). No order, no randomness.

On simulated scenes of 12 frames, true recall at the threshold where 0.95 is asked for, mean ± spread: 100 scenes 0.980 ± 0.013 by
draw, 0.988 ± 0.005 by blocks; 200: 0.977 ± 0.011, 0.973 ± 0.005; 400: 0.970 ± 0.008, 0.967 ± 0.005. A draw can say 0.95 from 59
scenes on, the blocks from 74, and they say the same whoever asks.

| symbol | name here | unit |
|---|---|---|
| α | risk = 1 − recall | share of the frames with something in them |
| δ | 1 − confidence | probability |
| λ | stake | as a share of 1 / (1 − risk), where a block that is missed whole takes all |

It does not know whether tomorrow resembles the calibration: a bound speaks of the scenes that the blocks were drawn from.
No torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.errors import ConfigError

By = Literal["draw", "blocks"]
GRID = tuple(float(1 / (1 + math.exp(-x / 10))) for x in range(-140, 141))  # thresholds, even in log odds
STAKES = (0.4, 0.6, 0.8, 1.0)  # Kelly's are 0.8 where 1 % is missed, 0.4 where 3 % are, at a risk of 5 %


class Scored(Struct, frozen=True):
    """Frames with the filter's `score` (n,) in 0..1, whether something is `present` (n,), and the `block` (scene) of each."""

    score: NDArray[np.float64]
    present: NDArray[np.bool_]
    block: tuple[str, ...]

    def of(self, blocks: Sequence[str]) -> Scored:
        """The frames of these blocks."""
        wanted = set(blocks)
        kept = np.array([b in wanted for b in self.block], bool)
        return Scored(self.score[kept], self.present[kept], tuple(b for b in self.block if b in wanted))


class Certified(Struct, frozen=True, forbid_unknown_fields=True):
    """A threshold with what is known of it: recall ≥ `recall` with `confidence`, from `n` independent draws or blocks.

    `p` is the p-value at the threshold; `seen` is the recall on the calibration frames themselves.
    """

    threshold: float
    recall: float
    confidence: float
    n: int
    p: float
    seen: float
    by: By


class Held(Struct, frozen=True, forbid_unknown_fields=True):
    """What a threshold did on other frames: recall over `present` frames, share `dropped` of the `empty` ones."""

    recall: float
    dropped: float
    present: int
    empty: int


def tail(misses: int, n: int, risk: float) -> float:
    """P(at most `misses` of `n` independent draws are missed) where each is with probability `risk`: the Clopper–Pearson p-value.

    >>> round(tail(0, 59, 0.05), 4)
    0.0485
    """
    if not 0 <= misses <= n or not 0 < risk < 1:
        raise ConfigError(
            "a binomial tail is not well posed", got=f"{misses} of {n} at {risk}", allowed="0 ≤ misses ≤ n, 0 < risk < 1"
        )
    if misses == n:
        return 1.0
    each = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(risk) + (n - k) * math.log1p(-risk)
        for k in range(misses + 1)
    ]
    return min(1.0, math.fsum(math.exp(x) for x in each))


def lower(hits: int, n: int, confidence: float) -> float:
    """The Clopper–Pearson lower limit of a recall of which `hits` of `n` draws are known; 0 for no hits.

    >>> round(lower(59, 59, 0.95), 3)
    0.95
    """
    if hits <= 0:
        return 0.0
    low, high = 0.0, 1.0  # of the risk: the largest that is not rejected
    for _ in range(60):
        middle = (low + high) / 2
        if tail(n - hits, n, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return 1 - high


def fewest(recall: float, confidence: float) -> int:
    """How many independent draws, none of them missed, it takes at least to say so much.

    >>> fewest(0.95, 0.95)
    59
    """
    return math.ceil(math.log(1 - confidence) / math.log(recall) - 1e-9)


def needed(recall: float, confidence: float, by: By = "blocks") -> int:
    """How many scenes with something in them, nothing missed in any, it takes at least to say so much.

    >>> needed(0.95, 0.95), needed(0.95, 0.95, "draw")
    (74, 59)
    """
    n = fewest(recall, confidence)
    while by == "blocks" and staked(np.tile([0, 1], (n, 1)), recall) > 1 - confidence:
        n += 1
    return n


def certify(
    scored: Scored,
    recall: float = 0.95,
    confidence: float = 0.95,
    grid: Sequence[float] = GRID,
    by: By = "blocks",
    seed: int = 0,
) -> Certified:
    """The highest threshold of `grid` whose recall is at least `recall` with `confidence`, from calibration frames alone.

    `grid` must not come from these frames. ConfigError where they are too few to say so much, with the recall that they could
    show. `seed` decides the draws of `draw`; nothing else is random.

    >>> frames = Scored(np.full(80, 0.9), np.ones(80, bool), tuple(map(str, range(80))))
    >>> round(certify(frames, by="draw").threshold, 2)
    0.89
    """
    if not (0 < recall < 1 and 0 < confidence < 1):
        raise ConfigError(
            "a bound on recall is impossible", got=f"recall {recall}, confidence {confidence}", allowed="between 0 and 1"
        )
    if not scored.present.any():
        raise ConfigError(
            "no calibration frame holds anything", got=f"{len(scored.block)} empty frames", allowed="frames with objects"
        )
    drawn = one_each(scored, seed) if by == "draw" else None
    n = len(counted(scored, 0.0)) if drawn is None else len(drawn)
    best: tuple[float, float] | None = None
    for threshold in sorted(grid):
        p = staked(counted(scored, threshold), recall) if drawn is None else _tail_of(drawn, threshold, recall)
        if p > 1 - confidence:
            break
        best = threshold, p
    if best is None:
        raise _too_few(scored, recall, confidence, by, n)
    return Certified(best[0], recall, confidence, n, best[1], held(scored, best[0]).recall, by)


def one_each(scored: Scored, seed: int) -> NDArray[np.float64]:
    """The score of one frame with something in it from each block that has any, in order of their names."""
    generator = np.random.default_rng(seed)
    there = np.flatnonzero(scored.present)
    order = generator.permutation(len(there))  # of each block the first in this order
    _, first = np.unique(np.array(scored.block)[there][order], return_index=True)
    drawn: NDArray[np.float64] = scored.score[there[order[first]]]
    return drawn


def counted(scored: Scored, threshold: float) -> NDArray[np.int64]:
    """Of each block with something in it: frames missed below `threshold`, and frames with something in them (block, 2)."""
    names, place = np.unique(np.array(scored.block)[scored.present], return_inverse=True)
    missed = scored.score[scored.present] < threshold
    table: NDArray[np.int64] = np.stack([np.bincount(place[m], minlength=len(names)) for m in (missed, slice(None))], 1)
    return table


def staked(blocks: NDArray[np.int64], recall: float) -> float:
    """The p-value of `blocks`: 1 over what a bettor against "recall is too low" holds after (missed, present) of every block."""
    risk = 1 - recall
    z = blocks[:, 0] / blocks[:, 1]
    stakes = np.array(STAKES) / (1 - risk) * (1 - 1e-9)  # never quite all, or the logarithm ends
    wealth = np.log1p(stakes[:, None] * (risk - z)).sum(1)  # logarithms: a thousand blocks make numbers of any size
    best = float(wealth.max())
    if best <= 0:
        return 1.0  # every stake lost
    return float(min(1.0, math.exp(-best) / np.exp(wealth - best).mean())) if best < 700 else 0.0


def held(scored: Scored, threshold: float) -> Held:
    """Recall and the share of empty frames dropped, over frames, where all with a score of `threshold` or more pass."""
    passes = scored.score >= threshold
    there = scored.present
    present, empty = int(there.sum()), int((~there).sum())
    recall = float(passes[there].mean()) if present else 1.0
    return Held(recall, float((~passes[~there]).mean()) if empty else 0.0, present, empty)


def splits(blocks: Sequence[str], count: int, seed: int, share: float = 0.5) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """`count` ways to part the blocks into calibration (`share`) and test, each block whole on one side."""
    names = sorted(set(blocks))
    cut = round(share * len(names))
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(len(names)) for _ in range(count)]
    return [(tuple(names[i] for i in order[:cut]), tuple(names[i] for i in order[cut:])) for order in orders]


def _tail_of(drawn: NDArray[np.float64], threshold: float, recall: float) -> float:
    return tail(int((drawn < threshold).sum()), len(drawn), 1 - recall)


def _too_few(scored: Scored, recall: float, confidence: float, by: By, n: int) -> ConfigError:
    """The sentence for a recall that these frames cannot show, with the highest one that they can."""
    candidates = [recall * i / 1000 for i in range(999, 0, -1)]
    everything = counted(scored, -math.inf)
    reach = next(
        (r for r in candidates if (tail(0, n, 1 - r) if by == "draw" else staked(everything, r)) <= 1 - confidence),
        0.0,
    )
    return ConfigError(
        "the calibration frames are too few to know that recall",
        got=f"recall {recall:g} with confidence {confidence:g} from {n} blocks",
        allowed=f"recall {math.floor(1000 * reach) / 1000:g} at most from so many blocks",
        hint=f"It takes {needed(recall, confidence, by)} scenes or more with something in each; frames of one scene count once.",
    )
