"""The verbs of adaptation: `edgewise adapt replay` on recorded pictures, `edgewise adapt report` on what a server did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from edgewise.cli.screen import console, write_json
from edgewise.cli.split_show import share_bar

if TYPE_CHECKING:
    from rich.table import Table

    from edgewise.adapt.replay import Replayed


def replay(
    stream: Annotated[str, tyro.conf.arg(metavar="FOLDER|TAR|CLIP|junction:SEED")],
    shift: Annotated[str, tyro.conf.arg(metavar="KIND:SEVERITY,…")],
    bundle: str = "vehicles",
    teacher: Annotated[str, tyro.conf.arg(metavar="FILE.onnx|BUNDLE|torch:MODULE:CALLABLE")] = "",
    methods: tuple[str, ...] = (),
    upload_budget: Annotated[str, tyro.conf.arg(metavar="BYTES/s")] = "20KB/s",
    order: Literal["iid", "sorted", "mixed", "recurring", "gradual", "given"] = "iid",
    each: int | None = None,
    limit: int | None = None,
    rate: float = 10.0,
    recipe: Annotated[Path | None, tyro.conf.arg(metavar="FILE.toml")] = None,
    home: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None,
    delay: int = 1,
    seed: int = 0,
    threads: int = 1,
    json: Path | None = None,
) -> int:
    """What adaptation would do on your own pictures: methods side by side on one stream through weather (needs [train]).

    Every method answers each picture before it learns from it; nobody is told where one domain ends. Labels are those of
    class folders; where there are none, right means: as the teacher says of the picture before the weather.

      edgewise adapt replay --stream frames/ --shift fog:3,night --bundle bundle/
      edgewise adapt replay --stream frames/ --shift fog,clean --bundle bundle/ --teacher big.onnx --order recurring

    Args:
        stream: pictures: a folder or .tar (class folders give labels), a clip, or the rendered junction.
        shift: what they are seen through, one after the other: fog, night, gaussian_noise, blur, motion_blur, contrast, jpeg,
            brightness, rain, sketch, posterised, painted or clean, with a severity of 1 to 5 (5 where none is said).
        bundle: the model; its normalisation must not be folded away.
        teacher: who teaches; without one only what a device does by itself is shown.
        methods: which ones, or `all`; default: none, moving statistics, cascade, random uploads, ours, upload all.
        upload_budget: bytes a second that each of ours may send.
        order: pictures drawn evenly (iid), class after class (sorted), all domains at once (mixed), the row of domains twice
            (recurring), severities that rise and fall (gradual), or as they come (given).
        each: pictures of a domain (default: every one once; more go round again).
        limit: pictures that are opened, at most.
        rate: frames a second, by which bytes a second become bytes a frame.
        recipe: what else ours is told (TOML, fields of edgewise.adapt.recipe.Recipe).
        home: pictures of the model's own domain, on which nothing may be lost.
        delay: after how many batches of 50 frames an update is on the device.
        seed: of everything random.
        threads: threads of inference and training.
        json: write accuracy, uploads, bytes both ways, deltas, reverts, head-room and the timeline there.
    """
    from edgewise.apps.vision.adapting_replay import ReplayConfig, run_replay

    screen = console()
    config = ReplayConfig(
        bundle=bundle,
        stream=stream,
        shift=shift,
        teacher=teacher,
        methods=methods,
        upload=upload_budget,
        order=order,
        each=each,
        limit=limit,
        rate=rate,
        recipe=str(recipe) if recipe else "",
        home=str(home) if home else "",
        delay=delay,
        seed=seed,
        threads=threads,
    )
    with share_bar(screen) as advance:
        shown = run_replay(config, advance)
    screen.print(replay_table(shown.found, f"{bundle} on {stream}, {len(shown.found.number):,} frames, {order}"))
    for sentence in shown.sentences:
        screen.print(sentence, highlight=False, markup=False)
    for note in shown.found.told:
        screen.print(f"· {note}", style="dim", highlight=False, markup=False)
    write_json(json, shown.summary())
    return 0


def replay_table(found: Replayed, title: str) -> Table:
    """A row a method: accuracy by domain, gain over statistics, what went up and down, and what that was worth."""
    from rich import box
    from rich.table import Table

    from edgewise.adapt.replay import STATISTICS

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    over = STATISTICS in found.trails
    heads = (*found.domains, *(("over stat.",) if over else ()), "sent", "KB up", "KB down", "deltas", "B/extra", "ms")
    for name in heads:
        table.add_column(name, justify="right", no_wrap=True)
    accuracy = found.accuracy
    for name, trail in found.trails.items():
        tally, gain = trail.tally, found.gain(name, STATISTICS) if over else None
        price = found.bytes_per_extra(name) if over else None
        undone = f" (-{tally.refused + tally.reverts})" if tally.refused + tally.reverts else ""
        table.add_row(
            name,
            *(f"{100 * share:.1f}" for share in accuracy[name]),
            *((f"{100 * gain.gain:+.1f} ±{100 * 1.96 * gain.error:.1f}",) if gain else ()),
            f"{tally.uploaded_share:.0%}",
            f"{tally.bytes_up / 1e3:,.0f}",
            f"{tally.bytes_down / 1e3:,.0f}",
            f"{tally.deltas}{undone}",
            "" if price is None else f"{price:,.0f}",
            f"{1e3 * trail.seconds / max(len(trail.right), 1):.1f}",
        )
    return table


def report(
    log: tyro.conf.Positional[Path] = Path("edgewise-keys/state"),
    png: Path | None = None,
    rows: int = 12,
    json: Path | None = None,
) -> int:
    """What a server that adapts did so far: agreement with the teacher, uploads, bytes both ways, versions, what was taken back.

    Args:
        log: the server's state folder, or the log in it (adapting.jsonl).
        png: draw it over time there (needs matplotlib, of the [train] extra).
        rows: of the table, at most.
        json: write the figures there.
    """
    from edgewise.apps.vision.adapting_log import read
    from edgewise.apps.vision.adapting_report import draw, reported, table

    screen = console()
    found = reported(read(log))
    screen.print(table(found, rows))
    if png is not None:
        screen.print(f"drawn: {draw(found, png)}", highlight=False)
    write_json(json, found)
    return 0
