"""A point's frames in layers, as the policy sees them: what is worth sending of a frame, when no more may pass in time.

What a frame is worth with its first n layers alone stands in its point's quality as the condition `layers=n`, for each n. Where a
bundle does not say so it is unknown: then such a frame is chosen for its whole worth, and cut only when its turn comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgewise.core.placement import LAYERED, Quality

SURE = 0.9  # chance to be in time that a frame is cut to, where the worth of its layers is unknown


class Layers:
    """What is known of one point by its `quality`: worth by layers, and the share of a frame's bytes after each (evenly, until
    one was seen). Without conditions for layers nothing is known, as of a point that is gone.
    """

    def __init__(self, quality: Mapping[str, Quality]) -> None:
        self.worths: tuple[float, ...] = ()
        while (found := quality.get(LAYERED.format(len(self.worths) + 1))) is not None:
            self.worths = (*self.worths, found.value)
        self.shares = tuple((n + 1) / len(self.worths) for n in range(len(self.worths)))

    def seen(self, ends: Sequence[int]) -> None:
        """A frame had these sizes after each layer."""
        if len(ends) == len(self.worths) and ends[-1] > 0:
            self.shares = tuple(end / ends[-1] for end in ends)

    def choose(self, ends: Sequence[int], chance: Callable[[float], float], insurance: float) -> int:
        """How many layers to send of a frame: those of the highest expected worth, or as many as are SURE where that is unknown.

        `chance(size)` is that of so many bytes to be in time, `insurance` what stands by if they are not.
        """
        if len(ends) == len(self.worths):
            expected = [c * w + (1 - c) * insurance for c, w in ((chance(e), w) for e, w in zip(ends, self.worths, strict=True))]
            return max(range(len(ends)), key=lambda n: (expected[n], n)) + 1
        return next((n for n in range(len(ends), 1, -1) if chance(ends[n - 1]) >= SURE), 1)

    def prospects(self, size: float, worth: float) -> list[tuple[float, float]]:
        """Sizes and worths of a frame of mean `size`, cut after each layer; the whole one comes last."""
        cut = zip(self.shares[:-1], self.worths[:-1], strict=True)
        return [*((share * size, each) for share, each in cut), (size, worth)]
