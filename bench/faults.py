"""Is anything lost, torn or done twice? Schedules of faults, power cuts at every write of an update, forged things, fuzzing.

Four parts: 10,000 schedules in the fault simulator (`edgewise.node.faults`), the sweep of power cuts over a device's and a
server's disk, the table of forged, expired, replayed and misplaced things (`bench.forged`), and, with `--fuzz`, 10⁷ mutated
inputs to every border (`bench.fuzz`). Nothing here is timed against a target: figures of time say what a schedule costs.

Schedules are run in chunks, and a full run that was interrupted goes on with the next chunk when it is called again, as long as
the code under test is the same. It does not know faults that the simulator does not: drives that lie about a sync, memory that
rots.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import msgspec

from bench import forged, fuzz
from bench.report import ROOT, Report, Row, Target, left_out
from edgewise.core.errors import EdgewiseError
from edgewise.node.faults import sweep
from edgewise.node.faults.report import Outcome, outcomes, summary
from edgewise.node.faults.schedule import KINDS, schedule

SCHEDULES, QUICK_SCHEDULES = 10_000, 100
CHUNK = 250
PROCESSES = 2
EVERY = 12  # in a quick run, of the writes of an update
LEAST_FORGED = 60
CASES = 10_000_000
SEED = 1
CASE = "schedules"


def run(quick: bool, fuzzing: bool = False) -> Report:
    """Everything; `fuzzing` is `--fuzz`."""
    rows: list[Row] = []
    targets: list[Target] = []
    parts: Sequence[Callable[[bool], tuple[list[Row], list[Target]]]] = (_schedules, _cuts, _forged)
    for part in parts:
        more, goals = part(quick)
        rows += more
        targets += goals
    more, goals = _fuzz(CASES // 1000 if quick else CASES) if fuzzing else ([], [_not_fuzzed()])
    config = {
        "schedules": QUICK_SCHEDULES if quick else SCHEDULES,
        "first_seed": 0,
        "kinds": list(KINDS),
        "processes": PROCESSES,
        "forged_least": LEAST_FORGED,
        "fuzz_cases": (CASES // 1000 if quick else CASES) if fuzzing else 0,
        "fuzz_seed": SEED,
    }
    return Report(
        [*rows, *more], [*targets, *goals], config, link_kind="simulated, message by message", engine_kind="simulated seconds"
    )


# Schedules


def _schedules(quick: bool) -> tuple[list[Row], list[Target]]:
    count = QUICK_SCHEDULES if quick else SCHEDULES
    began = time.monotonic()
    found, ran = _run(count, None if quick else ROOT / "bench" / "out" / f"faults-{_code()}")
    took = time.monotonic() - began
    sums = summary(found)
    befallen = Counter(f.kind for o in found for f in schedule(o.seed).faults)
    figures = ("lost", "torn", "double", "items", "effects", "dropped", "refused", "frames", "swaps", "deaths", "faults")
    rows = [Row(CASE, name, getattr(sums, name), "", count) for name in figures]
    rows.append(Row(CASE, "not converged", count - sums.converged, "", count))
    rows.append(Row(CASE, "virtual time", sums.virtual_seconds, "s", count, provenance="modelled"))
    if ran:
        rows.append(Row(CASE, f"time of a schedule, {PROCESSES} at once", took * PROCESSES / ran, "s", ran))
    rows += [Row(CASE, f"fault: {kind}", befallen[kind], "", count) for kind in KINDS]
    wanted = f"{count:,} seeded fault schedules"
    failing = f"look at one: edgewise faults --seed {sums.failing[0]}; all: {sums.failing[:50]}" if sums.failing else ""
    goals = [
        _none(f"{wanted}: lost outbox items", sums.lost, failing),
        _none(f"{wanted}: torn or unsigned models loaded", sums.torn, failing),
        _none(f"{wanted}: double effects", sums.double, failing),
        Target(f"{wanted}: converge", f"{count:,}", f"{sums.converged:,}", sums.converged == count, failing),
    ]
    return rows, goals


def _code() -> str:
    """A hash over the code that a schedule runs: outcomes of other code are not of this one."""
    found = hashlib.sha256()
    for room in ("core", "net", "node"):
        for path in sorted((ROOT / "edgewise" / room).rglob("*.py")):
            found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def _run(count: int, folder: Path | None) -> tuple[list[Outcome], int]:
    """Outcomes of the first `count` seeds, from `folder` where they are there; how many were run now."""
    if folder is None:
        return list(outcomes(range(count), PROCESSES)), count
    found: list[Outcome] = []
    ran = 0
    for first in range(0, count, CHUNK):
        path = folder / f"{first:06d}.msgpack"
        seeds = range(first, min(first + CHUNK, count))
        if not path.exists():
            done = list(outcomes(seeds, PROCESSES))
            ran += len(done)
            folder.mkdir(parents=True, exist_ok=True)
            half = path.with_suffix(".part")
            half.write_bytes(msgspec.msgpack.encode(done))
            half.replace(path)
        found += msgspec.msgpack.decode(path.read_bytes(), type=list[Outcome])
    return found, ran


# Power cuts


def _cuts(quick: bool) -> tuple[list[Row], list[Target]]:
    rows, goals = [], []
    for machine in (sweep.DEVICE, sweep.SERVER):
        count, every = sweep.operations(machine), EVERY if quick else 1
        with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
            places = range(1, count + 1, every)
            found = list(pool.map(sweep.cut_at, places, [machine] * len(places), chunksize=8))
        broken = [(n, o.broken[0].sentence) for n, o in zip(places, found) if o.broken]
        missed = sum(o.deaths == 0 for o in found)
        case = f"power cut, {'device' if machine == sweep.DEVICE else 'server'}"
        rows += [
            Row(case, "operations of an update", count, ""),
            Row(case, "cut at", len(found) - missed, "", len(found)),
            Row(case, "not valid afterwards", len(broken), "", len(found)),
        ]
        name = f"{case}, at {'every' if every == 1 else f'each {every}th'} of {count} writes of an update: not valid afterwards"
        goals.append(_none(name, len(broken) + missed, f"the first: {broken[0]}" if broken else f"{missed} were never cut"))
    return rows, goals


# Forged things


def _forged(quick: bool) -> tuple[list[Row], list[Target]]:
    got_in, unseen, sentences = [], [], 0
    cases = forged.cases()
    for case in cases:
        before = len(case.audit)
        try:
            case.attempt()
        except EdgewiseError as error:
            sentences += str(error).endswith((".", "!", "?"))
            if len(case.audit) == before:
                unseen.append(case.name)
        else:
            got_in.append(case.name)
    rows = [
        Row("forged", "cases", len(cases), ""),
        Row("forged", "refused with a sentence", sentences, "", len(cases)),
        Row("forged", "got in", len(got_in), "", len(cases)),
        Row("forged", "not audited", len(unseen), "", len(cases)),
    ]
    met = not got_in and not unseen and len(cases) >= LEAST_FORGED
    got = f"{len(cases) - len(got_in)} of {len(cases)} refused, {len(cases) - len(got_in) - len(unseen)} audited"
    reason = "" if met else f"got in: {got_in[:5]}; not audited: {unseen[:5]}"
    return rows, [
        Target("forged, expired, replayed, older, truncated, misplaced", f">= {LEAST_FORGED}, all refused", got, met, reason)
    ]


# Fuzzing


def _fuzz(cases: int) -> tuple[list[Row], list[Target]]:
    found = fuzz.fuzz_all(cases, SEED, PROCESSES)
    rows = []
    for it in found:
        case = f"fuzz: {it.target}"
        rows += [
            Row(case, "cases", it.cases, ""),
            Row(case, "refused", it.refused, "", it.cases),
            Row(case, "crashes", it.crashes, "", it.cases),
            Row(case, "hangs", it.hangs, "", it.cases),
            Row(case, "slowest case", it.slowest, "s", it.cases),
            Row(case, "memory held at the end", it.grown, "bytes", it.cases),
            Row(case, "most memory held", it.peak, "bytes", it.cases),
        ]
    total = sum(it.cases for it in found)
    unsound = [f"{it.target}: {f.sentence}" for it in found for f in it.findings[:2]] or ["memory grew"]
    crashes, hangs = sum(it.crashes for it in found), sum(it.hangs for it in found)
    most = max(it.peak for it in found)
    met = all(it.sound for it in found)
    got = f"{crashes} crashes, {hangs} hangs, {most / (1 << 20):.0f} MiB at most"
    want = f"0 crashes, 0 hangs, <= {fuzz.MOST_MEMORY >> 20} MiB"
    return rows, [Target(f"fuzzing, {total:,} cases", want, got, met, "" if met else "; ".join(unsound[:5]))]


def _not_fuzzed() -> Target:
    return left_out(
        f"fuzzing, {CASES:,} cases", "0 crashes, 0 hangs, memory bounded", "call it with --fuzz: it takes an hour or more"
    )


def _none(name: str, got: int, reason: str) -> Target:
    return Target(name, "0", f"{got:,}", got == 0, reason if got else "")
