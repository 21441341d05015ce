"""The Intake: uploads wait here, bounded by number, by what each device was told that it may send, and by suspicion; all is
counted.

A device that sends without end is cut off at twice its budget over seconds, picture by picture: refused, counted, and never
waited for. When too many wait the newest is refused, since those that wait were paid for. A batch takes turns between devices.

It does not know teachers, nor what an upload shows.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from edgewise.adapt.bucket import Bucket, take
from edgewise.adapt.recipe import Recipe
from edgewise.adapt.suspicion import Rules, Standing, doubted, fair, noted
from edgewise.adapt.upload import Upload
from edgewise.core.learning import Learning

WAITING = 20  # batches that may wait
LARGEST_SIDE = 8192  # px
DEVICES = 1000  # of which something is remembered
OVER = 2.0  # how much more than told a device may send, since clocks and links are not exact
HOLD = 20.0  # s of that which may come at once


class Intake:
    """What waits; `counts` of what came, `refused` by reason, `doubted` devices."""

    def __init__(self, recipe: Recipe, rules: Rules | None = None) -> None:
        self._recipe, self._rules = recipe, rules or Rules()
        self._waiting: list[Upload] = []
        self._since = 0.0
        self._standings: dict[str, Standing] = {}
        self._budgets: dict[str, Bucket] = {}
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.doubted: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self._waiting)

    def refuse(self, why: str, number: int = 1) -> str:
        """Counted, and given back."""
        self.refused[why] += number
        return why

    def take(self, upload: Upload, now: float, told: Learning) -> str:
        """What an upload is refused for, "" where it waits now."""
        picture = upload.picture
        self.counts["bytes_up"] += upload.size
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            return self.refuse("no picture")
        if max(picture.shape) > LARGEST_SIDE:
            return self.refuse("a picture too large")
        if upload.size and not self._within(upload, now, told):
            return self.refuse("a device over its budget")
        if len(self._waiting) >= WAITING * self._recipe.fresh:
            return self.refuse("too many wait")
        if not self._waiting:
            self._since = now
        self._waiting.append(upload)
        self.counts["uploads"] += 1
        self.counts["audits"] += upload.audit
        return ""

    def due(self, now: float) -> bool:
        """Whether a batch is full, or what there is of it has waited for long."""
        return len(self._waiting) >= self._recipe.fresh or (bool(self._waiting) and now - self._since >= self._recipe.patience)

    def next(self, now: float) -> list[Upload]:
        """A batch, the devices in turn."""
        places = set(fair([u.device for u in reversed(self._waiting)], self._recipe.fresh, self._rules.share))
        last = len(self._waiting) - 1
        batch = [u for i, u in enumerate(self._waiting) if last - i in places]
        self._waiting = [u for i, u in enumerate(self._waiting) if last - i not in places]
        self._since = now
        return batch

    def note(self, device: str, disagreement: float, doubt: float) -> None:
        """What a sample of a device was like (0..1 each); who is doubted is known anew."""
        self._standings[device] = noted(self._standings.pop(device, Standing()), disagreement, doubt)
        while len(self._standings) > DEVICES:
            del self._standings[next(iter(self._standings))]
        self.doubted = doubted(self._standings, self._rules)

    def _within(self, upload: Upload, now: float, told: Learning) -> bool:
        rate = max(OVER * told.bytes, 1.0)
        bucket = self._budgets.pop(upload.device, None)
        if bucket is None or bucket.rate != rate:
            bucket = Bucket(rate, HOLD, rate * HOLD, now)
        self._budgets[upload.device], given = take(bucket, float(upload.size), now)
        while len(self._budgets) > DEVICES:
            del self._budgets[next(iter(self._budgets))]
        return given
