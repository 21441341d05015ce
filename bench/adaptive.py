"""Is the choice per frame worth it? Adaptive against every fixed mode and an oracle, on the same links, frame by frame.

The agent, its policy, the sessions and the server are the real ones, in virtual time (`edgewise.node.simulate`); only clock,
inference and transport are simulated. A frame is worth the quality of the mode that answered it (cell F1 from the bundle's
validation table) if the answer came before the deadline, else nothing.

A fixed mode does what it says. Its rows "with insurance" give it the agent's local answer for frames that the link let down,
which tells what the choice is worth apart from that. The oracle knows the link's future (`bench.oracle`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Struct

from bench import oracle
from bench.report import Row, Target, left_out
from edgewise.core.answer import FrameRecord
from edgewise.core.artifact import Manifest
from edgewise.core.link import Link
from edgewise.core.placement import Decision, OperatingPoint
from edgewise.core.power import RADIOS
from edgewise.data.metrics import bootstrap
from edgewise.meter.energy import EnergyModel
from edgewise.node.edge import Edge
from edgewise.node.simulate import SimulatedDevice, SimulatedEdge, World, camera
from edgewise.plan.online import OnlinePolicy, Situation

DEADLINE = 0.2  # s from capture
INTERVAL = 0.1  # s between frames
LEFT_OUT = 5  # frames after a change of phase
OVERHEAD = 61  # bytes of header, WebSocket and TLS around a payload
BLOCK = 10.0  # s; frames this close together are one block of the bootstrap


class Phase(Struct, frozen=True):
    """A stretch of a link in which nothing changed by design."""

    name: str
    begins: float
    ends: float


class Case(Struct, frozen=True):
    """A link, how long it is run, and its phases."""

    name: str
    link: Link
    seconds: float
    phases: tuple[Phase, ...]


class FixedPolicy(OnlinePolicy):
    """Always the same operating point; a baseline."""

    def __init__(self, points: Sequence[OperatingPoint], route: str) -> None:
        super().__init__(tuple(points), INTERVAL)
        self.route = route

    def decide(self, situation: Situation) -> Decision:
        return Decision(self.route, "fixed")


def simulate(points: tuple[OperatingPoint, ...], case: Case, route: str | None, insured: bool) -> list[FrameRecord]:
    """The records of a run; `route` None is adaptive, else that fixed point."""
    energy = EnergyModel(2.65, 5.6, RADIOS["lte"])
    joules = lambda *spent: energy.of(*spent).value  # noqa: E731 (as `edgewise run` does)
    policy = OnlinePolicy(points, INTERVAL, joules=joules) if route is None else FixedPolicy(points, route)
    agent = camera("camera", points, policy, energy, DEADLINE, insured)
    world = World()
    by_name = {p.name: p for p in points}
    server = SimulatedEdge(
        world,
        Edge(lambda s: None, lambda s: s.point),
        lambda run: max(by_name[i.value.stream.point].edge_time for i in run.items),
    )
    device = SimulatedDevice(
        world,
        server,
        agent,
        case.link,
        INTERVAL,
        int(case.seconds / INTERVAL),
        size=lambda work: round(work.point.bytes_up),
        seconds=lambda work: _local_time(points) if work.task == "local" else work.point.device_time,
    )
    world.run(case.seconds + 2.0)
    agent.close(world.now, "stopped")
    device.records.extend(agent.records())
    return sorted(device.records, key=lambda r: r.frame)


def _local_time(points: Sequence[OperatingPoint]) -> float:
    return next(p.device_time for p in points if p.mode == "local")


def worth(records: Sequence[FrameRecord], quality: dict[str, float]) -> np.ndarray:
    """What each frame was worth."""
    return np.array([quality[r.point] if r.outcome == "answered" and not r.late else 0.0 for r in records])


def table(manifest: Manifest, condition: str = "all") -> tuple[tuple[OperatingPoint, ...], dict[str, float]]:
    """Operating points with the wire's overhead in their bytes, and their quality."""
    points = tuple(
        msgspec.structs.replace(p, bytes_up=p.bytes_up + OVERHEAD if p.mode in ("split", "image") else 0.0)
        for p in manifest.points
        if p.mode != "drop"
    )
    return points, {"drop": 0.0, **{p.name: p.worth(condition) for p in points}}


