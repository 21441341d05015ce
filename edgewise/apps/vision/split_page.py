"""A report on split inference as one page that needs nothing else, and its pictures beside it.

    quality.png   quality against bytes of the whole frame, with intervals: splits, pictures, the uncut model
    latency.png   latency against the rate of the uplink: lines cross at the break-even rates
    region.png    who wins on the plane of link rate × device speed: local, split or the picture

Colours are those of Okabe and Ito (2008); markers and dashes say the same without colour.
"""

from __future__ import annotations

import base64
import html
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgewise.apps.vision.split_outcome import PointRow, SplitReport
from edgewise.plan.break_even import spoken
from edgewise.plan.map import COLOURS, draw_plane

MARKS = {"split": "o", "image": "s", "local": "^", "exit": "D"}
DASHES = ("-", "--", "-.", ":")
MOST_LINES = 10
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "table{border-collapse:collapse;font-size:.9rem}td,th{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ccc}"
    "td:first-child,th:first-child{text-align:left}tr.baseline{color:#666}img{max-width:100%}small{color:#555}"
)


def write_page(report: SplitReport, folder: Path) -> Path:
    """Write report.html and the pictures into `folder`; the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"quality": draw_quality, "latency": draw_latency, "region": draw_region}
    drawn = [name for name, draw in pictures.items() if draw(report, folder / f"{name}.png")]
    page = folder / "report.html"
    page.write_text(_page(report, [(name, (folder / f"{name}.png").read_bytes()) for name in drawn]), encoding="utf-8")
    return page


def draw_quality(report: SplitReport, file: Path) -> bool:
    """Quality against bytes of the whole frame, with 95 % intervals; False where nothing crosses."""
    rows = [r for r in report.points if r.bytes_mean > 0]
    if not rows:
        return False

    def plot(axes: Any) -> None:
        groups = {(r.mode, r.baseline): [x for x in rows if (x.mode, x.baseline) == (r.mode, r.baseline)] for r in rows}
        for ((mode, baseline), of), colour in zip(groups.items(), itertools.cycle(COLOURS)):
            of = sorted(of, key=lambda r: r.bytes_mean)
            spread = [[r.quality - r.quality_low for r in of], [r.quality_high - r.quality for r in of]]
            spread = [[max(0.0, v) for v in side] for side in spread]
            label = "JPEG of what the model takes" if baseline else {"split": "split", "image": "picture"}.get(mode, mode)
            axes.errorbar(
                [r.bytes_mean for r in of], [r.quality for r in of], yerr=spread, fmt=MARKS[mode] + "-", color=colour, capsize=3,
                label=label,
            )  # fmt: skip
            for r in () if baseline else of:
                axes.annotate(r.name, (r.bytes_mean, r.quality), textcoords="offset points", xytext=(5, -12), fontsize=9)
        if report.uncut is not None:
            axes.axhline(report.uncut, color="black", linestyle=":", label="the uncut model")
        axes.set(xscale="log", xlabel="bytes of the whole frame on the socket", ylabel=f"{report.metric} by {report.quality_of}")

    return _draw(file, f"{report.bundle}: quality against bytes", plot)


def draw_latency(report: SplitReport, file: Path) -> bool:
    """Latency against the uplink's rate, for the ways that are the fastest somewhere and the bundle's own; False if unknown."""
    leading = [s.name for s in (*report.fastest_at_quality, *report.fastest)]
    known = [r for r in report.points if r.curve]
    shown = sorted(known, key=lambda r: (r.name not in leading, r.baseline, -r.quality))[:MOST_LINES]
    if not shown:
        return False

    def plot(axes: Any) -> None:
        styles = itertools.cycle(itertools.product(DASHES, COLOURS))
        for row, (dash, colour) in zip(shown, styles):
            label = f"{row.name} ({row.quality:.3f})"
            axes.plot(report.rates, [1e3 * t for t in row.curve], linestyle=dash, color=colour, linewidth=2, label=label)
        axes.axvline(report.link_rate, color="black", linestyle=":", linewidth=1, label=f"mean of {report.link}")
        axes.set(xscale="log", yscale="log", xlabel="rate of the uplink (bit/s)", ylabel=f"latency on {report.device} (ms)")

    return _draw(file, f"{report.bundle}: latency against the link's rate (quality in brackets)", plot)


def draw_region(report: SplitReport, file: Path) -> bool:
    """The plane of link rate × device speed; False where the device's seconds are unknown."""
    if report.between is None:
        return False
    star = (report.link_rate, f"{report.link}, {report.device}")
    draw_plane(report.between, f"{report.bundle}: who is the fastest", report.device, star, file)
    return True


def _draw(file: Path, title: str, plot: Callable[[Any], None]) -> bool:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    plot(axes)
    axes.set_title(title, loc="left", fontsize=13)
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize=9)
    figure.savefig(file, format="png")
    return True


def _page(report: SplitReport, pictures: Sequence[tuple[str, bytes]]) -> str:
    said = "".join(f"<p>{html.escape(s)}</p>" for s in report.sentences)
    shown = "".join(
        f'<h2>{name.capitalize()}</h2><img alt="{name}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        for name, png in pictures
    )
    equal = "".join(f"<li>{html.escape(str(e))}</li>" for e in report.break_even if e.rate is not None)
    left = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in report.unreadable.values())
    notes = "".join(f"<li>{html.escape(n)}</li>" for n in report.notes)
    title = html.escape(f"{report.bundle} on {report.data}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1><p><small>bundle {report.address}; {report.n} samples; {html.escape(report.device)} over "
        f"{html.escape(report.link)} ({spoken(report.link_rate)} on average)</small></p>{said}"
        f"{_table(report)}{shown}<h2>Break-even rates</h2><ul>{equal or '<li>none</li>'}</ul>"
        + (f"<h2>Samples that could not be read</h2><ul>{left}</ul>" if left else "")
        + f"<h2>How the figures came about</h2><ul>{notes}</ul></html>\n"
    )


def _table(report: SplitReport) -> str:
    names = (
        "point",
        "frame bytes",
        "95 %",
        report.metric,
        "95 %",
        "device ms",
        "edge ms",
        "latency ms",
        "p95 ms",
        "mJ (modelled)",
    )
    head = "".join(f"<th>{html.escape(n)}</th>" for n in names)
    return f"<table><tr>{head}</tr>{''.join(_cells(r) for r in report.points)}</table>"


def _cells(r: PointRow) -> str:
    def ms(value: float | None) -> str:
        return "?" if value is None else "∞" if value == float("inf") else f"{1e3 * value:.3g}"

    cells = (
        r.name,
        f"{r.bytes_mean:,.0f}",
        f"{r.bytes_low:,.0f}–{r.bytes_high:,.0f}",
        f"{r.quality:.3f}",
        f"{r.quality_low:.3f}–{r.quality_high:.3f}",
        *(ms(v) for v in (r.device_seconds, r.edge_seconds, r.latency, r.latency_p95, r.energy)),
    )
    kind = ' class="baseline"' if r.baseline else ""
    return f"<tr{kind}>{''.join(f'<td>{html.escape(c)}</td>' for c in cells)}</tr>"
