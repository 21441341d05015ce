"""Pieces of work timed in turns, so that a machine that slows down slows all of them: heads, tails, whole networks, coders.

Every round runs each piece a few times, one after another, after one run that is not counted (memory is fetched in it). The
figure is the processor time of the one thread that runs (`edgewise.runtime.timing`): others who use the machine lengthen the wall
clock, not that. What they do to caches and clock frequency stays in it, and hits the pieces alike, for they stand in one round.

It does not know what a piece is. With more than one thread, or an accelerator, processor time is no latency.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.graph import Graph
from edgewise.graph.count import graph_of
from edgewise.graph.load import load
from edgewise.runtime.session import Session
from edgewise.runtime.timing import Timing, feeds_for

LEAST, MOST = 5, 60  # rounds
WEIGHED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Size(Struct, frozen=True, forbid_unknown_fields=True):
    """What a network weighs: `parameters` (normalisation folded, as it runs) and `macs`, multiply-adds of one picture."""

    parameters: int
    macs: float


class Timed(Struct, frozen=True, forbid_unknown_fields=True):
    """A piece of work: seconds of one run by one thread of this machine, and its size where it is a network."""

    seconds: Timing
    size: Size = Size(0, 0.0)


def in_turns(
    work: Mapping[str, Callable[[], Any]], budget: float = 20.0, each: int = 2, advance: Callable[[float], None] = lambda s: None
) -> dict[str, Timing]:
    """Time every piece, in turns, for about `budget` seconds of the clock; at least `LEAST` rounds and at most `MOST`.

    >>> sorted(in_turns({"sum": lambda: sum(range(100)), "nothing": lambda: None}, budget=0.01))
    ['nothing', 'sum']
    """
    busy: dict[str, list[float]] = {name: [] for name in work}
    wall: dict[str, list[float]] = {name: [] for name in work}
    begun, rounds = time.perf_counter(), 0
    while rounds < LEAST or (rounds < MOST and time.perf_counter() - begun < budget):
        for name, run in work.items():
            run()
            for _ in range(each):
                busy_start, wall_start = time.thread_time(), time.perf_counter()
                run()
                busy[name].append(time.thread_time() - busy_start)
                wall[name].append(time.perf_counter() - wall_start)
        rounds += 1
        advance(min(1.0, max(rounds / MOST, min((time.perf_counter() - begun) / max(budget, 1e-9), rounds / LEAST))))
    return {name: _timing(busy[name], wall[name]) for name in work}


def network(model: bytes, seed: int = 0) -> Callable[[], Any]:
    """A run of an ONNX model at batch 1 on drawn input, in onnxruntime with one thread."""
    session = Session.load(model)
    feeds = feeds_for(session, seed)
    return lambda: session.run(feeds)


def size(model: bytes) -> Size:
    """Parameters and multiply-adds of an ONNX model at batch 1, counted on its graph."""
    return sized(graph_of(load(model)))


def sized(graph: Graph) -> Size:
    """The same of a graph."""
    macs = sum((o.flops or 0.0) / 2 for o in graph.operators if o.kind in WEIGHED)
    return Size(graph.weight_bytes // 4, macs)


def _timing(busy: list[float], wall: list[float]) -> Timing:
    values: NDArray[np.float64] = np.percentile(busy, (50, 5, 95))
    middle, low, high = (float(v) for v in values)
    return Timing(middle, low, high, float(np.median(wall)), len(busy))
