"""The map of a plan as a picture: the best way to answer over link rate × device speed.

Colours are those of Okabe and Ito (2008), which people of every kind of colour vision tell apart; the names written into the
larger areas and the borders say the same without colour, and hatches come in where eight colours are not enough. A star marks
the link and the device of the plan.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.plan.region import NOTHING, Region

if TYPE_CHECKING:
    from edgewise.plan.between import Between
    from edgewise.plan.report import PlanReport

KINDS = {"local": ("#E69F00", ""), "split": ("#56B4E9", ""), "picture": ("#009E73", ""), NOTHING: ("white", "")}
COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999")
HATCHES = ("//", "..", "\\\\", "xx", "++", "oo", "--", "||")
_LABELLED = 0.05  # share of the map from which an area carries its name


def draw_map(report: PlanReport, file: str | Path) -> None:
    """Write the map as a PNG of 1280 × 800 pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(12.8, 8.0), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    keys: list[Any] = []
    for (name, cells), (colour, hatch) in zip(areas(report.map).items(), itertools.cycle(_styles())):
        style: dict[str, Any] = {
            "facecolor": "white" if name == NOTHING else colour,
            "hatch": "" if name == NOTHING else hatch,
            "edgecolor": "#00000066",
        }
        _fill(axes, report.map, cells, style)
        keys.append(Patch(label=_wrapped(name, 44), **style))
        if len(cells) >= _LABELLED * len(report.map.rates) * len(report.map.speeds):
            _label(axes, report.map, cells, name)
    _borders(axes, report.map)
    if 0 < report.link_rate < math.inf:
        star: dict[str, Any] = {
            "marker": "*",
            "markersize": 20,
            "color": "black",
            "markeredgecolor": "white",
            "linestyle": "none",
        }
        keys += axes.plot([report.link_rate], [1.0], label=f"this plan: {report.link}, {report.device}", zorder=5, **star)
    budget = f"\nwithin {report.budget}" if report.budget else ""
    axes.set_title(f"{report.model}: the best way to answer, by {report.objective}{budget}", loc="left", fontsize=13)
    axes.set_xlabel(f"uplink rate (bit/s); downlink and delay as in {report.link}", fontsize=12)
    axes.set_ylabel(f"speed of the device ({report.device} = 1)", fontsize=12)
    axes.set(xscale="log", yscale="log", xlim=_ends(report.map.rates), ylim=_ends(report.map.speeds))
    axes.tick_params(labelsize=11)
    figure.legend(handles=keys, loc="outside lower center", ncols=2, fontsize=10, frameon=False)
    figure.savefig(file, format="png")


