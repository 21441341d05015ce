"""Estimators: the latency of a graph, or of a part of one, on a device where it never ran. Each has a name and an interval.

`operator costs` is the one that fills tables: a profile's fitted cost of each kind of kernel, summed over the kernels that
the graph becomes. Errors of one kind of kernel are taken to go together, those of different kinds to be independent; the
interval is 90 % of a log-normal.

`scaled operator costs` lends a device without operator costs those of a calibrated host, multiplied by ratios of the device's
quoted runs of well-known networks (anchors) to the host's own estimates of the same graphs: with three anchors or more, one
ratio for kernels that multiply matrices and one for the rest; else one for all. How far the anchors then still disagree is
in the interval. Threads and runtime of the quoted runs are thereby taken over as they are, and so is a processor of another
kind (a GPU's quoted run says little of its small kernels).

`roofline` divides FLOPs by a rate of FLOPs and bytes by a rate of bytes and takes the larger, operator by operator. It is a
separate figure, a floor rather than an estimate, and never stands in a table beside the others without its name.

What none knows: a model that does not fit into memory, heat, other load, and kinds of kernels that were not calibrated
(these borrow the cost of a matrix product or a copy, with a factor of five either way, and are named in the source).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgewise.core.device import Device, OperatorRate, Run
from edgewise.core.errors import UnknownFigure
from edgewise.core.graph import Graph
from edgewise.core.measurement import Measurement
from edgewise.graph.kernels import Kernel
from edgewise.graph.lowering import lower

OPERATOR_COSTS = "operator costs"
SCALED = "scaled operator costs"
ROOFLINE = "roofline"
_SESSION = "session"
# Not a kernel: the ratio by which costs were scaled, whose error all kinds share.
RATIO = "anchor ratio"
# 90 % of a normal distribution lie within so many standard deviations.
_QUANTILE = 1.645
# Relative error of a kernel whose kind was never calibrated: a factor of five at 90 %.
_GUESS = 1.0
# Relative error of a kernel that was calibrated in the other layout only.
_OTHER_LAYOUT = 0.5
# Relative error of a ratio that stands on one anchor alone: twice what the quoted anchors of one Pi 4 runtime scatter by.
_ONE_ANCHOR = 0.5
# Relative error that ratios of several anchors have at least: what a quoted Pi 4 run is missed by when it is left out.
_ANCHORS = 0.15
_FLOAT = ("float32", "not stated")
# Kernels that multiply matrices; small boards are slower than a server by one factor there, and by another in the rest.
_DENSE = frozenset(("conv", "pointwise", "stem", "grouped", "product", "vector product", "batched product", "transposed"))


def latency(graph: Graph, device: Device) -> Measurement:
    """Seconds of one run of `graph`, batch 1, by the device's operator costs; UnknownFigure where it has none.

    >>> latency(graph_of(load("model.onnx")), load_device("this")).value  # doctest: +SKIP
    0.0071
    """
    if not device.operators:
        raise UnknownFigure(
            f"the profile of {device.name} has no operator costs",
            got=f"{len(device.runs)} runs of whole models",
            allowed="a calibrated profile, or one scaled from it",
            hint="Run `edgewise calibrate` on that machine, or scale this host's costs by its quoted runs.",
        )
    parts, spreads, guessed = breakdown(graph, device)
    total = sum(parts.values())
    own = math.sqrt(sum((parts[k] * spreads[k]) ** 2 for k in parts)) / total if total else 0.0
    ratio = next((r for r in device.operators if r.operator == RATIO), None)
    factor = math.exp(_QUANTILE * math.hypot(own, ratio.spread if ratio else 0.0))
    name = SCALED if ratio else OPERATOR_COSTS
    source = f"{name} of {device.name}" + (f"; guessed: {', '.join(guessed)}" if guessed else "")
    return Measurement(total, "s", "modelled", source, total / factor, total * factor, len(parts))


def breakdown(graph: Graph, device: Device) -> tuple[dict[str, float], dict[str, float], tuple[str, ...]]:
    """Seconds and spread by kind of kernel, the run's own constant among them, and the kinds that had to be guessed."""
    rates = {r.operator: r for r in device.operators}
    parts: dict[str, float] = {}
    spreads: dict[str, float] = {}
    guessed: dict[str, None] = {}
    if graph.operators and _SESSION in rates:
        parts[_SESSION], spreads[_SESSION] = rates[_SESSION].weights[0], rates[_SESSION].spread
    for kernel in lower(graph, device.block):
        rate = rates.get(kernel.kind)
        if rate is None:
            guessed[kernel.kind] = None
            rate = _stand_in(kernel, rates)
        parts[kernel.kind] = parts.get(kernel.kind, 0.0) + _seconds(kernel, rate, device.block)
        spreads[kernel.kind] = rate.spread
    return parts, spreads, tuple(guessed)


