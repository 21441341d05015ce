"""`edgewise split report`: each operating point of a bundle on a person's own data, its bytes counted on a socket.

Every sample goes through every point: head and coder as a device has them, a real connection, decoder and tail as a server has
them (`split_wire`). JPEGs at several qualities, of the picture at the size that the model takes, go the same way beside them as
baselines. Quality is judged by the labels that lie beside the data, or else by the answers of the uncut model, which is said.
What it costs on a device and over a link is worked out from what was measured (`split_costs`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.split_costs import RATES, Costs, Timed, price
from edgewise.apps.vision.split_judge import Judge, judge_for
from edgewise.apps.vision.split_outcome import PointRow, SplitReport, against_pictures, by_rate
from edgewise.apps.vision.split_wire import Crossing, Loopback, loopback, with_points
from edgewise.codec.select import codec_for
from edgewise.core.artifact import Manifest
from edgewise.core.device import Device
from edgewise.core.errors import ConfigError, ModelError
from edgewise.core.link import Link
from edgewise.core.placement import OperatingPoint
from edgewise.data.dataset import Dataset, Example, open_dataset
from edgewise.data.preprocess import fit
from edgewise.data.scoring import Scored
from edgewise.net.frame import HEADER_SIZE
from edgewise.plan.between import Between, between
from edgewise.plan.break_even import steady
from edgewise.plan.candidates import Candidate, Machine
from edgewise.plan.machines import machines
from edgewise.plan.region import Scene
from edgewise.profiles.load import load_link
from edgewise.runtime.bundle import Bundle

JPEG = (20, 35, 50, 75, 90)
FITTED = "fitted-jpeg-"  # a JPEG of the picture at the size that the model takes: the report's baselines
CURVE = 0.05  # score from which boxes count where AP is judged: the area needs all of the curve
DRAWS = 300
Heard = Callable[[str, int, int], None]  # what is done, how much of it, of how much


class ReportConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `edgewise split report` was asked for; see its help."""

    bundle: str
    data: str
    limit: int = 200
    link: str = "lte_synthetic"
    device: str = "pi4"
    jpeg: tuple[int, ...] = JPEG
    same: dict[str, str] = {}
    within: float = 0.01
    address: str = ""
    unreadable: int = 20
    threads: int = 1
    seed: int = 0


def report(config: ReportConfig, heard: Heard = lambda what, done, total: None) -> SplitReport:
    """The whole report; InputError where bundle, data, link or device cannot be used."""
    if config.limit < 1:
        raise ConfigError("there is nothing to look at", got=f"--limit {config.limit}", allowed="1 or more")
    bundle = opened(config)
    data = open_dataset(config.data, config.limit, config.seed, config.unreadable)
    link = load_link(config.link)
    here, there, told = _machines(config.device, heard)
    judge = judge_for(bundle, data, config.same, config.threads)
    points = _points(bundle.manifest, config.jpeg)
    served = with_points(find(config.bundle), bundle.manifest, points, CURVE if judge.curve else None)
    examples, crossings = asyncio.run(_cross_all(served, points, data, judge, config.threads, heard))
    scored = judge.score(crossings, [e.entry.block for e in examples])
    costs = _costs(points, crossings, scored, here, there, link, config.within)
    rows = tuple(
        _row(point, bundle.manifest, crossings[point.name], scored[point.name], costs, i) for i, point in enumerate(points)
    )
    plane = _plane(points, crossings, scored, here, there, link, config.within)
    recall, positives = judge.recall(crossings)
    return SplitReport(
        bundle=bundle.manifest.name,
        address=bundle.address,
        task=bundle.manifest.task,
        data=str(data.pack.path.name),
        data_kind=data.kind,
        metric=scored[points[0].name].metric,
        quality_of=judge.of,
        n=len(examples),
        points=rows,
        uncut=judge.uncut([e.entry.block for e in examples]),
        frame_bytes_source="socket",
        secure=True,
        device=here.device.name,
        edge=there.device.name,
        link=link.name,
        link_rate=steady(link).rate_up,
        rates=RATES,
        break_even=costs.break_even,
        fastest=costs.fastest,
        fastest_at_quality=costs.at_quality,
        within=config.within,
        between=plane,
        filter_recall=recall,
        filter_n=positives,
        unreadable=data.unreadable,
        sentences=_sentences(rows, costs, plane, judge, config),
        notes=(*data.told, *judge.told, *told, *_notes(rows, here, link)),
    )


