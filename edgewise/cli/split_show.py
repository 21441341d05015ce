"""What the verbs of split inference print: the table of a report, the points of a bundle that was made, a bar while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from edgewise.apps.vision.split_outcome import PointRow, SplitReport
    from edgewise.core.placement import OperatingPoint
    from edgewise.split.fit import Fitted
    from edgewise.split.outcome import Report

NAMED = 5  # of the samples that could not be read, those that are printed


def show_report(found: SplitReport, screen: Console) -> None:
    """The table, then what it says in sentences, then what was left out, then where the figures are from."""
    title = f"{found.bundle} on {found.data} ({found.n} samples): {found.metric} by {found.quality_of}"
    screen.print(_rows(title, found.metric, [(r.name, r) for r in found.points]))
    if found.uncut is not None:
        screen.print(f"The uncut model has {found.metric} {found.uncut:.3f} on the same samples.", highlight=False)
    if found.filter_recall is not None:
        screen.print(
            f"The filter let {found.filter_recall:.1%} of the {found.filter_n} samples go that had something in them.",
            highlight=False,
        )
    for sentence in found.sentences:
        screen.print(sentence, highlight=False, markup=False)
    show_left(found.unreadable, screen)
    for note in found.notes:
        screen.print(f"· {note}", style="dim", highlight=False, markup=False)


def show_compared(reports: Mapping[str, SplitReport], screen: Console) -> None:
    """The points of several bundles on the same samples in one table; the baselines, which are the same for all, once."""
    first = next(iter(reports.values()))
    rows = [(f"{name}: {r.name}", r) for name, one in reports.items() for r in one.points if r.mode == "split"]
    rows += [(r.name, r) for r in first.points if r.mode != "split"]
    title = f"{len(reports)} bundles on {first.data} ({first.n} samples): {first.metric} by {first.quality_of}"
    screen.print(_rows(title, first.metric, rows))
    for name, one in reports.items():
        if one.uncut is not None:
            screen.print(f"The uncut model of {name} has {one.metric} {one.uncut:.3f}.", highlight=False)
        show_left(one.unreadable, screen)


def _rows(title: str, metric: str, points: Sequence[tuple[str, PointRow]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("point", overflow="fold", min_width=12)
    for name in ("frame bytes", "p95", metric, "95 % interval", "device ms", "edge ms", "latency ms", "p95 ms", "mJ"):
        table.add_column(name, justify="right")
    for name, r in points:
        table.add_row(
            name,
            f"{r.bytes_mean:,.0f}",
            f"{r.bytes_p95:,.0f}",
            f"{r.quality:.3f}",
            f"{r.quality_low:.3f}–{r.quality_high:.3f}",
            f"{1e3 * r.device_seconds:.1f}",
            f"{1e3 * r.edge_seconds:.1f}",
            _scaled(r.latency),
            _scaled(r.latency_p95),
            _scaled(r.energy),
            style="dim" if r.baseline else None,
        )
    return table


def _scaled(value: float | None) -> str:
    if value is None:
        return "?"
    return "∞" if value == float("inf") else f"{1e3 * value:,.0f}" if value >= 0.1 else f"{1e3 * value:.3g}"


def show_cuts(found: Report, screen: Console) -> None:
    """Every cut that was tried, the chosen one marked, the JPEGs beside, the points of the bundle."""
    from rich import box
    from rich.table import Table

    title = f"{found.model}: {found.metric} with the uncut model, on {found.judged} samples"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("cut at", overflow="fold", min_width=12)
    for name in ("work in front", "float16 bytes", "frame bytes", "fewer by", "channels sent", found.metric, "95 % interval"):
        table.add_column(name, justify="right")
    for c in found.cuts:
        a = c.agreement
        cells = (f"{c.share:.0%}", f"{c.raw:,}", f"{c.bytes:,.0f}", f"{c.ratio:.1f} ×", f"{c.sent} of {c.channels}")
        worth = (f"{a.value:.4f}", f"{a.low:.4f}–{a.high:.4f}")
        table.add_row(c.tensor, *cells, *worth, style="bold" if c.tensor == found.chosen else None)
    for image in found.jpegs:
        a = image.agreement
        worth = (f"{a.value:.4f}", f"{a.low:.4f}–{a.high:.4f}")
        table.add_row(f"JPEG {image.quality} at model size", "", "", f"{image.bytes:,.0f}", "", "", *worth, style="dim")
    screen.print(table)
    screen.print(f"Cut at {found.chosen}: {found.why}", highlight=False, markup=False)
    show_points(found.points, f"the points of {found.folder}", screen)
    for note in found.notes:
        screen.print(note, highlight=False, markup=False)
    show_left(dict(found.left), screen)
    screen.print(
        f"bundle {found.address[:12]} in {found.folder}; next: edgewise split report {found.folder} --data …", highlight=False
    )


def show_points(points: Sequence[OperatingPoint], title: str, screen: Console) -> None:
    """The operating points of a bundle that was just made."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("point", "payload bytes", "quality", "95 % interval", "n", "device ms here", "edge ms here"):
        table.add_column(name, justify="left" if name == "point" else "right")
    for p in points:
        q = p.quality.get("all")
        cells = ("?", "?", "?") if q is None else (f"{q.value:.4f}", f"{q.low:.4f}–{q.high:.4f}", f"{q.n:,}")
        table.add_row(p.name, f"{p.bytes_up:,.0f}", *cells, f"{1e3 * p.device_time:.2f}", f"{1e3 * p.edge_time:.2f}")
    screen.print(table)


def show_rates(done: Fitted, screen: Console) -> None:
    """The points of all bundles that a training made, in one table; what they are of, and what comes next."""
    if len(done.manifests) == 1:
        show_points(done.manifest.points, f"{done.manifest.name}: {done.measure}", screen)
    else:
        split = [
            msgspec.structs.replace(p, name=f"{folder.name}/{p.name}")
            for folder, manifest in zip(done.folders, done.manifests, strict=True)
            for p in manifest.points
            if p.mode != "image"
        ]
        pictures = [p for p in done.manifest.points if p.mode == "image"]
        show_points([*split, *pictures], f"{done.folder.parent}: {done.measure}", screen)
    for sentence in (*done.told, *(f"{m.name}: {m.provenance['trained']}." for m in done.manifests)):
        screen.print(sentence, highlight=False, markup=False)
    screen.print(f"{done.manifest.provenance['data']}.", highlight=False, markup=False)
    for folder, manifest in zip(done.folders, done.manifests, strict=True):
        screen.print(f"bundle {manifest.address[:12]} in {folder}", highlight=False, soft_wrap=True)
    screen.print(
        f"{done.steps:,} steps in {done.seconds:,.0f} s; next: edgewise split report {done.folder} --data …", highlight=False
    )


def show_left(left: Mapping[str, str], screen: Console) -> None:
    """How many samples could not be read, and the first of them."""
    if not left:
        return
    screen.print(f"[yellow]{len(left)} samples could not be read and were left out:[/]")
    for name, why in list(left.items())[:NAMED]:
        screen.print(f"  {why}" if name in why else f"  {name}: {why}", highlight=False, markup=False)


@contextmanager
def bar(screen: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for what is said as (what, done, of how much); it is gone at the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        tasks: dict[str, int] = {}

        def heard(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = int(progress.add_task(what, total=total))
            progress.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

        yield heard


@contextmanager
def share_bar(screen: Console) -> Iterator[Callable[[str, float], None]]:
    """The same for work that says what share of it is done."""
    with bar(screen) as heard:
        yield lambda what, share: heard(what, round(100 * min(max(share, 0.0), 1.0)), 100)
