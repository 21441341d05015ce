"""The step link once for real: `edgewise serve` and `edgewise run` as processes, TLS, and a proxy that shapes the uplink.

The same worth of a frame as in `bench.adaptive`, but measured: real inference, real sockets, a real clock. Each mode has a run
of its own, one after the other, on the same link from its start.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from pathlib import Path

import msgspec

from bench.adaptive import DEADLINE, LEFT_OUT, Phase
from bench.report import Row, Target
from edgewise.apps.vision import children
from edgewise.apps.vision.keys import init, issue_node
from edgewise.core.answer import FrameRecord
from edgewise.core.link import Link, Trace
from edgewise.net.links.proxy import start

RATE = 10.0
STEPS = (("20 Mbit/s", 20e6), ("0.3 Mbit/s", 0.3e6), ("5 Mbit/s", 5e6))
ADAPTIVE = "adaptive"


def step(seconds: float) -> tuple[Link, tuple[Phase, ...]]:
    """A link whose uplink falls from 20 to 0.3 and rises to 5 Mbit/s, `seconds` each; 20 ms one way."""
    times = tuple(i * seconds for i in range(len(STEPS)))
    trace = Trace(times, tuple(rate for _, rate in STEPS), len(STEPS) * seconds)
    phases = tuple(Phase(name, at, at + seconds) for (name, _), at in zip(STEPS, times, strict=True))
    return Link("step", trace_up=trace, rate_down=20e6, delay=0.02), phases


async def measure(modes: tuple[str, ...], quality: dict[str, float], seconds: float) -> tuple[list[Row], list[Target]]:
    """The utility of each mode in each phase of `seconds`; `modes` are operating points, or adaptive."""
    worth: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="edgewise-live-") as name:
        folder = Path(name)
        init(folder / "keys")
        issue_node(folder / "keys", "camera")
        words = ["serve", "vehicles", "--keys", str(folder / "keys"), "--host", "127.0.0.1", "--port", "0", "--headless"]
        server = await children.start([*words, "--announce", str(folder / "ready")], folder / "server.log")
        try:
            port = (await server.announced(folder / "ready", 60.0))["port"]
            for mode in modes:
                worth[mode] = await _mode(folder, port, mode, quality, seconds)
        finally:
            await server.end(signal.SIGTERM)
    rows = [
        Row(f"step through the proxy, {phase}", f"utility, {mode}", sum(v) / len(v), "", len(v))
        for mode, phases in worth.items()
        for phase, v in phases.items()
        if v
    ]
    return rows, _targets(worth)


def _targets(worth: dict[str, dict[str, list[float]]]) -> list[Target]:
    fixed = {m: p for m, p in worth.items() if m != ADAPTIVE}
    if not fixed:
        return []
    ratios = {}
    for phase, values in worth[ADAPTIVE].items():
        best = max(sum(p[phase]) / len(p[phase]) for p in fixed.values() if p[phase])
        ratios[phase] = sum(values) / len(values) / best if best > 0 else 1.0
    got = ", ".join(f"{r:.3f} at {phase}" for phase, r in ratios.items())
    short = ", ".join(f"{r:.3f} at {phase}" for phase, r in ratios.items() if r < 0.95)
    name = "adaptive against the best fixed mode, through the proxy (one run a mode)"
    return [Target(name, "≥ 0.95 in every phase", got, not short, f"missed: {short}" if short else "")]


async def _mode(folder: Path, port: int, mode: str, quality: dict[str, float], seconds: float) -> dict[str, list[float]]:
    link, phases = step(seconds)
    records = folder / f"{mode}.jsonl"
    fast = msgspec.structs.replace(link, trace_up=None, rate_up=20e6)
    proxy = await start(("127.0.0.1", 0), ("127.0.0.1", port), fast)
    words = [
        "run",
        "--source",
        "junction:3",
        "--rate",
        f"{RATE:g}",
        "--deadline",
        f"{DEADLINE:g}",
        "--server",
        f"127.0.0.1:{proxy.port}",
    ]
    words += [
        "--keys",
        str(folder / "keys/devices/camera"),
        "--seconds",
        f"{3 * seconds + 3:g}",
        "--records",
        str(records),
        "--quiet",
    ]
    words += ["--report", f"https://127.0.0.1:{port}", "--link-kind", "proxy"]
    words += ["--announce", str(folder / f"{mode}.ready")]
    words += [] if mode == ADAPTIVE else ["--only", mode]
    try:
        device = await children.start(words, folder / f"{mode}.log")
        await device.announced(folder / f"{mode}.ready", 60.0)
        await asyncio.sleep(1.0)  # it has joined over a fast link: now the link's story begins
        proxy.set_link(link)
        began = time.monotonic()
        await asyncio.wait_for(device.process.wait(), 3 * seconds + 60)
    finally:
        await proxy.close()
    worth: dict[str, list[float]] = {phase.name: [] for phase in phases}
    for line in records.read_bytes().splitlines():
        record = msgspec.json.decode(line, type=FrameRecord)
        for phase in phases:
            if phase.begins + LEFT_OUT / RATE <= record.captured - began < phase.ends:
                good = record.outcome == "answered" and not record.late
                worth[phase.name].append(quality[record.point] if good else 0.0)
    return worth
