"""Is the choice per frame worth it? Adaptive against every fixed mode and an oracle, on the same links, frame by frame.

The agent, its policy, the sessions and the server are the real ones, in virtual time (`edgewise.node.simulate`); only clock,
inference and transport are simulated. A frame is worth the quality of the mode that answered it (cell F1 from the bundle's
validation table) if the answer came before the deadline, else nothing.

A fixed mode does what it says. Its rows "with insurance" give it the agent's local answer for frames that the link let down,
which tells what the choice is worth apart from that. The oracle knows the link's future (`bench.oracle`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
from edgewise.core.wire import FRAME_HEADER, socket_bytes
from edgewise.data.metrics import bootstrap
from edgewise.meter.energy import EnergyModel
from edgewise.node.edge import Edge
from edgewise.node.simulate import SimulatedDevice, SimulatedEdge, World, camera
from edgewise.plan.online import OnlinePolicy, Situation

DEADLINE = 0.2  # s from capture
INTERVAL = 0.1  # s between frames
LEFT_OUT = 5  # frames after a change of phase
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
    """Operating points whose frames are what a socket carries (`carried`), and their quality."""
    points = tuple(
        msgspec.structs.replace(p, bytes_up=carried(round(p.bytes_up)) if p.mode in ("split", "image") else 0.0)
        for p in manifest.points
        if p.mode != "drop"
    )
    return points, {"drop": 0.0, **{p.name: p.worth(condition) for p in points}}


def carried(payload: int) -> int:
    """The payload whose frame has as many bytes as a socket carries for a frame of `payload`: virtual links know no TLS."""
    return socket_bytes(payload) - FRAME_HEADER


class Verdict:
    """What the cases of one device come to, for the targets."""

    def __init__(self) -> None:
        self.least = self.least_insured = float("inf")
        self.behind: list[str] = []
        self.switching: list[str] = []
        self.not_better: list[str] = []

    def targets(self, device: str) -> list[Target]:
        got = f"{self.least:.3f} at least ({self.least_insured:.3f} against fixed modes with the same insurance)"
        every = Target(
            f"adaptive against the best fixed mode, every phase ({device})",
            "≥ 0.95",
            got,
            not self.behind,
            "; ".join(self.behind),
        )
        name = f"strictly better than every fixed mode where the oracle switches on ≥ 10 % of frames ({device})"
        if not self.switching:
            return [every, left_out(name, "all", "the oracle switches on fewer than 10 % of frames on every link of this run")]
        got = f"{len(self.switching) - len(self.not_better)} of {len(self.switching)} links"
        return [every, Target(name, "all of them", got, not self.not_better, "; ".join(self.not_better))]


def compare(manifest: Manifest, cases: Sequence[Case], device: str, slower: float = 1.0) -> tuple[list[Row], list[Target]]:
    """Every mode on every link; `slower` scales what the device needs (1: this machine)."""
    points, quality = table(manifest)
    points = tuple(msgspec.structs.replace(p, device_time=p.device_time * slower) for p in points)
    verdict = Verdict()
    rows = [row for case in cases for row in _case(case, points, quality, device, verdict)]
    return rows, verdict.targets(device)


def _case(
    case: Case, points: tuple[OperatingPoint, ...], quality: dict[str, float], device: str, verdict: Verdict
) -> Iterator[Row]:
    label = f"{case.name}, {device}"
    captured = [0.05 + k * INTERVAL for k in range(int(case.seconds / INTERVAL))]
    fixed = {p.name: worth(simulate(points, case, p.name, False), quality) for p in points}
    insured = {p.name: worth(simulate(points, case, p.name, True), quality) for p in points if p.mode != "local"}
    adaptive = worth(simulate(points, case, None, True), quality)
    chosen, best = oracle.best(captured, points, case.link, DEADLINE, quality)
    apart = oracle.switches(chosen, {p.name: p.quality["all"] for p in points})
    changes = oracle.switches(chosen)
    yield Row(label, "oracle switches", changes, "", len(chosen), provenance="modelled")
    yield Row(label, "oracle switches between qualities that differ", apart, "", len(chosen), provenance="modelled")
    if changes >= 0.1:
        verdict.switching.append(label)
        top = max((float(w.mean()), n) for n, w in fixed.items())
        if adaptive.mean() <= top[0]:
            verdict.not_better.append(f"{label}: {adaptive.mean():.4f} against {top[0]:.4f} of {top[1]}")
    for phase in case.phases:
        name = f"{label}, {phase.name}" if phase.name else label
        first = round(phase.begins / INTERVAL) + LEFT_OUT
        part = slice(first, round(phase.ends / INTERVAL))
        for mode, values in (*fixed.items(), ("adaptive", adaptive), ("oracle", np.array(best))):
            yield _row(name, f"utility, {mode}", values[part], first)
        plain = max((float(w[part].mean()), n) for n, w in fixed.items())
        helped = max((float(w[part].mean()), n) for n, w in insured.items())
        yield _row(name, f"utility, {helped[1]} with insurance (best of those)", insured[helped[1]][part], first)
        mine, n = float(adaptive[part].mean()), part.stop - part.start
        against, against_insured = (mine / top[0] if top[0] > 0 else 1.0 for top in (plain, helped))
        yield Row(name, f"adaptive / best fixed ({plain[1]})", against, "", n, provenance="modelled")
        yield Row(name, f"adaptive / best fixed with insurance ({helped[1]})", against_insured, "", n, provenance="modelled")
        verdict.least = min(verdict.least, against)
        verdict.least_insured = min(verdict.least_insured, against_insured)
        if against < 0.95:
            verdict.behind.append(f"{name}: {against:.3f} of {plain[1]}")


def _row(case: str, metric: str, values: np.ndarray, first: int) -> Row:
    blocks = [int((first + i) * INTERVAL / BLOCK) for i in range(len(values))]
    scaled = np.round(values * 1e6).astype(np.int64)[:, None]
    low, high = bootstrap(scaled, blocks, lambda t: float(t.mean()) / 1e6, draws=100)
    return Row(case, metric, float(values.mean()), "", len(values), low, high, "modelled")
