"""`./dev bench wire`: what our code costs a frame of 20 KB, on the device and on the server, apart from the model.

Four questions, each with a bare aiohttp WebSocket over the same TLS as its unit in the same run:

    load       200 connected devices: frames a second beside a bare echo, latency at half load, memory over time
    device     processor time a frame of a real agent, less that of a bare client
    footprint  bytes installed, memory, seconds to the first answer
    restart    the server is killed under load and comes back

The model is free: head, tail and local part hand out prepared tensors (`bench.standin`). Everything around them counts, also what
turns a tail's maps into boxes. Processes share the machine's cores, so the fleet's own work takes from the server's.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from msgspec import Struct

from bench import footprint, restart
from bench.agents import AgentsJob, AgentsResult
from bench.echo import EchoJob, EchoResult
from bench.load import SMALL, Throughput, memory_slope, throughput
from bench.load import rows as load_rows
from bench.processes import child
from bench.report import Report, Row, Target, at_least, at_most, left_out, readable
from bench.servers import EDGE, Listening, ServerJob
from bench.standin import payloads
from bench.units import units
from edgewise.net.identity import issue, make_authority

RATE = 30.0  # frames a second of one device
AGENTS = tuple(f"camera{i}" for i in range(20))
LINK = "loopback TCP, TLS 1.3"
ENGINE = "none: prepared tensors (the footprint alone runs the shipped bundle in onnxruntime)"

FLAT, FLAT_WANT = "server memory at half load", "flat: no growth, or at most 1 MB"


class Size(Struct, frozen=True, kw_only=True):
    """How much of everything. Times in s."""

    devices: int = 200
    rounds: int
    closed: float
    half: float
    device: float
    starts: int
    agent_frames: int
    agents: int
    before: float
    after: float


QUICK = Size(rounds=1, closed=1.0, half=2.0, device=2.0, starts=1, agent_frames=10, agents=4, before=1.0, after=1.0)
FULL = Size(rounds=5, closed=6.0, half=120.0, device=20.0, starts=5, agent_frames=300, agents=20, before=6.0, after=6.0)


class DeviceCost(Struct, frozen=True):
    """CPU seconds a frame: a real agent, and a bare client at the same rate; rounds in turn."""

    agent: tuple[float, ...]
    bare: tuple[float, ...]
    frames: int

    @property
    def own(self) -> list[float]:
        return [a - b for a, b in zip(self.agent, self.bare, strict=True)]


def run(quick: bool) -> Report:
    size = QUICK if quick else FULL
    rows: list[Row] = units(0.5 if quick else 3.0)
    with tempfile.TemporaryDirectory(prefix="edgewise-wire-") as place:
        folder = Path(place)
        make_authority(folder)
        issue(folder, EDGE, "edge")
        for node in AGENTS:
            issue(folder, node, "device")
        loaded = throughput(folder, size.devices, size.rounds, size.closed, size.half)
        device = device_cost(folder, size)
        came_back = restart.restart(folder, AGENTS[: size.agents], 10.0, size.before, size.after)
        installed = None if quick else footprint.install(folder)
        alone, joined = starts(folder, installed, size)
    rows += load_rows(loaded, size.devices)
    rows += device_rows(device)
    rows += restart.rows(came_back)
    rows += footprint.rows(installed, alone, joined)
    config = {
        "payload_bytes": round(median(len(p) for p in payloads())),
        "devices": size.devices,
        "rounds": size.rounds,
        "seconds_a_round": size.closed,
        "seconds_at_half_load": size.half,
        "device_rate": RATE,
        "tail": "a no-op: prepared maps; decoding, batching and the choice of boxes are real",
        "brief_echo_reply_bytes": SMALL,
    }
    targets = [
        *cost_targets(loaded, device),
        *load_targets(loaded, quick),
        *footprint_targets(installed, alone, joined),
        *restart_targets(came_back),
    ]
    return Report(rows, targets, config, LINK, ENGINE)


def device_cost(folder: Path, size: Size) -> DeviceCost:
    """A real agent at RATE against our server, and a bare client against a bare server, in turn."""
    agent, bare, frames = [], [], 0
    for _ in range(size.rounds):
        with child("bench.servers", ServerJob("edge", str(folder))) as serving:
            it = AgentsJob(serving.hear(Listening, 30).port, str(folder), AGENTS[:1], RATE, size.device)
            with child("bench.agents", it) as one:
                for _ in range(2):
                    one.hear(dict, size.device + 60)
                result = one.hear(AgentsResult, 60)
        agent.append(result.cpu / max(1, result.frames))
        frames += result.frames
        with child("bench.servers", ServerJob("echo", str(folder), reply=SMALL)) as serving:
            plain = EchoJob(serving.hear(Listening, 30).port, str(folder), AGENTS[0], RATE, size.device)
            with child("bench.echo", plain) as one:
                echoed = one.hear(EchoResult, size.device + 60)
        bare.append(echoed.cpu / max(1, echoed.frames))
    return DeviceCost(tuple(agent), tuple(bare), frames)


def device_rows(it: DeviceCost) -> list[Row]:
    at = f"{RATE:g} frames a second"
    return [
        Row(f"bare aiohttp client, {at}", "CPU a frame", median(it.bare), "s", it.frames, min(it.bare), max(it.bare)),
        Row(f"device agent, {at}", "CPU a frame", median(it.agent), "s", it.frames, min(it.agent), max(it.agent)),
        Row(f"device agent, {at}", "CPU a frame without link", median(it.own), "s", it.frames, min(it.own), max(it.own)),
    ]


def starts(folder: Path, installed: footprint.Installed | None, size: Size) -> tuple[list[footprint.Start], footprint.Start]:
    """Fresh agents alone, and one on a server for a while; from the device's own environment where there is one."""
    python = installed.python if installed is not None else sys.executable
    source = footprint.pictures(folder / "pictures")
    alone = [footprint.start(python, folder, source, None, 5) for _ in range(size.starts)]
    with footprint.serving(sys.executable, folder) as server:
        return alone, footprint.start(python, folder, source, server, size.agent_frames)


