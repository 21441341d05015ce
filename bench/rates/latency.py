"""Seconds from picture to answer over link rates: every way at equal accuracy, on this machine and on modelled boards.

    latency = head + coder + bytes / rate + round trip + decoder + tail        the server is one thread of this machine, measured

The pieces are timed in turns in one run (`pieces`, `timing`), bytes come from the records alone (`recipes`), so a way that has
no record has no latency. The target asks whether ours is the lowest of all rows at every rate below 1 Mbit/s, answering on the
device included: where the teacher is so small that the device is done before a round trip is over, nothing that sends can be.
A break-even rate is printed for ours against every other way; above it the table says who wins.

Figures are `bench.rates.delays`: latency over link rate, and who wins over link rate and device speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.jobs import Advance, Job, Size
from bench.rates import delays, pieces, published, timing
from bench.rates.boards import DEVICES, Board, board
from bench.rates.recipes import DROP, OURS, OWN, SPLITS, Reached, reached
from bench.rates.record import records
from bench.rates.timing import Timed
from bench.rates.ways import FINE, ROUND_TRIPS, Way, cost, line, link
from bench.report import Row, Target, left_out
from edgewise.core.measurement import Provenance
from edgewise.plan.break_even import break_even, fastest, spoken

FILE = "pieces.json"
QUICK = ("entropic", "entropic-narrow", OURS)
TOP = 1e6  # bit/s, below which the target asks
FASTER, PARAMETERS = 4.0, 150_000
LARGE = " @224"
SHOWN = ("this", "pi4")  # boards of which every way has rows; of the others who wins
ALONE = (
    "a teacher of 0.17 GMAC: the device has its answer before a round trip is over, whatever is sent; of what sends ours is the "
    "lowest"
)
DEAR = "near 1 Mbit/s head and coder cost this device more than the bytes that they save; break-even rates stand in the rows"
HEAD = "head of ours against the paper's widths of Entropic Student, onnxruntime, one thread"
TABLE = (50e3, 250e3, 1e6, 5e6, 20e6)  # bit/s of rows


class Measured(Struct, frozen=True, forbid_unknown_fields=True):
    """All pieces, with the anchors of the boards among them."""

    pieces: dict[str, Timed]


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """One job: all pieces in turns."""
    return [Job("pieces", "bench.rates.latency:measure", (FILE,), {"size": size}, priority=5)] if seed == 0 else []


def measure(work: Path, advance: Advance, size: Size = "full") -> None:
    """Export and time everything, and keep it in the work folder."""
    models, shapes = pieces.splits(names=QUICK if size == "quick" else tuple(pieces.CUTS))
    models |= pieces.wholes(exits=size != "quick")
    if size == "full":
        large, _ = pieces.splits(published.SIDE, ("entropic", "entropic-narrow", OURS, "bottlefit-3"), tails=False)
        models |= {name + LARGE: model for name, model in large.items()}
    models |= {"ResNet-50": published.whole("ResNet-50"), "MobileNetV2": published.mobilenet_v2()}
    models["ResNet-50, 256×256"] = published.resnet50(256)
    advance("pieces exported", 0.5)
    runs = {name: timing.network(model) for name, model in models.items()}
    runs |= pieces.coders(shapes) | pieces.deflated() | pieces.pictures()
    budget = {"quick": 2.0, "medium": 10.0, "full": 45.0}[size]
    found = timing.in_turns(runs, budget, advance=lambda share: advance("pieces in turns", 0.5 + share / 2))
    sizes = {name: timing.size(model) for name, model in models.items()}
    held = Measured({name: Timed(seconds, sizes.get(name, timing.Size(0, 0.0))) for name, seconds in found.items()})
    (work / FILE).write_bytes(msgspec.json.encode(held))


def rows(work: Path) -> tuple[list[Row], list[Target], dict[str, bytes]]:
    """Rows of pieces, latencies and break-even rates; the targets; two figures."""
    names = [f"end-to-end latency below {spoken(TOP)}, ours lowest of all rows, {name}" for name in DEVICES]
    path = work / FILE
    if not path.is_file():
        return [], [left_out(n, "lowest", "heads and tails were not timed in this run") for n in [HEAD, *names]], {}
    timed = msgspec.json.decode(path.read_bytes(), type=Measured).pieces
    found, targets, figures = _pieces(timed), [_head(timed)], {}
    kept = records(work)
    if not any(r.about.method == "teacher" for r in kept):
        return found, [*targets, *(left_out(n, "lowest", "there is no record of the teacher") for n in names)], {}
    at = reached(kept, timed)
    found += _reached(at)
    server = board("this", {})
    for name, target in zip(DEVICES, names, strict=True):
        here = board(name, timed)
        found += [row for round_trip in ROUND_TRIPS for row in _table(at.ways, here, server, round_trip)]
        targets.append(_lowest(target, at.ways, here, server))
    if len(at.ways) > 1:
        figures["delay"] = delays.drawn(at.ways, [board(n, timed) for n in SHOWN], server)
        for name in DEVICES:
            told = f"ways at equal accuracy on {name}"
            more, won = delays.region(at.ways, board(name, timed), server, told)
            found += more
            if name == SHOWN[-1]:
                figures["region"] = delays.plane(won, board(name, timed), told)
    return found, targets, figures


def ours(ways: Sequence[Way]) -> Way | None:
    """The first of OWN that reaches the accuracy, None where none does: which one counts is not chosen by its latency."""
    return next((w for name in OWN for w in ways if w.name == name), None)


def _pieces(timed: dict[str, Timed]) -> list[Row]:
    """Seconds of every piece; parameters and multiply-adds of those that are networks."""
    found = []
    for name, one in timed.items():
        t = one.seconds
        found.append(Row(name, "time, one thread", t.busy, "s", t.n, t.low, t.high))
        if one.size.parameters:
            found.append(Row(name, "parameters", one.size.parameters, ""))
            found.append(Row(name, "multiply-adds", one.size.macs, "", provenance="modelled"))
    return found


def _head(timed: dict[str, Timed]) -> Target:
    """The head's speed against the paper's widths, at both sizes that were timed, and its parameters."""
    mine, paper = timed[f"{OURS} head"], timed["entropic head"]
    ratio = paper.seconds.busy / mine.seconds.busy
    got = f"{1e3 * mine.seconds.busy:.2f} against {1e3 * paper.seconds.busy:.2f} ms: {ratio:.1f} ×"
    if f"{OURS} head{LARGE}" in timed:
        large = timed[f"entropic head{LARGE}"].seconds.busy / timed[f"{OURS} head{LARGE}"].seconds.busy
        got += f" ({large:.1f} × at 224 × 224)"
    if "entropic-narrow head" in timed:
        narrow = timed["entropic-narrow head"].seconds.busy
        got += f"; against the narrow widths, of which the records are, {1e3 * narrow:.2f} ms: {narrow / mine.seconds.busy:.1f} ×"
    got += f"; {mine.size.parameters:,} parameters"
    met = ratio >= FASTER and mine.size.parameters <= PARAMETERS
    reason = "" if met else "at this size of picture the head is not that much faster, or is larger"
    return Target(HEAD, f">= {FASTER:g} ×, <= {PARAMETERS:,} parameters", got, met, reason)


def _reached(at: Reached) -> list[Row]:
    """What each way sends and asks of both sides at equal accuracy, and which methods have no row."""
    case = f"at the teacher's accuracy less {100 * DROP:g} points"
    found = []
    for w in at.ways:
        device, edge = w.device.nets + w.device.coders, w.edge.nets + w.edge.coders
        if w.frame:
            found.append(Row(case, f"{w.name}, frame", w.frame, "bytes"))
        found += [Row(case, f"{w.name}, device", device, "s"), Row(case, f"{w.name}, server", edge, "s")]
    found += [Row(case, f"{name} does not reach it, best accuracy", 100 * best, "%") for name, best in at.short.items()]
    return found + [Row(case, f"{name}: no pieces are known, no latency", 0, "") for name in at.unknown]


def _table(ways: Sequence[Way], here: Board, server: Board, round_trip: float) -> list[Row]:
    """Latencies (every way on SHOWN boards), who is the fastest over all rates, and ours' break-even rates."""
    case = f"{here.name}, {1e3 * round_trip:g} ms round trip"
    provenance: Provenance = "mixed" if here.name == "this" else "modelled"  # measured seconds, a modelled link
    found = []
    for way in ways if here.name in SHOWN else ():
        for rate in TABLE if way.kind != "local" else TABLE[:1]:
            a = cost(way, here, server, link(rate, round_trip))
            found.append(
                Row(
                    case,
                    f"{way.name} at {spoken(rate) if way.frame else 'any rate'}",
                    a.latency,
                    "s",
                    1,
                    a.low,
                    a.high,
                    provenance,
                )
            )
    lines = [line(w, here, server, round_trip) for w in ways]
    for s in fastest(lines):
        low, high = max(s.low, FINE[0]), min(s.high, FINE[-1])
        if low < high:
            found.append(Row(case, f"fastest: {s.name}, up to", high, "bit/s", 1, low, high, "modelled"))
    mine = ours(ways)
    if mine is None or round_trip != ROUND_TRIPS[0]:  # the round trip is the same for all that sends
        return found
    for way in (w for w in ways if w is not mine):
        even = break_even(line(mine, here, server, round_trip), line(way, here, server, round_trip))
        if even.rate is not None:
            said = f"break-even with {way.name}; above it {even.above} is faster"
            found.append(Row(case, said, even.rate, "bit/s", provenance="modelled"))
    return found


