"""Figures of latency: every way over link rates, and who wins over link rate and device speed.

Both are at equal accuracy, with the edge server of this machine. The region is the planner's (`edgewise.plan.between`): its
cells are the ratios of the plane, so a share is one of the drawn picture, not of anybody's links.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.rates.boards import Board
from bench.rates.recipes import DROP
from bench.rates.ways import FINE, ROUND_TRIPS, Way, cost, line, link, placement
from bench.report import Row
from edgewise.plan.between import Between, between
from edgewise.plan.candidates import Candidate
from edgewise.plan.map import COLOURS, draw_plane
from edgewise.plan.region import Scene

STAR = 1e6  # bit/s of the plan that the region map marks
STYLES = {"local": ":", "split": "-", "image": "--"}


def drawn(ways: Sequence[Way], boards: Sequence[Board], server: Board) -> bytes:
    """Latency over link rate as a PNG, a panel for each board: what is local dotted, pictures dashed, splits whole lines."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.8, 6.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(1, len(boards), sharey=True, squeeze=False)[0]
    best_first = sorted(ways, key=lambda w: line(w, boards[0], server, ROUND_TRIPS[0]).latency(STAR))
    for axes, here in zip(rows, boards, strict=True):
        for i, way in enumerate(best_first):
            seconds = [1e3 * cost(way, here, server, link(rate, ROUND_TRIPS[0])).latency for rate in FINE]
            axes.plot(
                FINE, seconds, STYLES[way.kind], color=COLOURS[i % len(COLOURS)], lw=2 if i < len(COLOURS) else 1, label=way.name
            )
        axes.set(xscale="log", yscale="log")
        axes.set_title(f"{here.device.title}: {'measured' if here.name == 'this' else 'modelled'}", loc="left", fontsize=12)
        axes.set_xlabel("link rate (bit/s)", fontsize=11)
        axes.grid(True, which="both", alpha=0.3)
    rows[0].set_ylabel(f"picture to answer (ms), round trip {1e3 * ROUND_TRIPS[0]:g} ms", fontsize=11)
    handles, labels = rows[0].get_legend_handles_labels()
    figure.suptitle(f"Every way at the teacher's accuracy less {100 * DROP:g} points", x=0.01, ha="left", fontsize=13)
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=10, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def region(ways: Sequence[Way], here: Board, server: Board, told: str) -> tuple[list[Row], Between]:
    """Who wins by kind over link rate and device speed (1: the board), and the shares of the plane; `told` names it."""
    candidates = [Candidate(placement(w, here, server), w.kind, w.name, w.accuracy) for w in ways if w.crosses == 1]
    scene = Scene({"device": here.device, "edge": server.device}, link(STAR, ROUND_TRIPS[0]))
    found = between(candidates, scene)
    case = f"region, {told}, {1e3 * ROUND_TRIPS[0]:g} ms round trip"
    rows = [
        Row(case, f"share of the plane, {kind}", 100 * share, "%", provenance="modelled") for kind, share in found.share.items()
    ]
    if found.rates is not None:
        rows.append(Row(case, "split wins at rates up to", found.rates[1], "bit/s", 1, *found.rates, "modelled"))
    return rows, found


def plane(found: Between, here: Board, told: str) -> bytes:
    """The region as a PNG; the star is 1 Mbit/s on the board."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "region.png"
        draw_plane(found, told, here.name, (STAR, "1 Mbit/s"), file)
        return file.read_bytes()