def cost_targets(loaded: Throughput, device: DeviceCost) -> list[Target]:
    own = device_rows(device)[-1]
    spent = loaded.own_cpu()
    server = Row("server", "CPU a frame without link", median(spent), "s", low=min(spent), high=max(spent))
    return [
        at_most("our code on the device, CPU a frame, model and link apart", 1.5e-3, own, "see the rows of the device agent"),
        at_most("our code on the server, CPU a frame, model and link apart", 0.5e-3, server, "see the rows of 200 devices"),
    ]


def load_targets(it: Throughput, quick: bool) -> list[Target]:
    """Frames a second beside the echo, p99 at half load, flat memory."""
    ratios = it.ratio(it.ours)
    ratio = Row("edgewise / bare echo", "frames a second", median(ratios), "", len(ratios), min(ratios), max(ratios))
    cost = median(c.cpu_per_frame for c in it.ours) / median(c.cpu_per_frame for c in it.echo)
    slow = (
        f"our server spends {cost:.1f} times the processor time of the bare echo on a frame: besides the socket it inflates and "
        "dequantises 21,600 features, forms batches and chooses boxes from a tail's maps. The row of payloads not opened has "
        "what the wire alone takes."
    )
    half = it.half.fleet
    p99 = Row("half load", "p99", half.p99, "s", half.frames)
    wait = (
        f"the load is {readable(half.frames / half.seconds, '1/s')}; the fleet that makes it takes its share of the same cores."
    )
    return [
        at_least("frames a second with 200 connected devices, of the bare echo's", 0.4, ratio, slow),
        at_most("p99 of a frame at half load", 0.010, p99, wait),
        left_out(FLAT, FLAT_WANT, "a quick run is too short") if quick else flat_target(it),
    ]


def flat_target(it: Throughput) -> Target:
    slope, low, _ = memory_slope(it.half)
    seconds = it.half.memory[-1][0] / 2
    grown = max(0.0, slope) * seconds
    flat = grown <= 1e6 or low <= 0
    got = f"{readable(grown, 'bytes')} over the last {seconds:.0f} s, {round(it.half.rate * seconds):,} frames"
    return Target(FLAT, FLAT_WANT, got, flat, "" if flat else "it grows; see the row of its slope")


def footprint_targets(
    installed: footprint.Installed | None, alone: Sequence[footprint.Start], joined: footprint.Start
) -> list[Target]:
    memory = Row("agent", "largest memory", max([joined.memory, *(s.memory for s in alone)]), "bytes")
    first = Row("agent", "first answer", max(s.first for s in alone), "s", len(alone))
    size = "device install"
    return [
        at_most("agent's resident memory with the shipped bundle", 140e6, memory, "see the rows of the agent"),
        at_most("first answer of a fresh agent, slowest of all", 2.0, first, "see the rows of the fresh agent"),
        left_out(size, "<= 250 MB", "a quick run installs nothing")
        if installed is None
        else at_most(size, 250e6, Row(size, "size", installed.size, "bytes"), f"the heaviest are {installed.heaviest}"),
    ]


def restart_targets(it: restart.Restart) -> list[Target]:
    slowest = max(it.reconnects, default=float("inf"))
    back = it.missing == 0 and slowest <= 1.0
    got = f"{readable(slowest, 's')} at most" if it.missing == 0 else f"{it.missing} did not come back"
    answers = it.alone > 0 and it.alone >= 0.9 * it.in_gap
    return [
        Target(
            "reconnect after a killed server listens again", "<= 1 s", got, back, "" if back else "see the rows of the restart"
        ),
        Target(
            "frames of the gap answered by the devices themselves",
            "most",
            f"{it.alone} of {it.in_gap}",
            answers,
            "" if answers else "the rest was under way when the server died, or superseded",
        ),
        Target(
            "frames unaccounted for",
            "0",
            f"{it.unaccounted} of {it.sent}",
            it.unaccounted == 0,
            "" if it.unaccounted == 0 else "the ledgers do not add up",
        ),
    ]