def _lowest(name: str, ways: Sequence[Way], here: Board, server: Board) -> Target:
    """Whether ours is the lowest at every rate of FINE up to TOP, at both round trips."""
    mine = ours(ways)
    if mine is None or len(ways) < 2:
        return left_out(name, "lowest", "no record of ours, or of nobody else, is at the teacher's accuracy less two points")
    rates = [r for r in FINE if r <= TOP]
    said, lost = [], []
    for round_trip in ROUND_TRIPS:
        of = {w.name: [cost(w, here, server, link(r, round_trip)).latency for r in rates] for w in ways}
        own = of.pop(mine.name)
        local = [w.name for w in ways if w.kind == "local"]
        of = {n: v for n, v in of.items() if SPLITS.get(n) != OURS}  # another point of our own head is no rival
        sends = {n: v for n, v in of.items() if n not in local}
        up_to = [r for i, r in enumerate(rates) if all(own[i] <= v[i] for v in sends.values())]
        where = "at every rate" if len(up_to) == len(rates) else f"up to {spoken(up_to[-1])}" if up_to else "nowhere"
        beaten = sorted({n for n, v in of.items() if any(x < y for x, y in zip(v, own, strict=True))})
        lost += beaten
        said.append(
            f"{1e3 * round_trip:g} ms: lowest of what sends {where}" + (f", beaten by {', '.join(beaten)}" if beaten else "")
        )
    if not lost:
        return Target(name, "lowest", "; ".join(said), True)
    return Target(name, "lowest", "; ".join(said), False, ALONE if all(n.startswith("local") for n in lost) else DEAR)