def draw_plane(it: Between, title: str, device: str, star: tuple[float, str], file: str | Path) -> None:
    """Write who wins by kind (local, split, the picture) as a PNG: a colour a kind, always the same, and its share of the plane.

    `star` is the uplink rate of a plan and what it is called; it stands at speed 1.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(12.8, 8.0), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    keys: list[Any] = []
    for name, cells in areas(it.map).items():
        style: dict[str, Any] = {"facecolor": KINDS[name][0], "hatch": KINDS[name][1], "edgecolor": "#00000066"}
        _fill(axes, it.map, cells, style)
        keys.append(Patch(label=f"{name}, {it.share[name]:.0%} of the plane", **style))
        if len(cells) >= _LABELLED * len(it.map.rates) * len(it.map.speeds):
            _label(axes, it.map, cells, "split: the effective intermediate option" if name == "split" else name)
    _borders(axes, it.map)
    rate, told = star
    if 0 < rate < math.inf:
        looks: dict[str, Any] = {"marker": "*", "markersize": 20, "color": "black", "markeredgecolor": "white"}
        keys += axes.plot([rate], [1.0], label=told, zorder=5, linestyle="none", **looks)
    asked = "" if it.floor is None else f", among ways with a quality of {it.floor:.3f} or more"
    axes.set_title(f"{title}, by latency{asked}", loc="left", fontsize=13)
    axes.set_xlabel("uplink rate (bit/s)", fontsize=12)
    axes.set_ylabel(f"speed of the device ({device} = 1)", fontsize=12)
    axes.set(xscale="log", yscale="log", xlim=_ends(it.map.rates), ylim=_ends(it.map.speeds))
    axes.tick_params(labelsize=11)
    figure.legend(handles=keys, loc="outside lower center", ncols=4, fontsize=11, frameon=False)
    figure.savefig(file, format="png")


def areas(region: Region) -> dict[str, list[tuple[int, int]]]:
    """The cells of each name, the largest area first; where nothing fits comes last."""
    found: dict[str, list[tuple[int, int]]] = {}
    for i, row in enumerate(region.best):
        for j, index in enumerate(row):
            found.setdefault(region.names[index], []).append((i, j))
    return dict(sorted(found.items(), key=lambda item: (item[0] == NOTHING, -len(item[1]), item[0])))


def _styles() -> list[tuple[str, str]]:
    """Colour and hatch of each area: the colours plain first, then again with hatches."""
    return [
        (colour, "" if turn == 0 else HATCHES[(i + turn) % len(HATCHES)]) for turn in range(3) for i, colour in enumerate(COLOURS)
    ]


def _fill(axes: Any, region: Region, cells: Sequence[tuple[int, int]], style: dict[str, Any]) -> None:
    """The cells of one area, those beside each other in a row as one rectangle."""
    from matplotlib.collections import PolyCollection

    x, y = _edges(region.rates), _edges(region.speeds)
    runs: list[tuple[int, int, int]] = []
    for i, j in sorted(cells):
        if runs and runs[-1][0] == i and runs[-1][2] == j:
            runs[-1] = (i, runs[-1][1], j + 1)
        else:
            runs.append((i, j, j + 1))
    corners = [[(x[a], y[i]), (x[b], y[i]), (x[b], y[i + 1]), (x[a], y[i + 1])] for i, a, b in runs]
    axes.add_collection(PolyCollection(corners, linewidths=0, antialiased=False, **style))


def _borders(axes: Any, region: Region) -> None:
    """Lines between cells of different areas."""
    from matplotlib.collections import LineCollection

    x, y, best = _edges(region.rates), _edges(region.speeds), region.best
    rows, columns = range(len(region.speeds)), range(len(region.rates))
    upright = [[(x[j], y[i]), (x[j], y[i + 1])] for i in rows for j in columns[1:] if best[i][j] != best[i][j - 1]]
    level = [[(x[j], y[i]), (x[j + 1], y[i])] for i in rows[1:] for j in columns if best[i][j] != best[i - 1][j]]
    axes.add_collection(LineCollection(upright + level, colors="black", linewidths=1.0))


def _label(axes: Any, region: Region, cells: Sequence[tuple[int, int]], name: str) -> None:
    """The name, in the cell of the area that lies nearest to its middle."""
    middle = [sum(c[k] for c in cells) / len(cells) for k in (0, 1)]
    i, j = min(cells, key=lambda c: ((c[0] - middle[0]) ** 2 + (c[1] - middle[1]) ** 2, c))
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "boxstyle": "round,pad=0.25"}
    axes.text(region.rates[j], region.speeds[i], _wrapped(name, 22), ha="center", va="center", fontsize=10, bbox=box, zorder=4)


def _edges(middles: Sequence[float]) -> list[float]:
    """The borders of cells whose middles are evenly spread in ratio."""
    if len(middles) == 1:
        return [middles[0] / 2, middles[0] * 2]
    inner = [math.sqrt(a * b) for a, b in itertools.pairwise(middles)]
    return [middles[0] ** 2 / inner[0], *inner, middles[-1] ** 2 / inner[-1]]


def _ends(middles: Sequence[float]) -> tuple[float, float]:
    edges = _edges(middles)
    return edges[0], edges[-1]


def _wrapped(name: str, width: int) -> str:
    return "\n".join(textwrap.wrap(name, width)[:3]) or name
