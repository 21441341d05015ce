"""Runs one benchmark: `./dev bench NAME [--quick|--medium] [--traces DIR]… [--fuzz]` → a table, targets, a result file, figures.

A benchmark is bench/NAME.py, or bench/NAME/benchmark.py, with `run(quick: bool) -> Report`; one that replays link traces also
takes `traces`, a tuple of folders, one that can fuzz as well takes `fuzzing`, and one that has a size between takes `medium`.
Full runs are written to bench/results, quick and medium ones to bench/out, which is not committed. The exit status is 0 also
when a target is missed: a benchmark measures, it does not judge; it is 1 where the benchmark could not run.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.report import ROOT, Report, Result, Row, commit, machine, readable
from edgewise.core.errors import ConfigError, EdgewiseError

THREADS = 1
RESULTS, QUICK_RESULTS = ROOT / "bench" / "results", ROOT / "bench" / "out"


def names() -> list[str]:
    """The benchmarks that there are: the files of bench/ that define `run(quick: bool, …)`."""
    return sorted(_modules())


def _modules() -> dict[str, str]:
    """By name of the benchmark, the module that has it."""
    files = {f.stem: f for f in (ROOT / "bench").glob("*.py")}
    files |= {f.parent.name: f for f in (ROOT / "bench").glob("*/benchmark.py")}
    known = {name: f for name, f in files.items() if "\ndef run(quick: bool" in f.read_text(encoding="utf-8")}
    return {name: ".".join(f.relative_to(ROOT).with_suffix("").parts) for name, f in known.items()}


def benchmark(name: str) -> Callable[..., Report]:
    """The `run` of bench/NAME.py."""
    known = _modules()
    if name not in known:
        raise ConfigError("there is no such benchmark", got=name, allowed=", ".join(sorted(known)) or "none yet")
    run: Callable[..., Report] = importlib.import_module(known[name]).run
    return run


def measure(
    name: str, run: Callable[..., Report], quick: bool, traces: Sequence[Path] = (), fuzzing: bool = False, medium: bool = False
) -> tuple[Result, Report]:
    """Call the benchmark and put its report beside machine, commit and time."""
    takes = inspect.signature(run).parameters
    if traces and "traces" not in takes:
        raise ConfigError("this benchmark replays no traces", got="--traces", hint="Leave it out.")
    if fuzzing and "fuzzing" not in takes:
        raise ConfigError("this benchmark fuzzes nothing", got="--fuzz", hint="Leave it out.")
    if medium and "medium" not in takes:
        raise ConfigError("this benchmark has no size between quick and full", got="--medium", hint="Take --quick, or neither.")
    more = {
        **({"traces": tuple(traces)} if "traces" in takes else {}),
        **({"fuzzing": True} if fuzzing else {}),
        **({"medium": True} if medium else {}),
    }
    here, at, start = machine(), commit(), time.monotonic()
    report = run(quick=quick, **more)
    result = Result(
        name=name,
        commit=at,
        machine=here,
        threads=THREADS,
        seconds=round(time.monotonic() - start, 1),
        link_kind=report.link_kind,
        engine_kind=report.engine_kind,
        config={"quick": quick, **({"medium": True} if medium else {}), **report.config},
        rows=tuple(report.rows),
        targets=tuple(report.targets),
    )
    return result, report


def write(result: Result, report: Report, folder: Path) -> Path:
    """NAME.json and the figures; the file can be read back as a Result."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.name}.json"
    path.write_text(json.dumps(msgspec.to_builtins(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, png in report.figures.items():
        (folder / f"{result.name}{f'_{name}' if name else ''}.png").write_bytes(png)
    return path


def read(path: Path) -> Result:
    """A result file, checked."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def show(result: Result, console: Console) -> None:
    """Rows and targets, for a person."""
    figures = Table("case", "metric", "value", "low to high", "n", "provenance", title=f"{result.name}, {result.seconds:g} s")
    for row in result.rows:
        figures.add_row(row.case, row.metric, readable(row.value, row.unit), _interval(row), str(row.n), row.provenance)
    targets = Table("target", "want", "got", "", "reason", title="targets")
    words = {True: "[green]met[/]", False: "[red]missed[/]", None: "[yellow]left out[/]"}
    for t in result.targets:
        targets.add_row(t.name, t.want, t.got, words[t.met], t.reason)
    console.print(figures, targets)
    kinds = f"link: {result.link_kind}; engine: {result.engine_kind}; threads: {result.threads}"
    console.print(f"{kinds}; {result.machine.processor}, {result.machine.cores} cores, load before {result.machine.load:g}")


def _interval(row: Row) -> str:
    return "" if row.low is None or row.high is None else f"{readable(row.low, row.unit)} … {readable(row.high, row.unit)}"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Run one benchmark with its baselines.")
    parser.add_argument("name", help=f"one of: {', '.join(names())}")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="one real case of everything, within a minute; written to bench/out")
    size.add_argument("--medium", action="store_true", help="less of everything, within ten minutes; written to bench/out")
    parser.add_argument("--traces", type=Path, action="append", default=[], help="a folder of link traces of your own")
    parser.add_argument("--fuzz", action="store_true", help="fuzz the borders as well, which takes an hour or more")
    given = parser.parse_args(words)
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        result, report = measure(given.name, benchmark(given.name), given.quick, given.traces, given.fuzz, given.medium)
    except EdgewiseError as error:
        Console(stderr=True).print(f"bench: {error}", style="red", highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    path = write(result, report, QUICK_RESULTS if given.quick or given.medium else RESULTS)
    show(result, console)
    console.print(f"written to {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
