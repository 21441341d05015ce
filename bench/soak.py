"""Half an hour of 500 devices: no frame without a fate, and a server whose memory stays where it is.

The devices are light (`bench.fleet`), each with its own certificate; the server is ours with its store on a disk: every row of
the ledger is committed and acknowledged. The model is free (`bench.standin`), so that what grows is ours.
"""

from __future__ import annotations

from pathlib import Path

from bench.load import Case, load, memory_slope
from bench.report import Row
from bench.servers import ServerJob

DEVICES, RATE = 500, 2.0
HOUR, MEGABYTE = 3600.0, 1e6


def soak(folder: Path, seconds: float) -> Case:
    """`folder` holds the keys and takes the server's store."""
    job = ServerJob("edge", str(folder), state=str(folder / "state"))
    return load(job, DEVICES, seconds, rate=DEVICES * RATE, warm=min(60.0, seconds / 4))


def rows(it: Case) -> list[Row]:
    case, fleet = f"{DEVICES} devices, {RATE:g} frames/s each, {it.fleet.seconds / 60:.3g} min", it.fleet
    slope, low, high = (s * HOUR for s in memory_slope(it))
    return [
        Row(case, "time", fleet.seconds, "s", 1),
        Row(case, "frames", fleet.sent, "frames", 1),
        Row(case, "frames without a fate", fleet.unanswered + fleet.lost, "frames", fleet.sent),
        Row(case, "frames refused", fleet.refused, "frames", fleet.sent),
        Row(case, "latency p50", fleet.p50, "s", fleet.frames, fleet.low, fleet.high),
        Row(case, "server memory", max(m for _, m in it.memory), "bytes", len(it.memory)),
        Row(case, "server memory an hour, slope of the second half", slope, "bytes", len(it.memory), low, high),
    ]
