"""`./dev bench delivery`: versions to devices, byte for byte and second for second, and half an hour of five hundred of them.

    swap       an inference while another version is made ready and swapped in
    relapse    a worse version on real devices goes back by itself, and only canaries had it
    crowd      a small delta to 200 real connections
    thousand   the same to 1,000 simulated ones, counted in bytes
    resume     20 MB over 1 Mbit/s that breaks five times
    soak       500 devices, 2 frames/s each: no frame without a fate, memory flat

The unit of bytes is the delta itself, of a transfer the version itself. The link of `resume` is the proxy.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import mean, median

from msgspec import Struct

from bench import relapse, resume, soak, swaps
from bench.crowd import CrowdJob, CrowdResult
from bench.processes import child
from bench.report import Report, Row, Target, at_least, at_most
from bench.thousand import Spread, spread
from bench.yard import version, yard
from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.operating import publish_bundle, start_rollout
from edgewise.net.identity import issue, make_authority

VALUES = 7200  # weights that the small version changes: a delta of 20 KB
RATE, BREAKS = 1e6, 5
PROCESSES = 2
LONG = 1800.0  # s


class Size(Struct, frozen=True, kw_only=True):
    """How much of everything; times in s, `large` in bytes."""

    swaps: int
    real: int
    simulated: int
    large: int
    relapse: int
    soak: float


QUICK = Size(swaps=2, real=40, simulated=50, large=1_000_000, relapse=3, soak=120.0)
FULL = Size(swaps=10, real=200, simulated=1000, large=20_000_000, relapse=5, soak=1800.0)


class Crowded(Struct, frozen=True):
    """Of devices that took the version: seconds since the rollout's start, bytes down; the delta's, and of HTTP's heads."""

    seconds: tuple[float, ...]
    devices: int
    down: tuple[int, ...]
    delta: int
    heads: int
    cpu: float

    @property
    def last(self) -> float:
        return max(self.seconds, default=float("inf"))


def crowded(devices: int) -> Crowded:
    """A 20 KB delta to `devices` on real sockets, in two processes beside the server's."""
    names = tuple(f"cam-{i:03d}" for i in range(devices))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with yard(folder, names) as site:
            new = version(folder / "new", VALUES, 1e-5)
            done = publish_bundle(new, "main", site.keys, site.server, [find("vehicles")], None, None, 30.0, "", False, _quiet)
            jobs = [CrowdJob(str(site.keys), site.port, site.root, names[i::PROCESSES], 2) for i in range(PROCESSES)]
            with child("bench.crowd", jobs[0]) as one, child("bench.crowd", jobs[1]) as two:
                for it in (one, two):
                    it.hear(dict, 120)
                began = time.time()
                start_rollout("main", "100%", "", "0s", "latest", 0, site.keys, site.server)
                results = [it.hear(CrowdResult, 120) for it in (one, two)]
    took = [t for r in results for t in r.took]
    (delta,) = done.shorter.values()
    cpu = sum(r.cpu for r in results)
    heads = round(mean(t.down - t.news for t in took)) - delta if took else 0
    return Crowded(tuple(t.at - began for t in took), devices, tuple(t.down for t in took), delta, heads, cpu)


def _quiet(said: str) -> None:
    """Progress that nobody looks at."""


def run(quick: bool = False) -> Report:
    size = QUICK if quick else FULL
    swapped = swaps.swaps(size.swaps)
    back = relapse.relapse(size.relapse)
    crowd = crowded(size.real)
    with tempfile.TemporaryDirectory() as place:
        new = version(Path(place) / "new", VALUES, 1e-5)
        many = spread(size.simulated, new, crowd.heads)
    resumed = resume.resumed(size.large, RATE, BREAKS)
    with tempfile.TemporaryDirectory() as place:
        make_authority(Path(place))
        issue(Path(place), "edge", "edge")
        soaked = soak.soak(Path(place), size.soak)
    rows = [
        *swaps.rows(swapped),
        *relapse.rows(back),
        *crowd_rows(crowd),
        *spread_rows(many),
        *resume.rows(resumed, RATE),
        *soak.rows(soaked),
    ]
    return Report(rows, targets(rows, swapped, back, crowd, many, resumed, soaked), {"size": str(size)}, "proxy", "onnxruntime")


