"""Replays that were never run, for tests of what is made of them: right or not by a share, in one domain."""

from __future__ import annotations

import numpy as np

from bench.adapt.record import About, Record
from edgewise.adapt.method import Tally
from edgewise.adapt.replay import Moment, Replayed, Trail

SENT = {"upload all": 1.0, "ours": 0.33, "cascade": 0.25, "random uploads": 0.33}


def replayed(shares: dict[str, float], n: int = 1000, seed: int = 0, domain: str = "fog:5") -> Replayed:
    """Each method right on the first pictures of one drawn order, so that gains are exact and nothing but nested."""
    order = np.random.default_rng(seed).permutation(n)
    trails = {}
    for name, share in shares.items():
        right = np.zeros(n, np.float32)
        right[order[: round(share * n)]] = 1
        sent = round(SENT.get(name, 0.0) * n)
        tally = Tally(
            seen=n, uploaded=sent, bytes_up=1000 * sent, bytes_down=10 * sent, deltas=5 if name == "random uploads" else 0
        )
        trails[name] = Trail(right, tally, 1e-3 * n)
    half = n // 2
    noted = tuple(
        Moment(
            seen,
            domain,
            {name: float(t.right[seen - half : seen].mean()) for name, t in trails.items()},
            {name: t.tally.uploaded * seen // n for name, t in trails.items()},
            {name: t.tally.bytes_up * seen // n for name, t in trails.items()},
            {name: t.tally.bytes_down * seen // n for name, t in trails.items()},
        )
        for seen in (half, n)
    )
    return Replayed((domain,), np.zeros(n, np.int64), trails, noted)


def record(case: str, shares: dict[str, float], seed: int = 0, group: str = "core", n: int = 1000) -> Record:
    found = replayed(shares, n, seed, case.rpartition(".")[2])
    return Record(About(case, group, seed, n), found)
