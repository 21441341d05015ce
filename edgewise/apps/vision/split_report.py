"""`edgewise split report`: each operating point of a bundle on a person's own data, its bytes counted on a socket.

Every sample goes through every point: head and coder as a device has them, a real connection, decoder and tail as a server has
them (`split_wire`). JPEGs at several qualities, of the picture at the size that the model takes, go the same way beside them as
baselines. Quality is judged by the labels that lie beside the data, or else by the answers of the uncut model, which is said.
What it costs on a device and over a link is worked out from what was measured (`split_costs`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.split_costs import RATES, Costs, placement, price
from edgewise.apps.vision.split_judge import Judge, judge_for
from edgewise.apps.vision.split_outcome import PointRow, SplitReport, against_pictures, by_rate
from edgewise.apps.vision.split_rows import notes, row, timed
from edgewise.apps.vision.split_wire import Crossing, Loopback, loopback, with_points
from edgewise.codec.select import codec_for
from edgewise.core.artifact import Manifest, PartName
from edgewise.core.device import Device
from edgewise.core.errors import ConfigError, InputError, ModelError, SourceError
from edgewise.core.link import Link
from edgewise.core.placement import REMOTE, OperatingPoint
from edgewise.data.dataset import Dataset, Example, open_dataset
from edgewise.data.preprocess import fit
from edgewise.data.scoring import Scored
from edgewise.plan.between import Between, between, floor
from edgewise.plan.break_even import steady
from edgewise.plan.candidates import Candidate, Machine
from edgewise.plan.machines import machines
from edgewise.plan.region import Scene
from edgewise.profiles.load import load_link
from edgewise.runtime.bundle import Bundle

JPEG = (20, 35, 50, 75, 90)
FITTED = "small-jpeg-"  # a JPEG of the picture at the size that the model takes: the report's baselines
UNCUT = OperatingPoint("uncut-on-device", "local")  # what computing on the device would take, where a bundle has no local part
CURVE = 0.05  # score from which boxes count where AP is judged: the area needs all of the curve
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
    if "local" not in bundle.manifest.parts:
        points, crossings = (*points, UNCUT), crossings | {UNCUT.name: judge.whole}
    scored = judge.score(crossings, [e.entry.block for e in examples])
    costs = _costs(points, crossings, scored, here, there, link, config.within)
    own = {p.name for p in bundle.manifest.points}
    rows = tuple(row(p, crossings[p.name], scored[p.name], priced, p.name not in own) for p, priced in zip(points, costs.priced))
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
        notes=(*data.told, *judge.told, *told, *notes(rows, here, link)),
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
        if point.mode in REMOTE:
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
    if _eye(manifest) not in manifest.pictures:
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
            try:
                judge.see(example)
            except InputError as error:  # an array of another shape than the model takes
                data.leave_out(example.entry.name, error)
                continue
            for point in points:
                crossings[point.name].append(await _cross(wire, example, point, bundle.manifest))
            seen.append(replace(example, values=np.zeros(0), mask=None))
            heard("frames over the socket", done + 1, len(data.entries))
    if not seen:
        raise SourceError("the model takes no sample of the data", got=next(iter(data.unreadable.values())))
    return seen, crossings


async def _cross(wire: Loopback, example: Example, point: OperatingPoint, manifest: Manifest) -> Crossing:
    """Baselines are pictures of the size that the model takes: larger ones would only cost more."""
    values = example.values
    if point.name.startswith(FITTED):
        look = manifest.pictures[_eye(manifest)]
        values = fit(values, look)[0] if values.shape[0] * values.shape[1] > look.height * look.width else values
    return await wire.cross(values, point)


def _eye(manifest: Manifest) -> PartName:
    """The part that looks at pictures which are sent whole."""
    return "full" if "full" in manifest.parts else manifest.first if "head" in manifest.parts else "local"


def _costs(
    points: Sequence[OperatingPoint],
    crossings: dict[str, list[Crossing]],
    scored: dict[str, Scored],
    here: Machine,
    there: Machine,
    link: Link,
    within: float,
) -> Costs:
    ways = [timed(p, crossings[p.name], scored[p.name]) for p in points]
    return price(ways, here.device, here.slowness, there.device, link, within)


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
    ways = [timed(p, crossings[p.name], scored[p.name]) for p in points]
    candidates = [
        Candidate(placement(w, here.slowness), "split" if w.kind == "exit" else w.kind, w.name, w.quality) for w in ways
    ]
    return between(candidates, Scene({"device": here.device, "edge": there.device}, link), floor(candidates, within))


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