def opened(config: ReportConfig) -> Bundle:
    """The bundle, its files held against their hashes and its tables read; ModelError where anything is not as it should be."""
    bundle = Bundle.open(find(config.bundle))
    if config.address and not bundle.address.startswith(config.address.lower()):
        raise ModelError(
            f"the bundle {bundle.manifest.name} is not the one that was asked for",
            got=bundle.address,
            allowed=f"an address that begins {config.address}",
            hint="A table, a threshold or a model in it was changed, or it is another version.",
        )
    for point in bundle.manifest.points:
        if point.mode in ("split", "image"):
            codec_for(point, bundle.manifest)
    return bundle


def _machines(device: str, heard: Heard) -> tuple[Machine, Machine, tuple[str, ...]]:
    if device == "this":
        this = Device("this", "this machine", kind="host")
        machine = Machine(this, lambda graph: None, 1.0)
        return machine, machine, ("Seconds are those of this machine, as measured; its watts are unknown, and so are joules.",)
    here, there, told = machines(
        device, "this", progress=lambda done, text: heard("calibrating this machine", round(100 * done), 100)
    )
    return here, there, told


def _points(manifest: Manifest, jpeg: Sequence[int]) -> tuple[OperatingPoint, ...]:
    """The bundle's own points, without drops, and the JPEGs beside them where it takes pictures."""
    own = tuple(p for p in manifest.points if p.mode != "drop")
    if not own:
        raise ModelError(f"the bundle {manifest.name} has no operating point", allowed="one or more")
    eye = "full" if "full" in manifest.pictures else manifest.first
    if eye not in manifest.pictures:
        return own
    held = {p.name for p in own}
    added = (OperatingPoint(f"{FITTED}{q}", "image", "jpeg", q) for q in jpeg)
    return (*own, *(p for p in added if p.name not in held))


async def _cross_all(
    bundle: Bundle, points: Sequence[OperatingPoint], data: Dataset, judge: Judge, threads: int, heard: Heard
) -> tuple[list[Example], dict[str, list[Crossing]]]:
    """Every sample through every point, one frame at a time, so that seconds are of one frame alone."""
    crossings: dict[str, list[Crossing]] = {p.name: [] for p in points}
    seen: list[Example] = []
    async with loopback(bundle, threads) as wire:
        for done, example in enumerate(data):
            judge.see(example)
            for point in points:
                crossings[point.name].append(await _cross(wire, example, point, bundle.manifest))
            seen.append(replace(example, values=np.zeros(0), mask=None))
            heard("frames over the socket", done + 1, len(data.entries))
    return seen, crossings


async def _cross(wire: Loopback, example: Example, point: OperatingPoint, manifest: Manifest) -> Crossing:
    """Baselines are pictures of the size that the model takes: larger ones would only cost more."""
    values = example.values
    if point.name.startswith(FITTED):
        eye = "full" if "full" in manifest.pictures else manifest.first
        look = manifest.pictures[eye]
        values = fit(values, look)[0] if values.shape[:2] != (look.height, look.width) else values
    return await wire.cross(values, point)


def _costs(
    points: Sequence[OperatingPoint],
    crossings: dict[str, list[Crossing]],
    scored: dict[str, Scored],
    here: Machine,
    there: Machine,
    link: Link,
    within: float,
) -> Costs:
    ways = [_timed(p, crossings[p.name], scored[p.name]) for p in points]
    return price(ways, here.device, here.slowness, there.device, link, within)


def _timed(point: OperatingPoint, found: Sequence[Crossing], scored: Scored) -> Timed:
    return Timed(
        point.name,
        point.mode,
        median(sum(c.device.values()) for c in found),
        median([c.edge for c in found if not c.dropped] or [0.0]),
        float(np.mean([c.wire for c in found])),
        float(np.mean([c.down for c in found])),
        scored.value,
    )