def compare(manifest: Manifest, cases: Sequence[Case], device: str, slower: float = 1.0) -> tuple[list[Row], list[Target]]:
    """Every mode on every link; `slower` scales what the device needs (1: this machine)."""
    points, quality = table(manifest)
    points = tuple(msgspec.structs.replace(p, device_time=p.device_time * slower) for p in points)
    rows: list[Row] = []
    behind: list[str] = []
    not_better: list[str] = []
    switching: list[str] = []
    least = np.inf
    for case in cases:
        label = f"{case.name}, {device}"
        captured = [0.05 + k * INTERVAL for k in range(int(case.seconds / INTERVAL))]
        runs = {p.name: worth(simulate(points, case, p.name, False), quality) for p in points}
        stood_by = {p.name: worth(simulate(points, case, p.name, True), quality) for p in points if p.mode != "local"}
        runs["adaptive"] = worth(simulate(points, case, None, True), quality)
        chosen, runs["oracle"] = (lambda c, w: (c, np.array(w)))(*oracle.best(captured, points, case.link, DEADLINE, quality))
        changes = oracle.switches(chosen)
        rows.append(Row(label, "oracle switches", changes, "", len(chosen), provenance="modelled"))
        whole = {name: float(w.mean()) for name, w in runs.items()}
        for phase in case.phases:
            first = round(phase.begins / INTERVAL) + LEFT_OUT
            part = slice(first, round(phase.ends / INTERVAL))
            means = {name: float(w[part].mean()) for name, w in runs.items()}
            fixed = max((m, n) for n, m in means.items() if n not in ("adaptive", "oracle"))
            ratio = means["adaptive"] / fixed[0] if fixed[0] > 0 else 1.0
            least = min(least, ratio)
            name = f"{label}, {phase.name}" if phase.name else label
            rows.extend(_row(name, mode, w[part], first) for mode, w in runs.items())
            helped = max((float(w[part].mean()), n) for n, w in stood_by.items())
            rows.append(_row(name, f"best fixed with insurance ({helped[1]})", stood_by[helped[1]][part], first))
            rows.append(
                Row(name, f"adaptive / best fixed ({fixed[1]})", ratio, "", part.stop - part.start, provenance="modelled")
            )
            if ratio < 0.95:
                behind.append(f"{name}: {ratio:.3f} of {fixed[1]}")
        if changes >= 0.1:
            switching.append(label)
            best_fixed = max((m, n) for n, m in whole.items() if n not in ("adaptive", "oracle"))
            if whole["adaptive"] <= best_fixed[0]:
                not_better.append(f"{label}: {whole['adaptive']:.3f} against {best_fixed[0]:.3f} of {best_fixed[1]}")
    targets = [
        Target(
            f"adaptive against the best fixed mode, every phase ({device})",
            "≥ 0.95",
            f"{least:.3f} at least",
            not behind,
            "; ".join(behind),
        )
    ]
    name = f"strictly better than every fixed mode where the oracle switches on ≥ 10 % of frames ({device})"
    if switching:
        got = f"{len(switching) - len(not_better)} of {len(switching)} links"
        targets.append(Target(name, "all of them", got, not not_better, "; ".join(not_better)))
    else:
        targets.append(
            left_out(name, "all of them", "the oracle switches on fewer than 10 % of frames on every link of this run")
        )
    return rows, targets


def _row(case: str, mode: str, values: np.ndarray, first: int) -> Row:
    blocks = [int((first + i) * INTERVAL / BLOCK) for i in range(len(values))]
    scaled = np.round(values * 1e6).astype(np.int64)[:, None]
    low, high = bootstrap(scaled, blocks, lambda t: float(t.mean()) / 1e6, draws=100)
    return Row(case, f"utility, {mode}", float(values.mean()), "", len(values), low, high, "modelled")
