"""The fleet and the audit log for a terminal: a line a rollout with its guard, and tables that never cut a word.

A node has one line where all of them fit so, and two where they do not. What it says of a step is a sentence below the table.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgewise.apps.vision.fleet import Fleet, GuardRow, NodeRow, RolloutRow, Running
from edgewise.node.delivery.audit import Entry
from edgewise.node.delivery.guard import shown

UNKNOWN = "–"
_TONES = {"good": "green", "refused": "red", "failed": "red", "reverted": "red"}
_STAGES = {"done": "green", "reverted": "red"}
_VERDICTS = {
    "holds": ("✓", "green"),
    "broken": ("✗", "red"),
    "holds so far": ("·", "green"),
    "broken so far": ("·", "red"),
    "unknown": ("?", "yellow"),
}


def fleet_screen(fleet: Fleet, width: int) -> RenderableType:
    """Rollouts above, nodes below."""
    parts: list[RenderableType] = [_rollout(row) for row in fleet.rollouts]
    if not fleet.rollouts:
        parts.append(Text("no rollout yet", "dim"))
    return Group(*parts, _nodes(fleet, width))


def audit_screen(entries: Sequence[Entry]) -> Table:
    table = Table("", "when", "who", "what", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[:3]:
        column.no_wrap = True
    for entry, times in _runs_of(entries):
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at))
        what = Text.assemble((entry.what, "bold"), f" {entry.subject}" if entry.subject else "")
        what.append(f": {entry.sentence}" if entry.sentence else "", "dim")
        what.append(f" (the last of {times} such rows)" if times > 1 else "", "yellow")
        table.add_row(Text(str(entry.number)), Text(when), Text(entry.who or "the server"), what)
    return table


def _runs_of(entries: Sequence[Entry]) -> list[tuple[Entry, int]]:
    """Entries that follow each other and say the same, as the newest of them and how many they are."""
    groups = groupby(entries, key=lambda entry: (entry.who, entry.what, entry.subject, entry.sentence))
    alike = [list(group) for _, group in groups]
    return [(group[0], len(group)) for group in alike]


def _rollout(row: RolloutRow) -> Text:
    line = Text.assemble((row.channel, "bold"), f"  {row.model} v{row.version} {row.address[:8]}  ")
    line.append(row.stage, _STAGES.get(row.stage, "yellow"))
    line.append(f"  {row.steps.get('good', 0)} of {row.nodes} good; canaries: {', '.join(row.canaries) or 'none yet'}\n")
    for guard in row.guard:
        sign, tone = _VERDICTS[guard.verdict]
        line.append(f"  {sign} ", tone)
        line.append(_guard(guard) + "\n")
    line.append(f"  {row.why}\n" if row.why else "")
    return line


def _guard(row: GuardRow) -> str:
    if row.value is None:
        return f"{row.condition}: not measured yet"
    return f"{row.condition}: {shown(row.subject, row.value)} at the worst, on {row.node} ({row.measured} of {row.of})"


def _nodes(fleet: Fleet, width: int) -> RenderableType:
    if not fleet.nodes:
        return Text("no node yet", "dim")
    ruler = Console(width=1000)
    full, short = _one_line(fleet, True), _one_line(fleet, False)
    if ruler.measure(full).maximum <= width:
        return Group(full, *_sentences(fleet))
    table = short if ruler.measure(short).maximum <= width else _two_lines(fleet)
    return Group(table, *_sentences(fleet), *_budgets(fleet))


def _one_line(fleet: Fleet, budget: bool) -> Table:
    heads = ["node", "runs", "wants", "frames", "failed", "p95", "quality", "outbox", "link", "certificate"]
    table = Table(*heads, *(["budget"] if budget else []), box=None, padding=(0, 2, 0, 0))
    for name in ("frames", "failed", "p95", "quality", "outbox"):
        table.columns[heads.index(name)].justify = "right"
    for row in fleet.nodes:
        for i, model in enumerate(row.models or (None,)):
            runs, wants = _runs(model), _wants(model)
            if i:
                table.add_row(Text(""), runs, wants, *[Text("")] * 3, _quality(model))
                continue
            cells = [_name(row), runs, wants, _count(row.frames), _count(row.failed), _p95(row), _quality(model)]
            cells += [_count(row.outbox), _link(row, fleet.at), _certificate(row.expires, fleet.at)]
            table.add_row(*cells, *([Text(row.budget or UNKNOWN)] if budget else []))
    return table


def _two_lines(fleet: Fleet) -> Table:
    """Each cell has a second line: what is wanted, p95 and quality, the certificate."""
    table = Table("node", "runs, wants", "frames, p95, quality", "link, certificate", box=None, padding=(0, 2, 0, 0))
    table.columns[0].overflow = "fold"
    for row in fleet.nodes:
        for i, model in enumerate(row.models or (None,)):
            versions, quality = _lines(_runs(model), _wants(model)), _quality(model)
            if i:
                table.add_row(Text(""), versions, quality)
                continue
            seen = Text.assemble(_count(row.frames), " frames, ", _count(row.failed), " failed")
            held = Text.assemble(_certificate(row.expires, fleet.at), "; outbox ", _count(row.outbox))
            figures = _lines(seen, Text.assemble(_p95(row), ", ", _quality(model)))
            table.add_row(_name(row), versions, figures, _lines(_link(row, fleet.at), held))
    return table


def _lines(*lines: Text) -> Text:
    return Text("\n").join(lines)


def _sentences(fleet: Fleet) -> list[Text]:
    """What nodes say of a version that is not simply in use."""
    told = [(row, m) for row in fleet.nodes for m in row.models if m.sentence and m.step not in (None, "good")]
    return [Text.assemble((row.node, "bold"), (f" {m.model} {m.step}: {m.sentence}", "dim")) for row, m in told]


def _budgets(fleet: Fleet) -> list[Text]:
    return [Text.assemble((row.node, "bold"), (f" keeps to {row.budget}", "dim")) for row in fleet.nodes if row.budget]


def _name(row: NodeRow) -> Text:
    return Text.assemble((row.node, "bold"), (f" {row.role}" if row.role != "device" else "", "dim"))


def _p95(row: NodeRow) -> Text:
    return Text(UNKNOWN if row.p95 is None else f"{row.p95 * 1e3:.0f} ms")


def _runs(model: Running | None) -> Text:
    if model is None:
        return Text(UNKNOWN)
    return Text(f"{model.model} {_version(model.running, model.running_version)}")


def _wants(model: Running | None) -> Text:
    """The version that it is to run where that is another one, and how far it is."""
    if model is None:
        return Text(UNKNOWN)
    wants = Text("" if model.wanted == model.running else _version(model.wanted, model.wanted_version) + " ")
    if model.step is not None:
        wants.append(model.step, _TONES.get(model.step, "yellow"))
    if model.canary:
        wants.append(" canary", "dim")
    return wants


def _version(address: str, number: int | None) -> str:
    return (f"v{number} " if number is not None else "") + (address[:8] or UNKNOWN)


def _quality(model: Running | None) -> Text:
    health = model.health if model is not None else None
    if health is None or health.quality is None:
        return Text(UNKNOWN)
    gap = health.quality.value - health.before.value if health.before is not None else None
    change = "" if gap is None else f" {'+' if gap > 0 else ''}{shown('quality', gap)}"
    return Text(f"{health.quality.value:.3f}{change}")


def _count(n: int | None) -> Text:
    return Text(UNKNOWN if n is None else f"{n:,}")


def _link(row: NodeRow, now: float) -> Text:
    if row.connected:
        return Text("connected" if row.link_rate is None else f"{row.link_rate / 1e6:.3g} Mbit/s", "green")
    return Text("never heard of" if row.heard is None else f"away for {_span(now - row.heard)}", "red")


def _certificate(ends: float | None, now: float) -> Text:
    if ends is None:
        return Text(UNKNOWN)
    left = ends - now
    return Text(_span(left) if left > 0 else "has ended", "" if left > 14 * 86400 else "yellow" if left > 0 else "red")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} days"
