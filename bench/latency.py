"""Planned against measured latency on this machine: models and cuts that calibration never saw.

The machine is calibrated first (random single-kind networks, see `edgewise.runtime.probes`); then networks of known
families at sizes of their own, and the parts that cuts make of them, are estimated and measured, round by round, so that a
slow minute does not fall on one of them. Measured is the processor time of the one thread, which is the latency on an idle
core; the time on the wall is beside it.

Baselines: FLOPs divided by the rate of the calibration unit, and the roofline of that rate and of a memory copy.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from bench.report import ROOT, Report, Row, Target
from edgewise.core.device import Device
from edgewise.core.graph import Graph
from edgewise.core.measurement import Measurement
from edgewise.graph.count import graph_of
from edgewise.graph.cut import cuts, split
from edgewise.graph.load import load
from edgewise.plan.estimate import latency, roofline
from edgewise.runtime.calibrate import calibrate, unit_session, unit_work
from edgewise.runtime.session import Session
from edgewise.runtime.timing import Timing, time_session
from tests.zoo import ZOO

MEDIAN, P90 = 0.15, 0.35
PACKS = Path(os.environ.get("EDGEWISE_DATA", ROOT.parent / "shared" / "data"))
REAL = ("detectors/yolox_nano.onnx", "fastestdet/FastestDet.onnx")
# Size, width, depth of each family: none of them a network that calibration draws, nor one that the kernels' features were
# chosen by (that was done on these families at other sizes, so that families are not unseen, models and parts are).
FULL = ((80, 40, 2), (112, 28, 3))
SMALLER = {"unet": 64, "densenet": 64, "inception": 96, "plain": 96, "two_inputs": 96}


class Case(Struct, frozen=True):
    """A model or part of one: what to run, and what it is counted as."""

    name: str
    session: Session
    graph: Graph


def run(quick: bool) -> Report:
    """Rows of each case and of each estimator; two targets."""
    device = calibrate(12.0 if quick else 60.0, seed=1)
    found = list(cases(quick))
    timings = measure(found, rounds=1 if quick else 3)
    unit, copy = time_session(unit_session()).busy, copy_rate()
    rate = 2 * unit_work() / unit
    estimators: dict[str, Callable[[Graph], Measurement]] = {
        "operator costs": lambda g: latency(g, device),
        "FLOPs alone": lambda g: Measurement(g.flops / rate, "s", "modelled"),
        "roofline": lambda g: roofline(g, rate, copy),
    }
    rows = [row for case, timing in zip(found, timings, strict=True) for row in case_rows(case, timing, device)]
    errors = {
        name: np.array([estimate(c.graph).value / t.busy - 1 for c, t in zip(found, timings, strict=True)])
        for name, estimate in estimators.items()
    }
    wall = np.array([latency(c.graph, device).value / t.wall - 1 for c, t in zip(found, timings, strict=True)])
    for name, error in {**errors, "operator costs, against the wall": wall}.items():
        size = np.abs(error)
        rows.append(Row(name, "median error", 100 * float(np.median(size)), "%", len(error)))
        rows.append(Row(name, "p90 error", 100 * float(np.percentile(size, 90)), "%", len(error)))
        rows.append(Row(name, "bias", 100 * float(np.median(error)), "%", len(error)))
    inside = [e.low <= t.busy <= e.high for e, t in ((latency(c.graph, device), t) for c, t in zip(found, timings, strict=True))]
    rows.append(Row("operator costs", "inside the 90 % interval", 100 * float(np.mean(inside)), "%", len(inside)))
    rows += unit_rows(device, unit, copy)
    size = np.abs(errors["operator costs"])
    return Report(
        rows=tuple(rows),
        targets=(
            target("median error", float(np.median(size)), MEDIAN, len(size)),
            target("p90 error", float(np.percentile(size, 90)), P90, len(size)),
        ),
        engine_kind="onnxruntime CPU",
        config={
            "seed": 1,
            "probes": device.notes,
            "cases": len(found),
            "left_out": [n for n in REAL if not (PACKS / n).is_file()],
        },
    )


def cases(quick: bool) -> Iterator[Case]:
    """Whole models and the parts of cuts after about a third and two thirds of the work."""
    sources: list[tuple[str, bytes | Path]] = []
    for name, draw in ZOO.items():
        for size, width, depth in FULL[:1] if quick else FULL:
            wide = width * 3 if name == "transformer" else width
            side = min(size, SMALLER.get(name, size))
            sources.append((f"{name} {side}/{wide}/{depth}", draw(size=side, width=wide, depth=depth).SerializeToString()))
    sources += [(Path(name).stem, PACKS / name) for name in REAL if (PACKS / name).is_file()]
    rng = random.Random(2)
    for name, source in sources:
        model = load(source)
        graph = graph_of(model)
        yield case(name, model, graph)
        possible = [c for c in cuts(graph, 2) if c.full]
        for share in (rng.choice((0.33, 0.67)),) if quick else (0.33, 0.67):
            cut = min(possible, key=lambda c, share=share: abs(c.head_flops - share * graph.flops), default=None)
            if cut is not None:
                for part, side_model in zip(("head", "tail"), split(model, cut, graph), strict=True):
                    yield case(f"{name}, {part} of {cut.name}", side_model, graph_of(side_model))


def case(name: str, model: Any, graph: Graph) -> Case:
    return Case(name, Session.load(model.SerializeToString()), graph)


def measure(found: list[Case], rounds: int) -> list[Timing]:
    """Each case once a round; of the rounds the one in the middle counts."""
    every = [[time_session(c.session, 0.08) for c in found] for _ in range(rounds)]
    return [sorted(of_one, key=lambda t: t.busy)[rounds // 2] for of_one in zip(*every, strict=True)]


def copy_rate() -> float:
    """Bytes a second, read and written, of a copy that fits into no cache."""
    source = np.ones(16 << 20, np.float32)
    target = np.empty_like(source)
    seconds = []
    for _ in range(7):
        start = time.thread_time()
        np.copyto(target, source)
        seconds.append(time.thread_time() - start)
    return 2 * source.nbytes / float(np.median(seconds))


def case_rows(case: Case, timing: Timing, device: Device) -> list[Row]:
    estimate = latency(case.graph, device)
    return [
        Row(case.name, "measured", timing.busy, "s", timing.n, timing.low, timing.high),
        Row(case.name, "measured on the wall", timing.wall, "s", timing.n),
        Row(case.name, "planned", estimate.value, "s", 1, estimate.low, estimate.high, provenance="modelled"),
        Row(case.name, "error", 100 * (estimate.value / timing.busy - 1), "%"),
    ]


def unit_rows(device: Device, unit: float, copy: float) -> list[Row]:
    """What a reader on another machine holds the figures against."""
    then = device.runs[0].latency
    return [
        Row("unit", "calibration unit, during calibration", then.value, "s", then.n, then.low, then.high),
        Row("unit", "calibration unit, after the cases", unit, "s"),
        Row("unit", "memory copy", copy, "byte/s"),
    ]


def target(name: str, got: float, want: float, n: int) -> Target:
    met = got <= want
    reason = "" if met else "the machine was busy or the estimator is wrong there: see the error of each case"
    return Target(
        f"planned against measured latency, {name}", f"<= {want:.0%}", f"{got:.1%} over {n} models and parts", met, reason
    )
