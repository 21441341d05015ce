"""One stream through every reported shift and clean at the end, without a word of where one ends: what is worth anything without
an upload.

The same pictures in two orders: drawn evenly (iid), and class after class within each domain (sorted), where statistics of a
batch are those of one class. Beside statistics that follow the stream: doing nothing, statistics of each batch,
LAME, and what needs a backward pass on the device (Tent, EATA, SAR, CoTTA), which a device that only infers does not have.

A stream of clean pictures alone stands beside them: there is nothing to follow there, and nothing may be lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.adapt import record
from bench.adapt.compared import Seeds, Won, accuracy, won
from bench.adapt.compared import rows as figures
from bench.adapt.data import REPORTED
from bench.adapt.ground import SCALES
from bench.adapt.replays import Replay, job, plain
from bench.jobs import Job, Size
from bench.report import Row, Target, left_out
from edgewise.adapt.replay import STATISTICS
from edgewise.data.streams import Order

FORWARD = ("none", "batch statistics", STATISTICS, "LAME")
BACKWARD = ("Tent", "EATA", "SAR", "CoTTA")
ORDERS: dict[Order, float] = {"iid": 0.17, "sorted": 0.08}  # what statistics are to be worth
SHIFTS = ",".join(d.name for d in REPORTED) + ",clean"
MOST = 0.01  # that may be lost on clean pictures
HALF = 0.5  # of the pictures of a long stream


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    scale = SCALES[size]
    each = scale.pictures("cifar10", HALF)
    shifts = SHIFTS if size != "quick" else "fog:5,clean"
    found = []
    for order in ORDERS:
        forward = Replay(
            f"continual.{order}", "forward", shifts, plain(*FORWARD), each, seed, order=order, every=max(50, each // 4), size=size
        )
        found.append(job(forward, 3, 2))
    if seed == 0:
        backward = Replay("continual.iid", "backward", shifts, plain(*BACKWARD), each, seed, every=max(50, each // 4), size=size)
        found.append(job(backward, 10, 5))
        if "imagenette" in scale.each:
            wide = scale.pictures("imagenette", HALF)
            data = Replay("imagenette.continual", "forward", "fog:5,night:5,contrast:5,clean", plain(*FORWARD[:3]), wide, seed,
                          "imagenette", size=size)  # fmt: skip
            found.append(job(data, 4.5, 4))
    clean = Replay("clean.iid", "forward", "clean", plain("none", STATISTICS), each, seed, size=size)
    return [*found, job(clean, 0.6, 2)]


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    found = record.records(work)
    cases = {c: s for front in ("continual.", "imagenette.continual", "clean.") for c, s in record.cases(found, front).items()}
    lines: list[Row] = []
    for case, seeds in cases.items():
        lines += figures(case, seeds)
        lines += _by_domain(case, seeds)
    return lines, [*(_worth(cases, order, least) for order, least in ORDERS.items()), _clean(cases)]


def _by_domain(case: str, seeds: Seeds) -> list[Row]:
    """Accuracy of each method in each domain."""
    first = next(iter(seeds.values())).found
    found = []
    for number, domain in enumerate(first.domains):
        for method in dict.fromkeys(m for one in seeds.values() for m in one.found.trails):
            share = accuracy(seeds, method, number)
            if share is not None:
                found.append(
                    Row(f"{case}, {domain}", f"accuracy, {method}", 100 * share, "%", len(first.rows(number)) * len(seeds))
                )
    return found


def _shifted(seeds: Seeds) -> tuple[Won | None, str]:
    """Statistics over nothing, in the mean of all shifted domains; and the domain where they are worth least."""
    domains = next(iter(seeds.values())).found.domains
    gains = {d: won(seeds, STATISTICS, "none", i) for i, d in enumerate(domains) if d != "clean"}
    known = {d: g for d, g in gains.items() if g is not None}
    if not known:
        return None, ""
    parts = list(known.values())
    mean = sum(g.gain for g in parts) / len(parts)
    error = sum((g.high - g.low) ** 2 for g in parts) ** 0.5 / 2 / len(parts)
    least = min(known, key=lambda d: known[d].gain)
    return Won(
        mean, mean - error, mean + error, sum(g.n for g in parts), parts[0].seeds
    ), f"least {known[least].gain:+.1%} {least}"


def _worth(cases: Mapping[str, Seeds], order: str, least: float) -> Target:
    name, want = f"moving statistics over none, no upload, {order}", f">= {100 * least:+.0f} points"
    seeds = cases.get(f"continual.{order}")
    gain, aside = _shifted(seeds) if seeds else (None, "")
    if gain is None:
        return left_out(name, want, "the stream was not replayed")
    met = gain.gain >= least
    batch = won(seeds or {}, "batch statistics", "none")
    beside = f"; statistics of each batch {batch.words}" if batch is not None else ""
    return Target(
        name, want, f"{gain.words}; {aside}{beside}", met, "" if met else f"worth least where it is {aside.split()[-1]}"
    )


def _clean(cases: Mapping[str, Seeds]) -> Target:
    """Alone, and at the end of a stream: the worst of them, seed by seed."""
    name, want = "moving statistics on clean pictures", "never > 1 point below none"
    found = {}
    for case, seeds in cases.items():
        domains = next(iter(seeds.values())).found.domains
        if "clean" not in domains or "none" not in next(iter(seeds.values())).found.trails:
            continue
        gains = [won({s: one}, STATISTICS, "none", domains.index("clean")) for s, one in seeds.items()]
        found[case] = min(g.gain for g in gains if g is not None)
    if not found:
        return left_out(name, want, "no clean pictures were replayed")
    worst = min(found, key=lambda c: found[c])
    met = found[worst] >= -MOST
    got = "; ".join(f"{case} {100 * gain:+.2f}" for case, gain in found.items())
    return Target(name, want, got, met, "" if met else f"what was followed before is not left soon enough ({worst})")
