"""Progressive frames: how many miss their deadline beside whole ones, on links that change, and what the answers are worth.

The features of the shipped head at 256 levels go in four layers of two channels, the most important first. The agent cuts a frame
when its turn comes, by its estimate of the link as it is then: to what passes in time with a chance of 0.9 or, where the bundle
says what each number of layers is worth, to the highest expected worth. Beside it the same codes in one layer, and whole frames
of 16 and 4 levels, for coarser codes are the other way to smaller frames. All are sent always, with nothing that stands by, so
that a miss is seen; then once more with the local answer behind them. Agent, session and server are the real ones in virtual time
(`edgewise.node.simulate`); payload sizes are those of test frames, one after the other; quality is cell F1 on the same frames by
the number of layers that came. A frame without an answer in time is worth nothing. Long traces are run for their first minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from bench import adaptive
from bench.main_job import ONE_WAY, PACK, recorded, step
from bench.report import Report, Row, Target, left_out
from bench.split_vehicles import answered, features_of, subject, testing, truth
from edgewise.codec.features import FeatureCodec
from edgewise.core.answer import FrameRecord
from edgewise.core.placement import OperatingPoint, Quality, layered
from edgewise.core.power import RADIOS
from edgewise.core.wire import FRAME_HEADER
from edgewise.data.metrics import bootstrap
from edgewise.meter.energy import EnergyModel
from edgewise.node.edge import Edge
from edgewise.node.simulate import SimulatedDevice, SimulatedEdge, World, camera
from edgewise.node.work import Work

LEVELS = (256, 16, 4)
LAYERS = (2, 2, 2, 2)
LAYERED, KNOWN = "256 levels in layers", "256 levels in layers of known worth"
LONGEST = 300.0  # s of a trace
SPARED = 0.01  # a link on which fewer whole frames miss has nothing to better


class Way(Struct, frozen=True):
    """A way to send: `ends` of each test frame, after each layer, and what a frame is worth by the layers that came."""

    name: str
    ends: tuple[tuple[int, ...], ...]
    worth: tuple[float, ...]
    known: bool = False
    """Whether the policy knows that."""


def run(quick: bool) -> Report:
    ways, local, points, frames = _ways(quick)
    rows = [
        Row(way.name, f"{n + 1} of {len(way.worth)} layers: {metric}", value, unit, frames)
        for way in ways
        if not way.known
        for n, worth in enumerate(way.worth)
        for metric, value, unit in (
            ("mean frame", FRAME_HEADER + float(np.mean([e[n] for e in way.ends])), "bytes"),
            ("cell F1", worth, ""),
        )
    ]
    cases = [replace(c, seconds=min(c.seconds, LONGEST)) for c in (step(6.0 if quick else 20.0), *recorded(quick))]
    targets: list[Target] = []
    for case in cases:
        found, target = _case(case, ways, local, points)
        rows += found
        targets.append(target)
    if len(cases) == 1:
        targets.append(left_out("progressive frames on recorded links", "fewer misses", f"the data pack {PACK} is not here"))
    config = {
        "deadline_s": adaptive.DEADLINE,
        "interval_s": adaptive.INTERVAL,
        "one_way_delay_s": ONE_WAY,
        "layers": list(LAYERS),
        "test_frames": frames,
        "links": [f"{c.name} {c.seconds:g} s" for c in cases],
    }
    return Report(rows, targets, config, "virtual", "onnxruntime CPU")


def _ways(quick: bool) -> tuple[tuple[Way, ...], float, tuple[OperatingPoint, ...], int]:
    """The ways to send, what the local answer is worth, the bundle's points, and how many frames that is from."""
    of = subject(LEVELS, 8 if quick else 24)
    frames = testing(4 if quick else 12)
    features, true = features_of(of.head, frames.pictures), truth(frames)
    ways = []
    for levels in LEVELS:
        coding = replace(of.codings[levels], most=0)
        named: list[tuple[str, tuple[int, ...]]] = [(f"{levels} levels whole", (sum(coding.layers),))]
        if levels == LEVELS[0]:
            named.insert(0, (LAYERED, LAYERS))
        for name, layers in named:
            codec = FeatureCodec(of.bottleneck, replace(coding, layers=layers))
            payloads = [codec.encode(x[None]) for x in features]
            ends = tuple(tuple(adaptive.carried(e) for e in codec.prefixes(p)) for p in payloads)
            cut = ([p[: codec.prefixes(p)[n]] for p in payloads] for n in range(len(layers)))
            ways.append(Way(name, ends, tuple(answered(of, codec, some, true) for some in cut)))
            if name == LAYERED:
                ways.append(Way(KNOWN, ends, ways[-1].worth, known=True))
    points = of.bundle.manifest.points
    local = next(p for p in points if p.mode == "local")
    return tuple(ways), local.worth(), points, len(features)


