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

FEW = 8  # break-even rates and reasons in print
MOST = 14  # rows of the table; the JSON has them all
COLUMNS = ("", "way to answer", "latency ms", "p95 ms", "device ms", "edge ms", "up KB", "device mJ", "quality")


def rows(report: PlanReport, most: int = MOST) -> list[tuple[str, ...]]:
    """The chosen way, then those that fit, then the others, each by latency; without those that another dominates."""
    why = {r.name: r.why for r in report.rejected}
    shown = [p for p in report.placements if p.name == report.chosen or not why.get(p.name, "").startswith("dominated")]
    return [_row(p, report.chosen) for p in sorted(shown, key=lambda p: _order(p, report.chosen))[:most]]


def hidden(report: PlanReport, most: int = MOST) -> int:
    """How many ways to answer the table leaves out."""
    return len(report.placements) - len(rows(report, most))


def sentences(report: PlanReport) -> list[str]:
    """What stands under the table: the choice, why not the nearest others, and the rates at which it would change."""
    said = [f"Take {report.chosen}: {report.why}." if report.chosen else f"No way to answer: {report.why}."]
    said += _unjudged(report)
    why = {r.name: r.why for r in report.rejected}
    said += [f"Not {cells[1]}: {why[cells[1]]}." for cells in rows(report, FEW) if cells[1] in why]
    said += [f"{_stretch(s.low, s.high)}: {s.name} is the fastest." for s in report.fastest]
    said += dict.fromkeys(str(b) for b in report.between)
    if report.chosen is not None:
        said += [f"{e}." for e in report.break_even if report.chosen in (e.a, e.b)][:FEW]
    return said


def show_plan(report: PlanReport, console: Console, most: int = MOST) -> None:
    """Print the plan."""
    from rich import box
    from rich.table import Table

    title = f"{report.model}: {report.device} → {report.edge} over {report.link} (mean uplink {spoken(report.link_rate)})"
    caption = f"budget: {report.budget or 'none'}; best by {report.objective}"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        text = name in ("", "way to answer")
        table.add_column(
            name, justify="left" if text else "right", overflow="fold", min_width=12 if name == "way to answer" else None
        )
    for cells in rows(report, most):
        table.add_row(*cells, style="bold" if cells[0] == "→" else None)
    console.print(table)
    if left := hidden(report, most):
        console.print(f"{left} more are dominated or slower; the JSON has them all.")
    for said in sentences(report):
        console.print(said, highlight=False, markup=False)
    for note in report.notes:
        console.print(f"· {note}", style="dim", highlight=False, markup=False)


def _unjudged(report: PlanReport) -> list[str]:
    """A warning where the chosen way may answer worse than the whole model, and nobody measured how much."""
    taken = next((p for p in report.placements if p.name == report.chosen), None)
    if taken is None or taken.exact or taken.quality is not None:
        return []
    same = [p for p in report.placements if p.fits and p.exact]
    best = min(same, key=lambda p: _order(p, None), default=None)
    other = (
        f"of the ways that give the model's own answers {best.name} comes first"
        if best
        else "no way with the model's own answers fits"
    )
    return [f"The quality of {taken.name} is unknown: measure it before you rely on it; {other}."]


def _row(p: Row, chosen: str | None) -> tuple[str, ...]:
    return (
        "→" if p.name == chosen else "✓" if p.fits else "✗",
        p.name,
        _figure(p.latency, 1e3),
        _figure(p.latency_p95, 1e3),
        _figure(p.device_time, 1e3),
        _figure(p.edge_time, 1e3),
        _figure(p.bytes_up, 1e-3),
        _figure(p.device_energy, 1e3),
        "?" if p.quality is None else f"{p.quality:.3f}",
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
