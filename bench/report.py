"""What a benchmark says: rows of figures and targets, and the result file that holds them beside the machine and commit.

A figure has a unit (SI without prefix), a number of samples, an interval and a provenance. A target that is missed stays in
the report, as missed, with the reason; one that a quick run leaves out is neither met nor missed, and says so too. A reader
on another machine compares a figure with the units of the same run, not with ours.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from edgewise.core.errors import ConfigError
from edgewise.core.measurement import Provenance

ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("aiohttp", "msgspec", "numpy", "onnxruntime", "pillow", "opencv-python-headless", "torch")


class Row(Struct, frozen=True, forbid_unknown_fields=True):
    """One figure: `metric` of `case`, over `n` samples, from `low` to `high`.

    The interval is that from the 5th to the 95th percentile of samples, or from the least to the largest of a few rounds.
    """

    case: str
    metric: str
    value: float
    unit: str
    n: int = 1
    low: float | None = None
    high: float | None = None
    provenance: Provenance = "measured"

    def __post_init__(self) -> None:
        if not all(v is None or math.isfinite(v) for v in (self.value, self.low, self.high)):
            raise ConfigError(
                "a figure of a benchmark is no number",
                got=f"{self.value} ({self.low} to {self.high}) for {self.metric} of {self.case}",
                allowed="finite numbers",
                hint="What could not be measured has no row; its target says why.",
            )


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """`want` and `got` as a person reads them; `met` is None where this run did not measure it. Not met needs a `reason`."""

    name: str
    want: str
    got: str
    met: bool | None
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.met and not self.reason:
            raise ConfigError("a target that is not met has no reason", got=self.name, allowed="a sentence that says why")


class Report(Struct, frozen=True, forbid_unknown_fields=True):
    """What a benchmark's `run` returns. `figures` are PNG files by their name without suffix ('' is the benchmark's own)."""

    rows: Sequence[Row]
    targets: Sequence[Target]
    config: Mapping[str, Any] = {}
    link_kind: str = "none"
    engine_kind: str = "none"
    figures: Mapping[str, bytes] = {}


class Machine(Struct, frozen=True, forbid_unknown_fields=True):
    """Where it ran, without a name of the host. `load` is the machine's own before the run: above 0.2 others were at work."""

    processor: str
    cores: int
    memory: int
    system: str
    python: str
    packages: dict[str, str]
    load: float


class Result(Struct, frozen=True, forbid_unknown_fields=True):
    """The result file, bench/results/NAME.json."""

    name: str
    commit: str
    machine: Machine
    threads: int
    seconds: float
    link_kind: str
    engine_kind: str
    config: dict[str, Any]
    rows: tuple[Row, ...]
    targets: tuple[Target, ...]


def summary(case: str, metric: str, samples: Sequence[float], unit: str, quantile: float = 0.5) -> Row:
    """The `quantile` of samples with their 5th and 95th percentile.

    >>> summary("echo", "latency", [1.0, 2.0, 3.0], "s").value
    2.0
    """
    if not samples:
        raise ConfigError("a figure of a benchmark has no samples", got=f"{metric} of {case}", allowed="one or more")
    value, low, high = (float(v) for v in np.quantile(np.asarray(samples, float), (quantile, 0.05, 0.95)))
    return Row(case, metric, value, unit, len(samples), low, high)


def at_most(name: str, limit: float, row: Row, reason: str) -> Target:
    """The target that `row` is not above `limit`; `reason` is kept where it is missed."""
    met = row.value <= limit
    want, got = f"<= {readable(limit, row.unit)}", readable(row.value, row.unit)
    return Target(name, want, got, met, "" if met else reason)


def at_least(name: str, limit: float, row: Row, reason: str) -> Target:
    """The target that `row` is not below `limit`."""
    met = row.value >= limit
    want, got = f">= {readable(limit, row.unit)}", readable(row.value, row.unit)
    return Target(name, want, got, met, "" if met else reason)


def left_out(name: str, want: str, reason: str) -> Target:
    """A target that this run does not measure."""
    return Target(name, want, "not measured", None, reason)


_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
_WHOLE = ("bytes", "B", "bit")  # no thousandth of a byte


def readable(value: float, unit: str) -> str:
    """With a prefix, for a person.

    >>> readable(0.00123, "s"), readable(140e6, "bytes"), readable(0.4, "")
    ('1.23 ms', '140 MB', '0.4')
    """
    shown = "B" if unit == "bytes" else unit
    if unit in ("", "%", "frames", "J/frame") or value == 0 or not math.isfinite(value):
        return f"{value:.4g} {shown}".strip()
    small = 1.0 if unit.startswith(_WHOLE) or unit == "1/s" else 1e-9
    factor, prefix = next(((f, p) for f, p in _PREFIXES if abs(value) >= f or f <= small), (1e-9, "n"))
    if unit == "1/s":
        return f"{value:,.0f} /s" if value >= 100 else f"{value:.3g} /s"
    return f"{value / factor:.3g} {prefix}{shown}"


def machine() -> Machine:
    """This machine, its packages, and how busy it is now."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages=packages,
        load=round(os.getloadavg()[0], 2),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(names, platform.processor() or "unknown")


def commit() -> str:
    """The commit of the working tree, with `+changes` where tracked files outside the results differ from it."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+changes" if changed else head


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
