"""The plan for a person: a table of the best ways to answer, the choice and why, and the rates at which it changes.

`columns` and `rows` are plain text and can be tested; `show_plan` puts them on a rich console that the caller owns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgewise.plan.break_even import spoken

if TYPE_CHECKING:
    from rich.console import Console

    from edgewise.plan.report import PlanReport, Row

FEW = 8  # break-even rates in print
MOST = 14  # rows of the table; the JSON has them all
COLUMNS = ("", "way to answer", "latency ms", "p95", "device", "edge", "up KB", "device mJ", "quality", "why")


def rows(report: PlanReport, most: int = MOST) -> list[tuple[str, ...]]:
    """The chosen way, then those that fit, then the others, each by latency; without those that another dominates."""
    why = {r.name: r.why for r in report.rejected}
    shown = [p for p in report.placements if p.name == report.chosen or not why.get(p.name, "").startswith("dominated")]
    return [_row(p, report.chosen, why) for p in sorted(shown, key=lambda p: _order(p, report.chosen))[:most]]


def hidden(report: PlanReport, most: int = MOST) -> int:
    """How many ways to answer the table leaves out."""
    return len(report.placements) - len(rows(report, most))


def sentences(report: PlanReport) -> list[str]:
    """What stands under the table."""
    said = [f"Take {report.chosen}: {report.why}." if report.chosen else f"No way to answer: {report.why}."]
    said += [f"{_stretch(s.low, s.high)}: {s.name} is the fastest." for s in report.fastest]
    if report.chosen is not None:
        others = [e for e in report.break_even if report.chosen in (e.a, e.b)]
        said += [f"{e}." for e in others[:FEW]]
    return said


def show_plan(report: PlanReport, console: Console, most: int = MOST) -> None:
    """Print the plan."""
    from rich.table import Table

    title = f"{report.model}: {report.device} → {report.edge} over {report.link} (mean uplink {spoken(report.link_rate)})"
    table = Table(
        *COLUMNS, title=title, caption=f"budget: {report.budget or 'none'}; best by {report.objective}", title_justify="left"
    )
    for cells in rows(report, most):
        table.add_row(*cells, style="bold" if cells[0] == "→" else None)
    console.print(table)
    if left := hidden(report, most):
        console.print(f"{left} more are dominated or slower; the JSON has them all.")
    for said in sentences(report):
        console.print(said, highlight=False)
    for note in report.notes:
        console.print(f"· {note}", style="dim", highlight=False)


def _row(p: Row, chosen: str | None, why: dict[str, str]) -> tuple[str, ...]:
    mark = "→" if p.name == chosen else "✓" if p.fits else "✗"
    return (
        mark,
        p.name,
        _figure(p.latency, 1e3),
        _figure(p.latency_p95, 1e3),
        _figure(p.device_time, 1e3),
        _figure(p.edge_time, 1e3),
        _figure(p.bytes_up, 1e-3),
        _figure(p.device_energy, 1e3),
        "?" if p.quality is None else f"{p.quality:.3f}",
        "" if p.name == chosen else why.get(p.name, ""),
    )


def _order(p: Row, chosen: str | None) -> tuple[bool, bool, float, str]:
    return (p.name != chosen, not p.fits, math.inf if p.latency is None else p.latency, p.name)


def _figure(value: float | None, scale: float) -> str:
    if value is None:
        return "?"
    scaled = value * scale
    return "∞" if math.isinf(scaled) else f"{scaled:,.0f}" if scaled >= 100 else f"{scaled:.3g}"


def _stretch(low: float, high: float) -> str:
    if low == 0 and math.isinf(high):
        return "At any uplink rate"
    if low == 0:
        return f"Below {spoken(high)}"
    return f"Above {spoken(low)}" if math.isinf(high) else f"From {spoken(low)} to {spoken(high)}"
