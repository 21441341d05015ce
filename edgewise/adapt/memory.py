"""The memory of domains: a shift that was met before is known again by the look of the pictures, and its φ needs not be
learned again.

    look(x)   means of red, green, blue; log deviation of grey; log of its first differences, of second over first, and of the
              second differences where they are smallest; the dark and the bright end                                        (K,)
    apart²    mean over K of ((m − M)/s)²     m: mean look of the newest `window` pictures; M, s: mean and spread of a domain

The adapt notes (2.6) take mean and variance of what the first normalisation layer sees; those are moments of fixed filters'
answers, and so is a look, of filters that do not depend on the model and need no device to send anything (ours). Fog takes the
deviations down, night the means, noise the roughness up, blur down.

A domain is left when the newest pictures, and the first of their newer half, are `far` from it; of the domains that are
remembered the nearest one within `near` is taken, or a new one is begun. Slow drift moves a domain along. What a look cannot
tell apart (a rendition of like colours) stays one domain, and the gate has to do. It does not know what is stored with a
domain, nor whether it still helps: candidates are tried first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.adapt.step import Phi
from edgewise.adapt.teacher import Picture

Look = NDArray[np.float64]
SUSPECT = 1.3  # of `far`: four pictures scatter twice as widely as sixteen
FLOOR = 0.02  # a spread of looks smaller than this is not believed
DRIFT = 0.002  # what one picture weighs in the key of its domain, once that is known from many


class Domain(Struct, frozen=True, eq=False):
    """Domain `number`: `mean` and `spread` (K,) of its looks, the φ that was best there with the address of its `version`, how
    often it was entered (`visits`), and how many pictures its key was told by (`count`).
    """

    number: int
    mean: Look
    spread: Look
    phi: Phi | None = None
    version: str = ""
    visits: int = 1
    count: int = 0


def look(picture: Picture) -> Look:
    """What a picture (height, width, 3) looks like, (K,); all of it in units of the range or logarithms."""
    x = picture.astype(np.float32) / np.float32(255)
    grey = x.mean(axis=2)
    across = np.diff(grey, 2, axis=1)[1:-1] if min(grey.shape) > 2 else np.zeros((1, 1), np.float32)
    down = np.diff(grey, 2, axis=0)[:, 1:-1] if min(grey.shape) > 2 else np.zeros((1, 1), np.float32)
    first = math.sqrt(0.5 * (_mean_square(np.diff(grey, axis=0)) + _mean_square(np.diff(grey, axis=1))))
    second = math.sqrt(0.5 * (_mean_square(across) + _mean_square(down)))
    smooth = float(np.percentile(np.abs(across)[::2, ::2] + np.abs(down)[::2, ::2], 10))
    ends = np.percentile(grey[:: max(1, grey.shape[0] // 64), :: max(1, grey.shape[1] // 64)], (5, 95))
    rough, texture, calm = (math.log(max(value, 1 / 255)) for value in (first, second, smooth))
    return np.asarray(
        [*x.reshape(-1, 3).mean(axis=0), math.log(max(float(grey.std()), 1 / 255)), rough, texture - rough, calm, *ends]
    )


def _mean_square(x: NDArray[np.float32]) -> float:
    return float(np.mean(x * x)) if x.size else 0.0


def looks(pictures: Sequence[Picture]) -> Look:
    """(n, K) of n pictures."""
    return np.stack([look(p) for p in pictures])


def apart(mean: Look, domain: Domain) -> float:
    """How far a mean look (K,) is from a domain, in spreads of single pictures."""
    return float(np.sqrt(np.mean(((mean - domain.mean) / domain.spread) ** 2)))


def domain_of(number: int, seen: Look) -> Domain:
    """A domain that looks like these (n, K)."""
    return Domain(number, seen.mean(axis=0), np.maximum(seen.std(axis=0), FLOOR), count=len(seen))


def _moved(domain: Domain, looks: Look) -> Domain:
    """A domain after more pictures: plain means of the first, and then moving ones."""
    weight = max(1 - (1 - DRIFT) ** len(looks), len(looks) / (domain.count + len(looks)) if domain.count < 1 / DRIFT else 0.0)
    mean = (1 - weight) * domain.mean + weight * looks.mean(axis=0)
    square = (1 - weight) * (domain.spread**2 + domain.mean**2) + weight * (looks**2).mean(axis=0)
    spread = np.sqrt(np.maximum(square - mean**2, FLOOR**2))
    return replace(domain, mean=mean, spread=spread, count=domain.count + len(looks))


class Memory:
    """Up to `capacity` domains besides the one that the stream is in; the `source` is known by its calibration pictures."""

    def __init__(
        self, capacity: int = 8, source: Look | None = None, window: int = 16, far: float = 0.85, near: float = 0.65
    ) -> None:
        self.capacity, self.window, self.far, self.near = capacity, window, far, near
        self._known: list[Domain] = [] if source is None else [replace(domain_of(0, source), visits=0)]
        self._recent: list[Look] = []
        self._numbers = 0
        self.current: Domain | None = None

    def __len__(self) -> int:
        return len(self._known)

    def seen(self, looks: Look) -> Domain | None:
        """After more pictures, whose looks are (n, K): the domain that was entered by them, None where it is the same as
        before.
        """
        self._recent = [*self._recent, *looks][-self.window :]
        if self.current is not None:
            self._keep(_moved(self.current, looks))
        if len(self._recent) < self.window:
            return None
        newest = np.stack(self._recent)
        if self.current is not None:
            half, quarter = self.window // 2, self.window // 4
            turned = newest[half : half + quarter]  # where these are of another domain, all of the newest half is
            if min(apart(part.mean(axis=0), self.current) for part in (newest, turned)) <= self.far:
                return None
        return self._enter(newest)

    @property
    def suspects(self) -> bool:
        """Whether the newest few pictures look like another domain: more of them are wanted soon."""
        few = self._recent[-(self.window // 4) :]
        return (
            len(few) == self.window // 4
            and self.current is not None
            and apart(np.mean(few, axis=0), self.current) > SUSPECT * self.far
        )

    def remember(self, phi: Phi, version: str) -> None:
        """What is best in the domain that the stream is in."""
        if self.current is not None:
            self._keep(replace(self.current, phi=dict(phi), version=version))

    def forget(self) -> None:
        """What is stored for the domain that the stream is in was no good."""
        if self.current is not None:
            self._keep(replace(self.current, phi=None, version=""))

    def _enter(self, newest: Look) -> Domain:
        """The nearest domain that is known, or a new one, by the newer half of the window."""
        mean = newest[self.window // 2 :].mean(axis=0)
        others = [d for d in self._known if self.current is None or d.number != self.current.number]
        nearest = min(others, key=lambda d: apart(mean, d), default=None)
        if nearest is not None and apart(mean, nearest) <= self.near:
            entered = replace(nearest, visits=nearest.visits + 1)
        else:
            self._numbers += 1
            entered = domain_of(self._numbers, newest[self.window // 2 :])
            spread = np.maximum(entered.spread, self.current.spread / 2) if self.current is not None else entered.spread
            entered = replace(entered, spread=spread, count=self.window // 4)  # so that what comes soon counts more
        self._recent = self._recent[self.window // 2 :]
        self.current = entered
        self._keep(entered)
        return entered

    def _keep(self, domain: Domain) -> None:
        """Newest last; what was entered longest ago goes, but never the source."""
        self.current = domain
        self._known = [d for d in self._known if d.number != domain.number] + [domain]
        while len(self._known) > self.capacity + 1:
            self._known.remove(next(d for d in self._known if d.number != 0))
