"""What `edgewise plan` tells: every way to answer with its cost, the one to take, why not the others, and where that changes.

`plan_model` composes the room: profiles become machines with an estimator, the model becomes candidates, `evaluate` prices each
of them over the whole trace of the link, `choose` takes one under the budget, `break_even` and `region` say at which link rates
and device speeds another would be taken. All figures are modelled unless they say otherwise, and `notes` names the sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from msgspec import Struct

from edgewise.core.artifact import MANIFEST
from edgewise.core.cost import Budget, Site
from edgewise.core.device import Device
from edgewise.core.link import Link, Load
from edgewise.core.power import HUANG, RADIOS
from edgewise.plan.between import Between, between, floor
from edgewise.plan.break_even import BreakEven, Line, Stretch, break_even, fastest, line, spoken, steady
from edgewise.plan.candidates import ANSWER, WHOLE, Candidate, Machine, of_bundle, of_model, uncut_here
from edgewise.plan.choose import Objective, Option, Rejection, choose
from edgewise.plan.evaluate import evaluate
from edgewise.plan.horizon import over, starts
from edgewise.plan.machines import Progress, machines
from edgewise.plan.map import draw_map as draw_map
from edgewise.plan.region import Region, Scene, region
from edgewise.plan.show import show_plan as show_plan
from edgewise.profiles.load import load_link


class Row(Struct, frozen=True, forbid_unknown_fields=True):
    """One way to answer, in seconds, bytes and joules; None is unknown.

    `latency` is the median over the link's trace, `latency_p95` the bound that can be promised. `exact` says that it gives the
    very answers of the whole model, whatever their quality.
    """

    name: str
    kind: str
    fits: bool
    latency: float | None
    latency_p95: float | None
    miss_rate: float | None
    device_time: float | None
    edge_time: float | None
    bytes_up: float
    bytes_down: float
    device_energy: float | None
    edge_energy: float | None
    memory: float | None
    quality: float | None
    exact: bool
    provenance: str
    note: str = ""


class PlanReport(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole plan; `fastest` tells the uplink rates (bit/s) at which each way is the fastest (endless is null in JSON).

    `between` says, of a bundle, where split wins over local and picture by latency: at any quality, then at that of its best
    split.
    """

    model: str
    device: str
    edge: str
    link: str
    link_rate: float
    budget: str
    objective: Objective
    rate: float
    placements: tuple[Row, ...]
    chosen: str | None
    why: str
    rejected: tuple[Rejection, ...]
    break_even: tuple[BreakEven, ...]
    fastest: tuple[Stretch, ...]
    map: Region
    notes: tuple[str, ...]
    between: tuple[Between, ...] = ()


def plan_model(
    model: str | Path,
    device: str | Path = "pi4",
    edge: str | Path = "this",
    link: str | Path | Link = "lte_synthetic",
    budget: str | Budget = "",
    objective: Objective | None = None,
    rate: float = 1.0,
    deadline: float | None = None,
    load: Load = Load(),
    host: Device | None = None,
    answer_bytes: float = ANSWER,
    progress: Progress | None = None,
) -> PlanReport:
    """Plan an ONNX file, or a bundle's folder with its operating points.

    `rate` is items a second (for bounds over a second or a day); `deadline` (s) is what `miss_rate` is counted against, that of
    the budget's latency unless it is given. Without an `objective` the best quality is taken where it is known for all, else the
    least latency. `host` is this machine's profile, for those that are scaled from it.
    """
    bounds = Budget.parse(budget) if isinstance(budget, str) else budget
    over_link = load_link(link) if not isinstance(link, Link) else link
    here, there, notes = machines(device, edge, host, progress)
    candidates, beside, name, told = _candidates(Path(model), here, there, answer_bytes)
    sites: dict[Site, Device] = {"device": here.device, "edge": there.device}
    if deadline is None:
        deadline = min((b.limit for b in bounds.bounds if b.metric == "latency"), default=None)
    aim = objective or ("quality" if all(c.quality is not None for c in candidates) else "latency")

    scene = Scene(sites, over_link, bounds, aim, load, rate, deadline)
    moments = starts(over_link)
    options = [_option(c, sites, over_link, load, moments, deadline) for c in candidates]
    choice = choose(options, bounds, aim, rate)
    lines = [x for c in candidates if c.kind != "drop" and (x := line(c.placement, over_link, load)) is not None]
    stretches = fastest(lines)
    return PlanReport(
        model=name,
        device=here.device.name,
        edge=there.device.name,
        link=over_link.name,
        link_rate=steady(over_link).rate_up,
        budget=", ".join(str(b) for b in bounds.bounds),
        objective=aim,
        rate=rate,
        placements=tuple(_row(c, o, bounds.admits(o.cost, o.quality, rate, o.miss_rate)) for c, o in zip(candidates, options)),
        chosen=choice.chosen,
        why=choice.why,
        rejected=choice.rejected,
        break_even=_break_even(lines, candidates, stretches, choice.chosen),
        fastest=stretches,
        map=region(candidates, scene),
        notes=(*notes, *told, *_link_notes(over_link, len(moments)), *_energy_notes(sites, over_link)),
        between=_between((*candidates, *beside), scene),
    )