def crowd_rows(it: Crowded) -> list[Row]:
    case = f"{it.delta:,} B delta to {it.devices} real connections"
    ratios = [down / it.delta for down in it.down]
    return [
        Row(case, "devices that took it", len(it.seconds), "", it.devices),
        Row(case, "time until a device has it, median", median(it.seconds), "s", len(it.seconds), min(it.seconds), it.last),
        Row(case, "time until the last has it", it.last, "s", 1),
        Row(case, "bytes down a device / bytes of the delta", median(ratios), "", len(ratios), min(ratios), max(ratios)),
        Row(case, "CPU of a device", it.cpu / it.devices, "s", it.devices),
    ]


def spread_rows(it: Spread) -> list[Row]:
    case = f"{it.delta:,} B delta to {it.devices} simulated connections"
    ratios = [down / it.delta for down in it.down]
    return [
        Row(case, "devices that took it", it.taken, "", it.devices, provenance="modelled"),
        Row(case, "bytes down a device / bytes of the delta", max(ratios), "", len(ratios), provenance="modelled"),
        Row(case, "bytes of reports up a device", median(it.up), "bytes", len(it.up), min(it.up), max(it.up), "modelled"),
        Row(case, "server CPU a device, sockets left out", it.server / it.devices, "s", it.devices),
    ]


def targets(
    rows: list[Row],
    swapped: swaps.Swaps,
    back: relapse.Relapse,
    crowd: Crowded,
    many: Spread,
    resumed: resume.Resumed,
    soaked: soak.Case,
) -> list[Target]:
    def row(metric: str, case: str = "") -> Row:
        return next(r for r in rows if r.metric == metric and case in r.case)

    lost = soaked.fleet.unanswered + soaked.fleet.lost
    slope = row("server memory an hour, slope of the second half")
    got = f"{len(back.tried)} of {back.nodes} devices ran it, {back.stage} after {back.seconds:.1f} s"
    all_there = many.taken == many.devices and len(crowd.seconds) == crowd.devices
    ratio = max(max(d / many.delta for d in many.down), max(d / crowd.delta for d in crowd.down))
    flat = slope.low is not None and slope.low < soak.MEGABYTE
    return [
        at_most(
            "an inference delayed by a swap", 0.02, row("delay of an inference by a swap, largest"), "see the rows of the swap"
        ),
        Target("a worse version", "reverted by itself within the window, on canaries alone", got, back.good, back.sentence),
        Target(
            f"20 KB delta to {many.devices} simulated and {crowd.devices} real devices",
            "all have it",
            f"{many.taken} and {len(crowd.seconds)}",
            all_there,
            "" if all_there else "see the rows of the crowd",
        ),
        Target("bytes down for it", "<= 1.1 × the delta", f"{ratio:.3f} ×", ratio <= 1.1, "" if ratio <= 1.1 else "see its rows"),
        at_most(
            f"the last of {crowd.devices} real devices has it",
            3.0,
            row("time until the last has it"),
            "all share two cores with the server",
        ),
        at_most(
            f"{resumed.size / 1e6:.3g} MB over 1 Mbit/s with {resumed.breaks} breaks, bytes",
            1.05,
            row("bytes over the link / bytes of the version"),
            "each break costs some 20 KB that were under way, which weighs on a small version",
        ),
        Target(
            "frames of 500 devices without a fate",
            "0",
            f"{lost} of {soaked.fleet.sent}",
            lost == 0,
            "" if not lost else "see its rows",
        ),
        at_least("their time", LONG, row("time", "500 devices"), "there was no more time for this run"),
        Target(
            "memory of their server",
            "< 1 MB an hour",
            f"{slope.value / 1e6:.2f} MB an hour ({(slope.low or 0) / 1e6:.2f} to {(slope.high or 0) / 1e6:.2f})",
            slope.value < soak.MEGABYTE,
            "" if slope.value < soak.MEGABYTE else ("not told apart from flat in this time" if flat else "it grew"),
        ),
    ]
