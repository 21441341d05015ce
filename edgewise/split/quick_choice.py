"""Which cut is taken: the quickest under the cost model where a device and a link are named, else the one of the least bytes.

Without a device and a link nobody knows what work is worth; then a cut counts only if its tail leaves the edge a share of the
work, or the last cut of every network would win, behind which there is nothing to split. Times of device and edge are modelled
(`edgewise.plan.machines`); those of the coder are the plan's own figures.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from edgewise.core.graph import Graph
from edgewise.core.placement import Placement
from edgewise.plan import coding
from edgewise.plan.break_even import steady
from edgewise.plan.candidates import ANSWER
from edgewise.plan.evaluate import evaluate
from edgewise.plan.machines import machines
from edgewise.profiles.load import load_link
from edgewise.split.cuts import Candidate
from edgewise.split.outcome import CutRow
from edgewise.split.request import Quick
from edgewise.split.subject import Subject


def choice(rows: Sequence[CutRow], subject: Subject, config: Quick) -> tuple[CutRow, str]:
    """The best cut and why, in words."""
    good = [r for r in rows if r.agreement.value >= subject.least]
    shown = f"{subject.measure.metric} of at least {subject.least:.2f}"
    if not good:
        best = max(rows, key=lambda r: (r.agreement.value, -r.bytes))
        return best, f"no cut reached a {shown} on samples that calibrated nothing; this one came nearest"
    timed = [r for r in good if r.seconds is not None]
    if timed:
        best = min(timed, key=lambda r: r.seconds or 0.0)
        return best, f"the least latency with {config.device} over {config.link} among the cuts with a {shown}"
    working = [r for r in good if 1 - r.share >= config.edge_share]
    best = min(working or good, key=lambda r: r.bytes)
    left = f" and {config.edge_share:.0%} of the work or more for the edge" if working else ""
    return best, f"the least bytes among the cuts with a {shown}{left}"


def timed(
    graph: Graph, tried: Sequence[Candidate], rows: Sequence[CutRow], config: Quick
) -> tuple[list[CutRow], tuple[str, ...]]:
    """The rows with modelled seconds from picture to answer, and where these are from; unknown times stay None."""
    here, there, notes = machines(config.device, config.edge)
    link = steady(load_link(config.link))
    found = []
    for candidate, row in zip(tried, rows, strict=True):
        head, tail = graph.part(candidate.cut.head, "head"), graph.part(candidate.cut.tail, "tail")
        parts = (
            here.part("head and code", "device", here.timed(head), coding.QUANTISE * candidate.count),
            there.part("code and tail", "edge", there.timed(tail), coding.RESTORE * candidate.count),
        )
        back = min(float(graph.bytes(graph.outputs)), ANSWER)
        placement = Placement(row.tensor, parts, (row.bytes, back))
        seconds = evaluate(placement, {"device": here.device, "edge": there.device}, link).latency
        found.append(replace(row, seconds=seconds))
    return found, notes
