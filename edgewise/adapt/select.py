"""Which frames go up, and as what: an audit drawn blindly, a frame that the teacher answers, or a sample to learn from.

One question a frame, in this order, and the first yes ends it:

    audit      drawn with the share `audit`, whatever the frame shows. One that the byte budget cannot pay is owed: the next frame
               that it can pay goes in its place, and nothing else goes before.
    cascade    among the most doubtful `cascade` of the recent frames: its picture goes for an answer, and teaches as well
    learn      `random`: any; `entropy`: the most doubtful that the budget allows; `window`: those of them between the two
               exclusions (`edgewise.adapt.exclude`). Redundant ones are left out where there is a margin.

How many are allowed follows from the budget, the frames' rate and their size, which are measured as they come, so that choosing
uses the whole budget and the buckets refuse little. Audits and cascade are paid from the byte bucket alone, samples from both. A
frame that goes as one thing never goes as another: one upload is counted once.

`decided` is a function of a State, which is a value; chance comes from the seed and the number of the frame. Every frame leaves
one reason in `counts`, so their sum is the number of frames. (Adapt notes 2.3, long runs §4–6; order and owed audits: ours.)

It does not know what is in a picture, or whether what is learned helps; it knows no link, so who could not send withdraws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.adapt.bucket import HOLD, Bucket, filled, returned, take
from edgewise.adapt.exclude import Window, calibrated, ceiling, excluded, kept, redundant, seen
from edgewise.adapt.recent import Recent, added, rank
from edgewise.core.learning import Learning, checked
from edgewise.data.doubt import Doubt

ADAPTS = 0.02  # of interval and size, with every frame
LONGEST_GAP = 5.0  # s between two frames that still say something of their rate
SHRINKS = 0.2  # of the size that is thought of, with every picture that is smaller; a larger one is believed at once
FIRST_SIZE = 20_000.0  # bytes that a picture is thought to take before one has gone
HOLD_FRAMES = 200.0  # frames of a share that the cascade may be ahead by
ASKED = 1.1  # of what the budget allows is asked for; a bucket that sometimes refuses is one that is used up
NARROW = 2  # classes or fewer: then every answer looks like the mean of all, and nothing is redundant


class Choice(Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of a frame beside its answer: `learn` says that it goes up as a sample (an `audit` or a chosen one), `cascade`
    that its picture goes up for the teacher's answer; never both. `why` is one of the reasons that are counted, `paid` (bytes)
    what it took of the budget.
    """

    learn: bool = False
    audit: bool = False
    cascade: bool = False
    why: str = ""
    paid: float = 0.0

    @property
    def goes(self) -> bool:
        """Whether anything goes up."""
        return self.learn or self.cascade


class State(Struct, frozen=True, eq=False):
    """Everything that a selector remembers. `interval` (s) between frames, 0 while it is unknown; `size` (bytes) of a picture."""

    samples: Bucket
    bytes: Bucket
    cascaded: Bucket
    window: Window = Window()
    recent: Recent = Recent()
    mean: NDArray[np.float32] | None = None
    frames: int = 0
    at: float | None = None
    interval: float = 0.0
    size: float = 0.0
    owed: bool = False
    counts: Mapping[str, int] = {}