def scale_to(host: Device, target: Device, anchors: Mapping[str, Graph], runtime: str | None = None) -> Device:
    """`target` with the host's operator costs times the ratio of its quoted runs of `anchors` to the host's estimates.

    Without `runtime`, that of which most anchors are quoted is taken (the faster of two alike).
    """
    runs = [r for r in target.runs if r.model in anchors and r.precision in _FLOAT and runtime in (None, r.runtime)]
    if not runs:
        raise UnknownFigure(
            f"the profile of {target.name} has no anchor to scale by",
            got="; ".join(sorted({f"{r.model} on {r.runtime} ({r.precision})" for r in target.runs})) or "no runs",
            allowed=f"a run in float of {', '.join(sorted(anchors))}" + (f" on {runtime}" if runtime else ""),
        )
    chosen = _anchored(runs)
    seconds = np.array([r.latency.value for r in chosen])
    own = np.array([_dense_and_thin(anchors[r.model], host) for r in chosen])
    dense, thin, between = _ratios(own, seconds)
    rates = [
        msgspec.structs.replace(r, weights=tuple(w * (dense if _is_dense(r.operator) else thin) for w in r.weights))
        for r in host.operators
    ]
    rates.append(OperatorRate(RATIO, ("dense", "thin"), (dense, thin), between, len(chosen)))
    told = ", ".join(f"{r.model} {r.latency.value:g} s" for r in chosen)
    times = f"{dense:.3g}" if dense == thin else f"{dense:.3g} for dense work and {thin:.3g} for the rest"
    note = f"Operator costs are modelled: those of {host.title} times {times}, by {told} on {chosen[0].runtime}."
    return msgspec.structs.replace(
        target, operators=tuple(rates), block=host.block, notes=f"{target.notes.strip()}\n{note}".strip()
    )


def roofline(graph: Graph, flops_per_second: float, bytes_per_second: float) -> Measurement:
    """Seconds below which a device of these rates cannot come: for each operator, the larger of computing and moving."""
    if min(flops_per_second, bytes_per_second) <= 0:
        raise UnknownFigure("a roofline needs two rates above zero", got=f"{flops_per_second} FLOP/s, {bytes_per_second} B/s")
    total = 0.0
    for o in graph.operators:
        total += max((o.flops or 0.0) / flops_per_second, (o.read + o.written + o.weight_bytes) / bytes_per_second)
    source = f"{ROOFLINE} of {flops_per_second:.3g} FLOP/s and {bytes_per_second:.3g} B/s"
    if graph.unknown:
        source += f"; work unknown: {', '.join(graph.unknown)}"
    return Measurement(total, "s", "modelled", source, low=total, n=len(graph.operators))


def _is_dense(kind: str) -> bool:
    return kind.removesuffix(" plain") in _DENSE


def _dense_and_thin(graph: Graph, device: Device) -> tuple[float, float]:
    """Seconds of multiplying matrices, and of everything else."""
    parts, _, _ = breakdown(graph, device)
    dense = sum(t for kind, t in parts.items() if _is_dense(kind))
    return dense, sum(parts.values()) - dense


def _ratios(own: NDArray[np.float64], seconds: NDArray[np.float64]) -> tuple[float, float, float]:
    """Ratios of dense and thin work from `own` [anchor, dense and thin] to `seconds`, and how far the anchors scatter.

    Three anchors or more are fitted with two ratios (least squares of relative errors); fewer, and those that would give a
    negative one, with one ratio for all: the geometric mean.
    """
    logs = np.log(seconds / own.sum(axis=1))
    one = math.exp(float(logs.mean()))
    if len(seconds) >= 3:
        found, _, rank, _ = np.linalg.lstsq(own / seconds[:, None], np.ones(len(seconds)), rcond=1e-6)
        if rank == 2 and min(found) > 0:
            left = np.log(own @ found / seconds)
            return float(found[0]), float(found[1]), max(_ANCHORS, math.sqrt(float(left @ left) / (len(seconds) - 2)))
    return one, one, max(_ANCHORS, float(logs.std(ddof=1))) if len(logs) > 1 else _ONE_ANCHOR


def _anchored(runs: Iterable[Run]) -> list[Run]:
    """The runs of one runtime: that with most anchors, the faster of two alike."""
    by_runtime: dict[str, list[Run]] = {}
    for r in runs:
        if all(r.model != other.model for other in by_runtime.setdefault(r.runtime, [])):
            by_runtime[r.runtime].append(r)
    return max(by_runtime.values(), key=lambda rs: (len(rs), -sum(math.log(r.latency.value) for r in rs) / len(rs)))


def _seconds(kernel: Kernel, rate: OperatorRate, block: int) -> float:
    found = kernel.features(block)
    return sum(w * found.get(name, 0.0) for name, w in zip(rate.features, rate.weights, strict=True))


def _stand_in(kernel: Kernel, rates: Mapping[str, OperatorRate]) -> OperatorRate:
    """The same kernel in the other layout where that is known; else a guess by work and bytes."""
    plain = kernel.kind.endswith(" plain")
    sibling = rates.get(kernel.kind.removesuffix(" plain") if plain else f"{kernel.kind} plain")
    if sibling is None:
        return _guess(kernel, rates)
    return msgspec.structs.replace(sibling, spread=max(sibling.spread, _OTHER_LAYOUT))


def _guess(kernel: Kernel, rates: Mapping[str, OperatorRate]) -> OperatorRate:
    """What an uncalibrated kernel is charged: its work as a product, its bytes as a copy, each at the dearest known rate."""
    by_work = max((_weight(r, "work") for r in rates.values()), default=0.0) if kernel.work else 0.0
    by_bytes = max((_weight(r, "read") for k, r in rates.items() if k in ("copy", "move", "unary")), default=0.0)
    seconds = by_work * kernel.work + by_bytes * (kernel.read + kernel.written)
    return OperatorRate(kernel.kind, ("one",), (seconds,), _GUESS, 0)


def _weight(rate: OperatorRate, name: str) -> float:
    return dict(zip(rate.features, rate.weights, strict=True)).get(name, 0.0)
