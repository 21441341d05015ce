"""Units of a run: small, well known pieces of work, measured beside every absolute figure so that it can be read elsewhere.

zlib and a memory copy say how fast the machine moves bytes, a 1024³ matrix product how fast it multiplies. The unit of the
wire, a bare aiohttp echo over TLS, stands in `bench.echo`. Each takes the best of a few rounds: a unit is a property of the
machine, and whatever disturbs a round only makes it slower.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable

import numpy as np

from bench.report import Row

ROUNDS = 5


def units(seconds: float = 1.0) -> list[Row]:
    """zlib (level 1, 20 KB of features), memory copy (256 MB), and a float32 product of 1024 × 1024 matrices, one thread."""
    generator = np.random.default_rng(0)
    features = np.clip(generator.normal(128, 12, 20_000), 0, 255).astype(np.uint8).tobytes()
    block = np.zeros(256_000_000, np.uint8)
    target = np.empty_like(block)
    a, b = generator.normal(size=(2, 1024, 1024)).astype(np.float32)
    each = seconds / 3
    return [
        _rate("zlib level 1", len(features), "B/s", lambda: zlib.compress(features, 1), each),
        _rate("memory copy", block.nbytes, "B/s", lambda: np.copyto(target, block), each),
        _rate("matrix product 1024³, float32", 2 * 1024**3, "FLOP/s", lambda: a @ b, each),
    ]


def _rate(case: str, work: float, unit: str, piece: Callable[[], object], seconds: float) -> Row:
    """Best rate of at least ROUNDS rounds, or as many as fit in `seconds`."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < ROUNDS or (time.perf_counter() < end and len(times) < 10_000):
        start = time.perf_counter()
        piece()
        times.append(time.perf_counter() - start)
    return Row(f"unit: {case}", "rate", work / min(times), unit, len(times), work / max(times), work / min(times))
