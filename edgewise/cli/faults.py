"""The verb `faults`: the fault simulator for a person, with a bar while it runs and the story of what broke."""

from __future__ import annotations

from pathlib import Path

from edgewise.cli.screen import console, write_json
from edgewise.core.errors import ConfigError


def faults(
    seeds: int = 50,
    first: int = 0,
    seed: int | None = None,
    processes: int = 1,
    json: Path | None = None,
    trace: Path | None = None,
) -> int:
    """Real protocol, store, delivery and agent on a simulated clock, network and disk, under seeded schedules of faults.

    Exit status 1 where an invariant was broken. A seed gives the same run each time: `edgewise faults --seed 1234` tells it.

    Args:
        seeds: how many schedules to run.
        first: the first seed.
        seed: tell this one schedule instead: what was planned, what happened up to the first broken invariant.
        processes: processes to share the schedules among.
        json: write the sums there (or, with --seed, the outcome).
        trace: with --seed, write every line of the trace there.
    """
    if seed is not None:
        return _tell(seed, json, trace)
    if seeds < 1:
        raise ConfigError("there is nothing to run", got=f"--seeds {seeds}", allowed="1 or more")
    from rich.progress import Progress
    from rich.table import Table

    from edgewise.node.faults.report import outcomes, summary

    screen = console()
    done = []
    with Progress(console=screen, transient=True) as bar:
        task = bar.add_task("schedules", total=seeds)
        for outcome in outcomes(range(first, first + seeds), processes):
            done.append(outcome)
            bar.advance(task)
            for it in outcome.broken[:3]:
                bar.console.print(f"seed {outcome.seed}: [red]{it.law}[/] at {it.at:.3f} s: {it.sentence}", highlight=False)
    found = summary(done)
    laws = Table("schedules", "lost", "torn", "double", "converged")
    laws.add_row(*(f"{n:,}" for n in (found.schedules, found.lost, found.torn, found.double, found.converged)))
    stake = (
        f"At stake: {found.items:,} items, {found.frames:,} frames, {found.swaps:,} swaps, {found.deaths:,} deaths of "
        f"machines and processes, {found.faults:,} faults, in {found.virtual_seconds / 3600:.1f} h of virtual time."
    )
    screen.print(laws, stake)
    if found.failing:
        screen.print(
            f"[red]{len(found.failing)} schedules broke an invariant[/]; look at one: edgewise faults --seed {found.failing[0]}"
        )
    write_json(json, found)
    return 0 if found.well else 1


def _tell(seed: int, json: Path | None, trace: Path | None) -> int:
    from edgewise.node.faults.report import story, until_broken

    screen = console()
    outcome, plan, lines = story(seed)
    screen.print(plan, highlight=False, markup=False)
    screen.print()
    for line in until_broken(outcome, lines):
        screen.print(line, highlight=False, markup=False, soft_wrap=True)
    screen.print()
    if outcome.broken:
        it = outcome.broken[0]
        screen.print(f"[red]{it.law}[/] at {it.at:.3f} s: {it.sentence}", highlight=False)
        for it in outcome.broken[1:]:
            screen.print(f"  then {it.law} at {it.at:.3f} s: {it.sentence}", highlight=False, markup=False)
    else:
        screen.print(f"All invariants held: {outcome.items} items, {outcome.swaps} swaps, {outcome.deaths} deaths.")
    screen.print(f"trace {outcome.digest[:16]}, {outcome.lines} lines", highlight=False)
    if trace is not None:
        trace.parent.mkdir(parents=True, exist_ok=True)
        trace.write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(json, outcome)
    return 1 if outcome.broken else 0