class Selector:
    """`consider` frame by frame; `settle` or `withdraw` where an upload came to another size, or to nothing.

    `classes` is how many the model tells apart, `usual` the mean doubt of its calibration set where that is known.
    """

    def __init__(self, learning: Learning, classes: int, seed: int = 0, usual: float | None = None) -> None:
        self.learning, self.classes, self.seed = checked(learning), classes, seed
        window = calibrated(usual) if usual is not None and math.isfinite(usual) else Window()
        self.state = adopted(State(Bucket(0), Bucket(0), Bucket(0)), self.learning)
        self.state = replace(self.state, window=window)

    def adopt(self, learning: Learning) -> None:
        """Other wishes from now on; what is known of the stream stays. ConfigError where they cannot be meant."""
        self.learning = checked(learning)
        self.state = adopted(self.state, self.learning)

    def consider(self, doubt: Doubt | None, now: float, size: float, answered: bool = True) -> Choice:
        """What becomes of the next frame, whose picture takes about `size` bytes on the link, at `now` (s).

        Where nobody knows a size (0), it is thought to be that of the last that went. `doubt` is None where the answer was
        no number, or where there was none (`answered` False: the filter left the frame out, or the server answers it).
        """
        self.state, choice = decided(self.state, self.learning, self.classes, self.seed, doubt, now, size, answered)
        return choice

    def settle(self, choice: Choice, size: float) -> bool:
        """The upload of `choice` takes `size` bytes (0: its picture goes anyway, for another reason): whether that can be paid.

        Where it cannot the choice is withdrawn, and the next frames are known to be larger.
        """
        s, known = self.state, self.state.size or size
        if size > 0:
            s = replace(s, size=max(size, known + SHRINKS * (size - known)))
        bucket, paid = returned(s.bytes, choice.paid - size), True
        if size > choice.paid:
            bucket, paid = take(s.bytes, size - choice.paid, math.nan)  # no time passes: all of the bucket is as it was
        self.state = replace(s, bytes=bucket)
        if not paid:
            self.withdraw(choice, "larger than thought")
        return paid

    def withdraw(self, choice: Choice, why: str, took: float | None = None) -> None:
        """What was chosen did not go: what it `took` (None: what it paid at first) comes back, and it is counted under `why`."""
        if not choice.goes:
            return
        s, counts = self.state, dict(self.state.counts)
        counts[choice.why] = counts.get(choice.why, 0) - 1
        counts[why] = counts.get(why, 0) + 1
        self.state = replace(
            s,
            bytes=returned(s.bytes, choice.paid if took is None else took),
            samples=returned(s.samples, float(choice.learn and not choice.audit)),
            cascaded=returned(s.cascaded, float(choice.cascade)),
            owed=s.owed or (choice.audit and self.learning.audit > 0),
            counts={reason: n for reason, n in counts.items() if n},
        )

    @property
    def counts(self) -> dict[str, int]:
        """Frames by what became of them."""
        return dict(self.state.counts)


def adopted(state: State, learning: Learning) -> State:
    """The state under other wishes: each bucket has what it had at the last frame, and fills at its new rate from there.

    A bucket holds one sample at the least, or one picture, or it would never have enough where wishes change often.
    """
    s, at = state, math.nan if state.at is None else state.at
    return replace(
        s,
        samples=_renewed(s.samples, learning.samples, HOLD, 1.0, at),
        bytes=_renewed(s.bytes, learning.bytes, HOLD, s.size or (FIRST_SIZE if s.frames else 0.0), at),
        cascaded=_renewed(s.cascaded, learning.cascade, HOLD_FRAMES, 1.0, float(s.frames)),
        owed=s.owed and learning.audit > 0,
    )


def _renewed(bucket: Bucket, rate: float, hold: float, one: float, now: float) -> Bucket:
    full = filled(bucket, now)
    renewed = replace(full, rate=rate, hold=max(hold, one / rate) if rate > 0 else hold)
    return replace(renewed, left=min(full.left, renewed.held))


def decided(
    state: State, learning: Learning, classes: int, seed: int, doubt: Doubt | None, now: float, size: float, answered: bool = True
) -> tuple[State, Choice]:
    """What becomes of one frame, and the state after it; arguments as of `Selector` and its `consider`."""
    s = _noticed(state, doubt, now, size)
    size = size if math.isfinite(size) and size > 0 else s.size or FIRST_SIZE
    if learning.bytes <= 0:
        return _ended(s, Choice(why="no budget"))
    audits = drawn(seed, s.frames, 0) < learning.audit
    if audits or s.owed:
        return _audited(s, audits, now, size)
    if doubt is None and answered:
        return _ended(s, Choice(why="no number"))
    spare, why = _spare(s, learning), "less doubtful" if learning.cascade > 0 else "audits alone"
    if doubt is not None and rank(s.recent, doubt.entropy, drawn(seed, s.frames, 1)) < min(learning.cascade, spare):
        cascaded, within = take(s.cascaded, 1.0, float(s.frames))
        paid, can = take(s.bytes, size, now) if within else (s.bytes, False)
        if can:
            return _ended(replace(s, bytes=paid, cascaded=cascaded), Choice(cascade=True, why="cascade", paid=size))
        s, why = replace(s, bytes=paid), "over the byte budget" if within else "over the cascade's share"
    if learning.samples <= 0:
        return _ended(s, Choice(why=why))
    return _learned(s, learning, classes, doubt, now, size, drawn(seed, s.frames, 2), spare)