def _plane(
    points: Sequence[OperatingPoint],
    crossings: dict[str, list[Crossing]],
    scored: dict[str, Scored],
    here: Machine,
    there: Machine,
    link: Link,
    within: float,
) -> Between | None:
    """The region where split wins, from these figures; None where the device's seconds are unknown."""
    if here.slowness is None:
        return None
    from edgewise.apps.vision.split_costs import placement

    ways = [_timed(p, crossings[p.name], scored[p.name]) for p in points]
    candidates = [Candidate(placement(w, here.slowness), w.kind, w.name, w.quality) for w in ways]  # type: ignore[arg-type]
    floor = max(w.quality for w in ways if w.kind == "split") - within if any(w.kind == "split" for w in ways) else None
    return between(candidates, Scene({"device": here.device, "edge": there.device}, link), floor)


def _row(point: OperatingPoint, manifest: Manifest, found: Sequence[Crossing], scored: Scored, costs: Costs, i: int) -> PointRow:
    wire = np.array([c.wire for c in found], float)
    generator = np.random.default_rng(0)
    means = wire[generator.integers(0, len(wire), (DRAWS, len(wire)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    steps: dict[str, list[float]] = {}
    for crossing in found:
        for name, seconds in crossing.device.items():
            steps.setdefault(name, []).append(seconds)
    priced = costs.priced[i]
    return PointRow(
        name=point.name,
        mode=point.mode,
        codec=point.codec,
        level=point.level,
        baseline=all(p.name != point.name for p in manifest.points),
        bytes_mean=round(float(wire.mean()), 2),
        bytes_low=round(float(low), 2),
        bytes_high=round(float(high), 2),
        bytes_p95=float(np.quantile(wire, 0.95)),
        payload=float(np.mean([c.payload for c in found])),
        header=float(np.mean([HEADER_SIZE if c.wire else 0 for c in found])),
        websocket=float(np.mean([c.websocket for c in found])),
        tls=float(np.mean([c.tls for c in found])),
        quality=round(scored.value, 6),
        quality_low=round(scored.low, 6),
        quality_high=round(scored.high, 6),
        n=scored.n,
        more=scored.more,
        dropped=sum(c.dropped for c in found),
        device_seconds=median(sum(c.device.values()) for c in found),
        edge_seconds=median([c.edge for c in found if not c.dropped] or [0.0]),
        steps={name: median(seconds) for name, seconds in steps.items()},
        latency=priced.latency,
        latency_p95=priced.latency_p95,
        energy=priced.energy,
        curve=priced.curve,
    )


def _sentences(
    rows: Sequence[PointRow], costs: Costs, plane: Between | None, judge: Judge, config: ReportConfig
) -> tuple[str, ...]:
    said = [judge.sentence, *against_pictures(rows)]
    if costs.fastest:
        said.append(f"Fastest, whatever its quality: {'; '.join(by_rate(costs.fastest))}.")
        said.append(f"Fastest within {config.within:g} of the best quality: {'; '.join(by_rate(costs.at_quality))}.")
    if plane is not None:
        said.append(str(plane))
    return tuple(said)


def _notes(rows: Sequence[PointRow], here: Machine, link: Link) -> tuple[str, ...]:
    known = here.slowness is not None
    radio = f" and the radio {link.radio}" if link.radio else ""
    notes = [
        "Bytes were counted on a TCP socket on loopback with TLS 1.3: payload, 24 bytes of frame header, WebSocket framing and "
        "TLS records, each in a column of the JSON. The tail had nothing but what it decoded from them.",
        f"Latency: device seconds measured here, times {here.slowness:.3g} for {here.device.title}; edge seconds as measured "
        f"here; over the trace of {link.name}."
        if known
        else f"Latency is unknown: nothing is known of how much slower {here.device.title} is.",
        f"Energy is modelled from the watts of {here.device.title}{radio}."
        if known and here.device.active is not None
        else f"Energy is unknown: {here.device.title} has no known watts.",
    ]
    if any(r.baseline for r in rows):
        notes.append(
            "Points `fitted-jpeg-Q` are baselines of this report: the picture, scaled to what the model takes first, as a JPEG."
        )
    return tuple(notes)
