"""The verbs of split inference: `edgewise split quick`, `fit` and `report`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from edgewise.cli.screen import console, write_json
from edgewise.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from edgewise.apps.vision.split_outcome import SplitReport


def report(
    bundle: tyro.conf.Positional[str],
    data: str,
    limit: int = 200,
    link: str = "lte_synthetic",
    device: str = "pi4",
    jpeg: tuple[int, ...] = (20, 35, 50, 75, 90),
    same: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WORD=LABEL")] = (),
    within: float = 0.01,
    address: str = "",
    unreadable: int = 20,
    threads: int = 1,
    seed: int = 0,
    json: Path | None = None,
    out: Path | None = None,
) -> int:
    """What each operating point of a bundle sends, is worth and takes, on your own data: bytes are counted on a real socket.

    Every sample goes through head, coder, connection (TLS, as `serve` and `run` have it), decoder and tail; JPEGs go the same
    way beside them. With labels the quality is top-1, AP50 and AP, or mIoU; without, it is agreement with the uncut model.
    Latency over the link and joules are modelled for the device from the seconds that were measured here.

      edgewise split report bundle/ --data pictures.tar --out report
      edgewise split report vehicles --data coco/ --same car=vehicle truck=vehicle --device pi4 --link lte_synthetic

    Args:
        bundle: the bundle folder; `vehicles` is the one that comes with edgewise.
        data: a folder or .tar: COCO, YOLO, VOC, class folders, masks, or pictures without labels; or .npy arrays.
        limit: samples at most, drawn by the seed.
        link: a link by name (lte_synthetic, wifi_synthetic, …), a trace file, or a rate in Mbit/s.
        device: the device's profile (pi4, jetson_nano, …), a profile file, or `this` for seconds as measured here.
        jpeg: qualities of the JPEGs that are compared with.
        same: words of the labels that mean a label of the bundle, such as car=vehicle.
        within: ways whose quality is at most so far below the best one's count as equally good.
        address: refuse the bundle unless its address begins so (`split quick` and `split fit` print it).
        unreadable: samples that may be unreadable before it is an error; they are named and counted.
        threads: threads of each inference.
        seed: of the draw.
        json: write the report there.
        out: a folder for the report as a page with its pictures (report.html, quality.png, latency.png, region.png).
    """
    from edgewise.apps.vision.split_report import ReportConfig
    from edgewise.apps.vision.split_report import report as made

    screen = console()
    config = ReportConfig(
        bundle=bundle,
        data=data,
        limit=limit,
        link=link,
        device=device,
        jpeg=jpeg,
        same=_pairs(same),
        within=within,
        address=address,
        unreadable=unreadable,
        threads=threads,
        seed=seed,
    )
    with _bar(screen) as heard:
        found = made(config, heard)
    _show(found, screen)
    write_json(json, found)
    if out is not None:
        from edgewise.apps.vision.split_page import write_page

        screen.print(f"written: {write_page(found, out)}", soft_wrap=True, highlight=False)
    return 0


def _show(found: SplitReport, screen: Console) -> None:
    from rich import box
    from rich.table import Table

    title = f"{found.bundle} on {found.data} ({found.n} samples): {found.metric} by {found.quality_of}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("point", overflow="fold", min_width=12)
    for name in ("frame bytes", "p95", found.metric, "95 % interval", "device ms", "edge ms", "latency ms", "p95 ms", "mJ"):
        table.add_column(name, justify="right")
    for r in found.points:
        table.add_row(
            r.name,
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
    screen.print(table)
    if found.uncut is not None:
        screen.print(f"The uncut model has {found.metric} {found.uncut:.3f} on the same samples.", highlight=False)
    if found.filter_recall is not None:
        screen.print(
            f"The filter let {found.filter_recall:.1%} of the {found.filter_n} samples go that had something in them.",
            highlight=False,
        )
    for sentence in found.sentences:
        screen.print(sentence, highlight=False, markup=False)
    if found.unreadable:
        screen.print(f"[yellow]{len(found.unreadable)} samples could not be read and were left out:[/]")
        for sentence in list(found.unreadable.values())[:5]:
            screen.print(f"  {sentence}", highlight=False, markup=False)
    for note in found.notes:
        screen.print(f"· {note}", style="dim", highlight=False, markup=False)


def _scaled(value: float | None) -> str:
    if value is None:
        return "?"
    return "∞" if value == float("inf") else f"{1e3 * value:,.0f}" if value >= 0.1 else f"{1e3 * value:.3g}"


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    wrong = [w for w in words if w.count("=") != 1 or w.startswith("=") or w.endswith("=")]
    if wrong:
        raise ConfigError("a translation of labels is not one", got=", ".join(wrong), allowed="WORD=LABEL, such as car=vehicle")
    return dict(w.split("=") for w in words)


@contextmanager
def _bar(screen: Console) -> Iterator[Callable[[str, int, int], None]]:
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