def _between(candidates: Sequence[Candidate], scene: Scene) -> tuple[Between, ...]:
    """Of a bundle, which has quality to compare by: where split wins, whatever its quality and at a quality worth having."""
    if not any(c.kind == "split" and c.quality is not None for c in candidates):
        return ()
    asked = next((b.limit for b in scene.budget.bounds if b.metric == "quality"), None)
    return between(candidates, scene), between(candidates, scene, floor(candidates) if asked is None else asked)


def _candidates(
    path: Path, here: Machine, there: Machine, answer_bytes: float
) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...], str, list[str]]:
    """The ways to answer, those that are only compared with, the name, and sentences."""
    from edgewise.graph.count import graph_of
    from edgewise.graph.cut import cuts
    from edgewise.graph.load import load

    if (path / MANIFEST).is_file():
        from edgewise.runtime.bundle import Bundle

        bundle = Bundle.open(path)
        graphs = {name: graph_of(load(path / part.file)) for name, part in bundle.manifest.parts.items()}
        told = [
            f"Bytes and qualities are those in the manifest of {bundle.manifest.name}; times are estimated for these machines."
        ]
        uncut = uncut_here(bundle.manifest, graphs, here)
        if uncut is not None:
            told.append("The bundle has no local part: where split wins is told against the uncut model on the device.")
        beside = () if uncut is None else (uncut,)
        return of_bundle(bundle.manifest, graphs, here, there), beside, bundle.manifest.name, told
    graph = graph_of(load(path))
    found = of_model(graph, cuts(graph), here, there, answer_bytes)
    raw = graph.bytes(graph.outputs)
    told = ["Bytes of a JPEG are those of a median photograph; float32 and uint8 tensors are counted raw, without a coder."]
    if raw > answer_bytes:
        told.append(f"Answers are taken to be decoded on the edge: {answer_bytes:,.0f} bytes of {raw:,} raw.")
    return found, (), path.stem, told


def _option(
    candidate: Candidate, sites: Mapping[Site, Device], link: Link, load: Load, moments: Sequence[float], deadline: float | None
) -> Option:
    """A candidate with its cost over the whole trace; what never crosses the link costs the same at every moment."""
    crosses = any(p.site != "device" for p in candidate.placement.parts)
    outlook = over(lambda at: evaluate(candidate.placement, sites, link, load, at), moments if crosses else moments[:1], deadline)
    return Option(candidate.name, outlook.cost, candidate.quality, outlook.miss_rate, candidate.answer)


def _row(candidate: Candidate, option: Option, fits: bool) -> Row:
    cost = option.cost
    return Row(
        name=candidate.name,
        kind=candidate.kind,
        fits=fits,
        latency=cost.latency,
        latency_p95=cost.latency_bound,
        miss_rate=option.miss_rate,
        device_time=cost.busy.device,
        edge_time=cost.busy.edge,
        bytes_up=cost.bytes_up,
        bytes_down=cost.bytes_down,
        device_energy=cost.energy.device,
        edge_energy=cost.energy.edge,
        memory=cost.memory.device,
        quality=candidate.quality,
        exact=candidate.answer == WHOLE,
        provenance=cost.provenance,
        note=candidate.note,
    )


def _break_even(
    lines: Sequence[Line], candidates: Sequence[Candidate], stretches: Sequence[Stretch], chosen: str | None
) -> tuple[BreakEven, ...]:
    """Rates between the ways that matter: whole ones, the chosen one, and those that are the fastest somewhere."""
    matter = {c.name for c in candidates if c.kind in ("local", "image", "raw")} | {s.name for s in stretches} | {chosen}
    kept = [x for x in lines if x.name in matter]
    found = [break_even(a, b) for a, b in combinations(kept, 2)]
    return tuple(sorted(found, key=lambda e: (e.rate is None, e.rate or 0.0, e.a, e.b)))


def _link_notes(link: Link, moments: int) -> list[str]:
    if link.trace_up is None and link.trace_down is None:
        return [f"The link {link.name} is constant: {spoken(link.rate_up)} up, {1e3 * link.delay:g} ms one way."]
    return [
        f"Latencies are the median and the 95th percentile over {moments} moments of the trace of {link.name}, "
        f"each sample by itself; {1e3 * link.delay:g} ms one way."
    ]


def _energy_notes(sites: Mapping[Site, Device], link: Link) -> list[str]:
    device = sites["device"]
    if device.idle is None or device.active is None:
        return [f"Energy of {device.name} is unknown: its profile has no {'idle' if device.idle is None else 'active'} power."]
    told = f"Energy of {device.name} is modelled: idle {device.idle.value:g} W ({device.idle.source}), "
    told += f"active {device.active.value:g} W ({device.active.source})"
    if link.radio not in RADIOS:
        return [f"{told}; the radio of {link.name} is unknown, so what crosses it has no known energy."]
    return [f"{told}; radio {link.radio} after {HUANG}." if link.radio else f"{told}; no radio."]
