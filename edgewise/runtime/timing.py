"""How long a session takes, on a machine that others use too.

The figure is the processor time of the one thread that runs, not the time on the wall: on an idle core both are the same,
and on a busy one the wall also holds whatever else ran in between. Both are kept. The median of many runs is taken; a
machine whose clock or memory is slowed by neighbours is met by timing a fixed unit beside (see `calibrate`).

Good for one thread and the CPU alone: with more threads, or an accelerator, processor time is not latency.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.runtime.session import Session

# Runs before the first that counts: memory is fetched and arenas grow in them.
_WARM = 2


class Timing(Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds of one run over `n` runs: processor time (`busy`: median, 5th and 95th percentile) and median time on the wall."""

    busy: float
    low: float
    high: float
    wall: float
    n: int


def feeds_for(session: Session, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Inputs at batch 1 for a session whose only free dimension is the batch."""
    rng = np.random.default_rng(seed)
    feeds: dict[str, NDArray[Any]] = {}
    for spec in session.inputs:
        shape = [1 if d is None else d for d in spec.shape]
        real = np.dtype(spec.dtype).kind == "f"
        feeds[spec.name] = (rng.standard_normal(shape) if real else rng.integers(0, 2, shape)).astype(spec.dtype)
    return feeds


def time_session(session: Session, budget: float = 0.1, least: int = 5, most: int = 60) -> Timing:
    """Run again and again for about `budget` seconds."""
    feeds = feeds_for(session)
    start = time.thread_time()
    for _ in range(_WARM):
        session.run(feeds)
    once = (time.thread_time() - start) / _WARM
    n = int(min(most, max(least, budget / max(once, 1e-7))))
    busy, wall = [], []
    for _ in range(n):
        busy_start, wall_start = time.thread_time(), time.perf_counter()
        session.run(feeds)
        busy.append(time.thread_time() - busy_start)
        wall.append(time.perf_counter() - wall_start)
    low, middle, high = (float(x) for x in np.percentile(busy, (5, 50, 95)))
    return Timing(middle, low, high, float(np.median(wall)), n)
