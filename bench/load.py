"""How much a server of ours carries: 200 devices on real sockets, beside a bare aiohttp echo under the same load.

Most frames a second by a closed loop, ours and the echo in turn so that a disturbance of the machine meets both; then our
latencies at half of that, and memory over minutes. Processor time is read from outside. The model is free (`bench.standin`),
the devices are light (`bench.light`), and both servers use the same certificates, sockets and fleet.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import numpy as np
from msgspec import Struct

from bench import standin
from bench.fleet import FleetJob, FleetResult
from bench.processes import Child, child
from bench.report import Row
from bench.servers import Listening, ServerJob
from edgewise.core.errors import LinkError
from edgewise.net.connect import PATH
from edgewise.net.messages import Stream
from edgewise.node.heads import Heads

SMALL = 64  # bytes; the reply of the stricter echo, about an answer's size


class Case(Struct, frozen=True):
    """A server under load: what the fleet saw, the server's CPU seconds meanwhile, and its memory now and then (s, bytes)."""

    fleet: FleetResult
    cpu: float
    memory: tuple[tuple[float, float], ...]

    @property
    def rate(self) -> float:
        return self.fleet.frames / self.fleet.seconds

    @property
    def cpu_per_frame(self) -> float:
        return self.cpu / max(1, self.fleet.frames)


def streams() -> tuple[Stream, ...]:
    return Heads(standin.bundle()).streams()


def load(server: ServerJob, devices: int, seconds: float, rate: float = 0.0, warm: float = 1.0) -> Case:
    """One server in a fresh process under `devices` light devices; a `rate` above 0 is an open loop."""
    with child("bench.servers", server) as serving:
        port = serving.hear(Listening, 30).port
        it = FleetJob(server.kind, port, PATH, server.folder, streams(), devices, seconds, warm, rate=rate)
        with child("bench.fleet", it) as fleet:
            fleet.hear(dict, 60 + warm)
            cpu = serving.cpu()
            memory = _watch(serving, seconds)
            fleet.hear(dict, 60)
            cpu = serving.cpu() - cpu
            case = Case(fleet.hear(FleetResult, 60), cpu, memory)
    if case.fleet.frames == 0:
        raise LinkError("no frame came back from the server under load", got=case.fleet.sentence or "no reason")
    return case


def _watch(serving: Child, seconds: float) -> tuple[tuple[float, float], ...]:
    start = time.monotonic()
    samples = []
    while (at := time.monotonic() - start) < seconds - 0.5:
        samples.append((at, serving.memory()))
        time.sleep(0.5)
    return tuple(samples)


class Throughput(Struct, frozen=True):
    """Rounds of the servers, and our latencies at half load; `unopened` is ours without looking at a payload."""

    echo: tuple[Case, ...]
    small: tuple[Case, ...]
    ours: tuple[Case, ...]
    unopened: tuple[Case, ...]
    half: Case

    def ratio(self, ours: tuple[Case, ...]) -> list[float]:
        """Frames a second of `ours` over the bare echo's, round by round."""
        return [a.rate / b.rate for a, b in zip(ours, self.echo, strict=False)]

    def own_cpu(self) -> list[float]:
        """Our server's CPU a frame less that of the bare server that answers as briefly, round by round."""
        return [a.cpu_per_frame - b.cpu_per_frame for a, b in zip(self.ours, self.small, strict=True)]


def throughput(folder: Path, devices: int, rounds: int, seconds: float, long: float) -> Throughput:
    """`rounds` × (echo, brief echo, ours) of `seconds` each, then `long` seconds at half of our median rate.

    A single round leaves out the case that no target asks for.
    """
    echo, small, ours, unopened = [], [], [], []
    for _ in range(rounds):
        echo.append(load(ServerJob("echo", str(folder)), devices, seconds))
        small.append(load(ServerJob("echo", str(folder), reply=SMALL), devices, seconds))
        ours.append(load(ServerJob("edge", str(folder)), devices, seconds))
        if rounds > 1:
            unopened.append(load(ServerJob("edge", str(folder), opened=False), devices, seconds))
    half = load(ServerJob("edge", str(folder)), devices, long, rate=median(c.rate for c in ours) / 2)
    return Throughput(tuple(echo), tuple(small), tuple(ours), tuple(unopened), half)


def rows(it: Throughput, devices: int) -> list[Row]:
    at = f"{devices} devices"
    out = []
    cases = (
        ("bare echo", it.echo),
        (f"bare aiohttp, {SMALL} B reply", it.small),
        ("edgewise", it.ours),
        ("edgewise, payload not opened", it.unopened),
    )
    for case, several in cases:
        if not several:
            continue
        rates, cpus = [c.rate for c in several], [c.cpu_per_frame for c in several]
        n = sum(c.fleet.frames for c in several)
        out.append(Row(f"{case}, {at}", "frames a second", median(rates), "1/s", n, min(rates), max(rates)))
        out.append(Row(f"{case}, {at}", "server CPU a frame", median(cpus), "s", n, min(cpus), max(cpus)))
    for case, several in cases[2:]:
        if ratios := it.ratio(several):
            out.append(Row(f"{case} / bare echo", "frames a second", median(ratios), "", len(ratios), min(ratios), max(ratios)))
    half = it.half.fleet
    out.append(Row(f"edgewise, {at}, half load", "latency p50", half.p50, "s", half.frames, half.low, half.high))
    out.append(Row(f"edgewise, {at}, half load", "latency p99", half.p99, "s", half.frames))
    out.append(
        Row(f"edgewise, {at}, half load", "frames refused or unanswered", half.refused + half.unanswered, "frames", half.sent)
    )
    slope, low, high = memory_slope(it.half)
    out.append(Row(f"edgewise, {at}, half load", "memory", max(m for _, m in it.half.memory), "bytes", len(it.half.memory)))
    out.append(Row(f"edgewise, {at}, half load", "memory slope", slope, "B/s", len(it.half.memory), low, high))
    return out


def memory_slope(case: Case) -> tuple[float, float, float]:
    """Least-squares slope of the resident memory (B/s) over the second half, with its 95 % interval."""
    at, size = np.array(case.memory, float).T
    late = at >= at[-1] / 2
    at, size = at[late], size[late]
    if len(at) < 4:
        return 0.0, 0.0, 0.0
    centred = at - at.mean()
    slope = float(centred @ size / (centred @ centred))
    rest = size - size.mean() - slope * centred
    spread = 1.96 * float(np.sqrt(rest @ rest / (len(at) - 2) / (centred @ centred)))
    return slope, slope - spread, slope + spread
