"""The fleet and the audit log for a terminal: tables that fit its width, and one line a rollout with its guard."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgewise.apps.vision.fleet import Fleet, GuardRow, NodeRow, RolloutRow, Running
from edgewise.node.delivery.audit import Entry
from edgewise.node.delivery.guard import shown

UNKNOWN = "–"
WIDE = 130  # columns of a terminal from which budgets and links have columns of their own
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
    table = Table("", "when", "who", "what", "to what", "sentence", box=None, padding=(0, 2, 0, 0))
    for entry in entries:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at))
        words = (str(entry.number), when, entry.who or "the server", entry.what, entry.subject, entry.sentence)
        table.add_row(*(Text(word) for word in words))
    return table


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


def _nodes(fleet: Fleet, width: int) -> Table:
    wide = width >= WIDE
    heads = ["node", "runs", "wants", "frames", "failed", "p95", "quality", "outbox", "link", "certificate"]
    table = Table(*heads, *(["budget"] if wide else []), box=None, padding=(0, 2, 0, 0))
    for name in ("frames", "failed", "p95", "quality", "outbox"):
        table.columns[heads.index(name)].justify = "right"
    for row in fleet.nodes:
        for i, model in enumerate(row.models or (None,)):
            table.add_row(*_cells(row, model, fleet.at, wide) if i == 0 else _more(model, wide))
    if not fleet.nodes:
        table.add_row(Text("none yet", "dim"))
    return table


def _cells(row: NodeRow, model: Running | None, now: float, wide: bool) -> list[Text]:
    name = Text.assemble((row.node, "bold"), (f" {row.role}" if row.role != "device" else "", "dim"))
    cells = [name, *_versions(model)]
    cells += [_count(row.frames), _count(row.failed), Text(UNKNOWN if row.p95 is None else f"{row.p95 * 1e3:.0f} ms")]
    cells += [_quality(model), _count(row.outbox), _link(row, now), _certificate(row.expires, now)]
    return [*cells, Text(row.budget or UNKNOWN)] if wide else cells


def _more(model: Running | None, wide: bool) -> list[Text]:
    return [Text(""), *_versions(model), Text(""), Text(""), Text(""), _quality(model)] + [Text("")] * (4 if wide else 3)


def _versions(model: Running | None) -> list[Text]:
    if model is None:
        return [Text(UNKNOWN), Text(UNKNOWN)]
    runs = Text(f"{model.model} {_version(model.running, model.running_version)}")
    wants = Text("" if model.wanted == model.running else _version(model.wanted, model.wanted_version) + " ")
    if model.step is not None:
        wants.append(model.step, _TONES.get(model.step, "yellow"))
    if model.canary:
        wants.append(" canary", "dim")
    if model.sentence and model.step not in (None, "good"):
        wants.append(f": {model.sentence}", "dim")
    return [runs, wants]


def _version(address: str, number: int | None) -> str:
    return (f"v{number} " if number is not None else "") + (address[:8] or UNKNOWN)


def _quality(model: Running | None) -> Text:
    health = model.health if model is not None else None
    if health is None or health.quality is None:
        return Text(UNKNOWN)
    gap = f" {shown('quality', health.quality.value - health.before.value)}" if health.before is not None else ""
    return Text(f"{health.quality.value:.3f}{gap}")


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
    return Text(f"{_span(left)} left" if left > 0 else "has ended", "" if left > 14 * 86400 else "yellow" if left > 0 else "red")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} days"
