"""The figure of the benchmark: accuracy over bytes of a frame, all methods, the teacher as a line, 95 % intervals as whiskers."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from bench.rates.curves import Curve, front
from bench.rates.record import Record

STYLES = {
    "lean": ("tab:red", "o-", "ours"),
    "lean-task": ("darkred", "D--", "ours, encoder tuned for the task"),
    "entropic": ("tab:blue", "s-", "Entropic Student"),
    "bottlefit-coded": ("tab:green", "^-", "BottleFit + our coder"),
    "bottlefit": ("tab:green", "^:", "BottleFit"),
    "cr-bq": ("tab:olive", "v-", "CR+BQ + our coder"),
    "end-to-end": ("tab:brown", "P-", "end to end"),
    "mid": ("tab:pink", "X", "autoencoder in the middle"),
    "image-codec": ("tab:purple", "d:", "factorised-prior image codec"),
    "image-codec-tuned": ("tab:purple", "d-", "the same, tuned tail"),
    "jpeg": ("0.55", "x:", "JPEG, tail as is"),
    "jpeg-tuned": ("0.35", "x--", "JPEG, tuned tail"),
    "jpeg-shared-tuned": ("0.15", "x-", "JPEG, shared tables, tuned tail"),
    "webp-tuned": ("tab:cyan", "+-", "WebP, tuned tail"),
    "avif-tuned": ("tab:orange", "*-", "AVIF, tuned tail"),
    "exits": ("black", "1", "early exits"),
    "local": ("black", "2", "small networks on the device"),
}
LEAST_SHOWN = 0.5  # of accuracy: what is worse is not drawn


def drawn(curves: Mapping[str, Curve], teacher: Record) -> bytes:
    """A PNG; methods without a style are left out of it, not out of the tables."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for name, (colour, style, words) in STYLES.items():
        if name not in curves:
            continue
        one = curves[name]
        if one.mean_bytes.min() <= 0:  # no place on an axis of logarithms: a line at the best that answers without the link
            axes.axhline(100 * one.accuracy.max(), color=colour, linewidth=0.6, linestyle=":", label=f"{words}: no bytes")
            continue
        off = 1.96 * np.sqrt(one.accuracy * (1 - one.accuracy) / one.right.shape[1])
        accuracy, size = front(one.accuracy, one.mean_bytes)
        marker, line = style[0], style[1:] or "none"
        axes.plot(np.exp(size), 100 * accuracy, color=colour, linestyle=line, linewidth=1.2)
        axes.errorbar(
            one.mean_bytes, 100 * one.accuracy, 100 * off, fmt=marker, color=colour, elinewidth=0.5, markersize=5, label=words
        )
    top = 100 * teacher.accuracy
    axes.axhline(top, color="black", linewidth=0.8)
    axes.annotate("teacher", (1, top), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    shown = [100 * a for c in curves.values() for a in c.accuracy if a > LEAST_SHOWN]
    axes.set_ylim(max(100 * LEAST_SHOWN, min(shown, default=50) - 1), max([top, *shown]) + 1.5)
    axes.set(xscale="log", xlabel="bytes of a whole frame (mean)", ylabel="accuracy, %")
    axes.grid(which="both", linewidth=0.3)
    axes.legend(fontsize=7, loc="lower right")
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()