def _case(case: adaptive.Case, ways: Sequence[Way], local: float, points: Sequence[OperatingPoint]) -> tuple[list[Row], Target]:
    rows, misses = [], {}
    for way in ways:
        for insured in (False, True):
            records = _simulated(case, way, points, insured)
            late = np.array([not (r.outcome == "answered" and not r.late) for r in records])
            worth = np.array([0.0 if miss else _worth(r, way, local) for r, miss in zip(records, late, strict=True)])
            label = f"{case.name}, {way.name}" + (", local stands by" if insured else "")
            rows.append(_row(label, "worth of a frame", worth))
            if not insured:
                misses[way.name] = float(late.mean())
                rows.append(_row(label, "deadline misses", late.astype(float)))
                sent = [r.bytes_up for r in records]
                rows.append(Row(label, "bytes a frame", float(np.mean(sent)), "bytes", len(sent), provenance="modelled"))
                if len(way.worth) > 1:
                    rows.append(_row(label, "frames cut", np.array([r.cut > 0 for r in records], float)))
    mine, whole = misses[LAYERED], misses[f"{LEVELS[0]} levels whole"]
    name = f"deadline misses of progressive frames against whole ones ({case.name})"
    got = f"{mine:.1%} against {whole:.1%}"
    if whole < SPARED:
        return rows, left_out(name, "fewer", f"whole frames miss {whole:.1%} here, so there is nothing to better")
    return rows, Target(name, "fewer", got, mine < whole, "" if mine < whole else "cutting did not help on this link")


def _simulated(case: adaptive.Case, way: Way, points: Sequence[OperatingPoint], insured: bool) -> list[FrameRecord]:
    """Every frame is sent, whatever the link is like."""
    split = replace(next(p for p in points if p.name == "split-8"), codec="rans")
    if way.known:
        split = replace(split, quality=split.quality | layered([Quality(w, w, w, len(way.ends)) for w in way.worth]))
    stands_by = tuple(p for p in points if p.mode == "local") if insured else ()
    chosen = (split, *stands_by)
    policy = adaptive.FixedPolicy(chosen, split.name)
    agent = camera("camera", chosen, policy, EnergyModel(2.65, 5.6, RADIOS["lte"]), adaptive.DEADLINE, insured)
    world = World()
    server = SimulatedEdge(world, Edge(lambda s: None, lambda s: s.point), lambda run: split.edge_time)

    def size(work: Work) -> Sequence[int] | int:
        ends = way.ends[work.frame % len(way.ends)]
        return ends if len(ends) > 1 else ends[0]

    count = int(case.seconds / adaptive.INTERVAL)
    seconds = lambda work: work.point.device_time  # noqa: E731 (as everywhere here)
    device = SimulatedDevice(world, server, agent, case.link, adaptive.INTERVAL, count, size, seconds)
    world.run(case.seconds + 2.0)
    agent.close(world.now, "stopped")
    return sorted([*device.records, *agent.records()], key=lambda r: r.frame)


def _worth(record: FrameRecord, way: Way, local: float) -> float:
    if record.mode == "local":
        return local
    return way.worth[(record.layers or len(way.worth)) - 1]


def _row(case: str, metric: str, values: np.ndarray) -> Row:
    """The mean, with the interval of its blocks of ten seconds."""
    blocks = [int(i * adaptive.INTERVAL / adaptive.BLOCK) for i in range(len(values))]
    scaled = np.round(values * 1e6).astype(np.int64)[:, None]
    low, high = bootstrap(scaled, blocks, lambda t: float(t.mean()) / 1e6, draws=100)
    return Row(case, metric, float(values.mean()), "", len(values), low, high, "modelled")