def _learned(
    s: State, learning: Learning, classes: int, doubt: Doubt | None, now: float, size: float, draw: float, spare: float
) -> tuple[State, Choice]:
    """Whether a frame that is neither audit nor cascade is a sample."""
    gone = min(learning.cascade, spare)
    share = ASKED * min(learning.samples * s.interval, spare - gone)
    if learning.selection == "random":
        if draw >= share:
            return _ended(s, Choice(why="not drawn"))
    elif doubt is None:
        return _ended(s, Choice(why="no answer"))
    else:
        low, high = -1.0, 2.0
        if learning.selection == "window":
            if reason := excluded(s.window, doubt.entropy, learning):
                return _ended(s, Choice(why=reason))
            low, high = learning.floor, ceiling(s.window, learning)
        if rank(s.recent, doubt.entropy, draw, low, high) >= gone + share:
            return _ended(s, Choice(why="less doubtful"))
    if doubt is not None and classes > NARROW and redundant(s.mean, doubt.probabilities, learning.margin):
        return _ended(s, Choice(why="redundant"))
    samples, one = take(s.samples, 1.0, now)
    if not one:
        return _ended(replace(s, samples=samples), Choice(why="over the sample budget"))
    paid, can = take(s.bytes, size, now)
    if not can:
        return _ended(replace(s, bytes=paid), Choice(why="over the byte budget"))
    mean = kept(s.mean, doubt.probabilities) if doubt is not None and learning.margin > 0 else s.mean
    return _ended(replace(s, samples=samples, bytes=paid, mean=mean), Choice(learn=True, why=learning.selection, paid=size))


def _audited(s: State, audits: bool, now: float, size: float) -> tuple[State, Choice]:
    """An audit that was drawn, or is owed: it goes, or is owed from now on."""
    paid, can = take(s.bytes, size, now)
    if can:
        return _ended(replace(s, bytes=paid, owed=audits and s.owed), Choice(learn=True, audit=True, why="audit", paid=size))
    why = "audit over the byte budget" if audits else "waits for an audit"
    return _ended(replace(s, bytes=paid, owed=True), Choice(why=why))


def _spare(s: State, learning: Learning) -> float:
    """The share of the frames that the byte budget pays for after audits."""
    return min(max(learning.bytes * s.interval / (s.size or FIRST_SIZE) - learning.audit, 0.0), 1.0)


def _noticed(s: State, doubt: Doubt | None, now: float, size: float) -> State:
    """What a frame says of the stream, whatever becomes of it."""
    gap = now - s.at if s.at is not None and math.isfinite(now) else math.nan
    interval = s.interval
    if 0 <= gap < LONGEST_GAP:
        interval = gap if not interval else interval + ADAPTS * (gap - interval)
    known = s.size
    if math.isfinite(size) and size > 0:
        known = size if not known else known + ADAPTS * (size - known)
    entropy = doubt.entropy if doubt is not None else math.nan
    return replace(
        s,
        frames=s.frames + 1,
        at=now if math.isfinite(now) else s.at,
        interval=interval,
        size=known,
        window=seen(s.window, entropy),
        recent=s.recent if math.isnan(entropy) else added(s.recent, entropy),
    )


def _ended(s: State, choice: Choice) -> tuple[State, Choice]:
    return replace(s, counts={**s.counts, choice.why: s.counts.get(choice.why, 0) + 1}), choice


def drawn(seed: int, frame: int, of: int) -> float:
    """A number in 0..1 that follows from a seed, a frame and what it is drawn for (SplitMix64; Steele et al. 2014).

    >>> 0 <= drawn(1, 2, 0) < 1, drawn(1, 2, 0) == drawn(1, 2, 0), drawn(1, 2, 0) == drawn(1, 2, 1)
    (True, True, False)
    """
    z = (seed * 0xD1342543DE82EF95 + (frame * 4 + of + 1) * 0x9E3779B97F4A7C15) & _WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
    return ((z ^ (z >> 31)) >> 11) / (1 << 53)


_WORD = (1 << 64) - 1
