"""A Device is a profile: what is known about a machine, every figure with its source; what is not known is asked in vain.

The runtime is part of the key: one Raspberry Pi 4 runs MobileNetV2 in 65, 74 or 193 ms, by runtime and laboratory. A
figure for a model that is not in the table comes from an estimator (`edgewise.plan.estimate`) and is marked `modelled`.
"""

from __future__ import annotations

from msgspec import Struct

from edgewise.core.errors import UnknownFigure
from edgewise.core.measurement import Measurement


class Run(Struct, frozen=True, forbid_unknown_fields=True):
    """One model on one runtime, batch 1: `latency` (s), `energy` (J an inference, whole system), `power` (W while busy)."""

    model: str
    runtime: str
    precision: str
    latency: Measurement
    energy: Measurement | None = None
    power: Measurement | None = None


class OperatorRate(Struct, frozen=True, forbid_unknown_fields=True):
    """The fitted cost of one kind of kernel, written by `edgewise calibrate`: seconds = Σ weight × feature.

    `operator` is a kind of `edgewise.graph.kernels` (or `session`, what a run costs beside its kernels), `features` are those
    that it names. `spread` is the relative error of the fit (one standard deviation, of log seconds) over `n` networks.
    """

    operator: str
    features: tuple[str, ...]
    weights: tuple[float, ...]
    spread: float
    n: int


class Device(Struct, frozen=True, forbid_unknown_fields=True):
    """`memory` in bytes; `idle` and `active` power in W; `runs` are quoted or measured, `operators` fitted.

    `block` is the number of channels in a block of the CPU's convolution layout, for which `operators` were fitted (1: none).
    """

    name: str
    title: str
    kind: str = "device"
    memory: Measurement | None = None
    idle: Measurement | None = None
    active: Measurement | None = None
    runs: tuple[Run, ...] = ()
    operators: tuple[OperatorRate, ...] = ()
    block: int = 1
    notes: str = ""

    def run(self, model: str, runtime: str | None = None, precision: str | None = None) -> Run:
        """The quoted or measured run of `model`; UnknownFigure where the profile has none."""
        found = [r for r in self.runs if r.model == model and runtime in (None, r.runtime) and precision in (None, r.precision)]
        if not found:
            raise UnknownFigure(
                f"the profile of {self.name} has no such run",
                got=f"model {model}, runtime {runtime or 'any'}, precision {precision or 'any'}",
                allowed="; ".join(sorted({f"{r.model} on {r.runtime} ({r.precision})" for r in self.runs})) or "nothing yet",
                hint="Run `edgewise calibrate` on that machine, or let an estimator fill the gap.",
            )
        return found[0]
