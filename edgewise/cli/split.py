"""Verbs that take a split bundle: `edgewise split report`, `filter` and `tables`. Those that make one are in `split_make.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from msgspec.structs import replace

from edgewise.cli.screen import console, write_json
from edgewise.cli.split_show import bar, share_bar, show_compared, show_left, show_report
from edgewise.core.errors import ConfigError


def report(
    bundle: tyro.conf.Positional[tuple[str, ...]],
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
      edgewise split report bundle/rate-1 bundle/rate-2 --data pictures.tar        several bundles in one table

    Args:
        bundle: the bundle's folder, or several of them; `vehicles` is the one that comes with edgewise.
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
    if not bundle or (len(bundle) > 1 and (address or out is not None)):
        got = "no bundle" if not bundle else f"{len(bundle)} bundles with {'--address' if address else '--out'}"
        raise ConfigError("a report cannot be made", got=got, allowed="a bundle; or several, without --address and --out")
    config = ReportConfig(
        bundle=bundle[0],
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
    if len(bundle) > 1:
        reports = {}
        for one in bundle:
            with bar(screen) as heard:
                reports[one] = made(replace(config, bundle=one), heard)
        show_compared(reports, screen)
        write_json(json, reports)
        return 0
    with bar(screen) as heard:
        found = made(config, heard)
    show_report(found, screen)
    write_json(json, found)
    if out is not None:
        from edgewise.apps.vision.split_page import write_page

        screen.print(f"written: {write_page(found, out)}", soft_wrap=True, highlight=False)
    return 0


def filter(
    bundle: tyro.conf.Positional[str],
    out: Path,
    data: Path | None = None,
    of: str = "",
    at: str = "",
    recall: float = 0.95,
    confidence: float = 0.95,
    learn: float = 0.02,
    stretch: int = 250,
    scenes: int = 130,
    judged: int = 100,
    work: Path = Path("build/filter"),
    threads: int = 1,
    json: Path | None = None,
) -> int:
    """Put a neural filter before every operating point of a bundle: a frame with nothing in it then sends no byte.

    A small net on the head's early features learns whether something is there (by your labels, or by what the uncut model
    sees). Its threshold is the largest whose recall is at least RECALL with CONFIDENCE, judged on scenes that taught and chose
    nothing; what it did on further scenes is told. A share of what it drops still goes up, to learn from.

      edgewise split filter bundle --out guarded --data frames.tar --of car

    Args:
        bundle: the bundle folder; its head takes a picture and it has no filter yet.
        out: the new bundle's folder.
        data: a folder or .tar of pictures, labelled or not; without, rendered roads.
        of: the label that must not be missed (default: any).
        at: the tensor of the head that the filter looks at; an earlier one saves more work on an empty frame, and sees less.
        recall: share of the frames with something in them that must pass.
        confidence: how surely.
        learn: share of the dropped frames that goes up all the same.
        stretch: pictures that lie beside each other in a folder (a film) and count as one scene. Make it longer by far than a
            vehicle or visitor stays in view: 250 are 10 s of 25 a second; pictures taken minutes apart may have 1. Too short, and
            one visit counts as many: the recall is then not as sure as it says. No scene is of two folders; one is left out
            between those that taught and those that judge.
        scenes: rendered scenes to learn from, where there is no data.
        judged: rendered scenes to calibrate on (100 at most), and as many to report on (80 at most).
        work: where frames are kept between calls.
        threads: threads of training.
        json: write what came of it there.
    """
    from edgewise.apps.vision.bundles import find
    from edgewise.split.training.filter_job import Watch, make

    screen = console()
    config = Watch(
        bundle=find(bundle),
        out=out,
        at=at,
        of=of,
        data=data,
        work=work,
        stretch=stretch,
        scenes=scenes,
        judged=judged,
        recall=recall,
        confidence=confidence,
        learn=learn,
        threads=threads,
    )
    with screen.status("frames") as status:
        done = make(config, status.update)
    test = done.test
    screen.print(
        f"threshold {done.certified.threshold:.4f}: recall {recall:g} with {confidence:g}; on test frames recall "
        f"{test.recall:.4f} of {test.present} with something in them, {test.dropped:.1%} of {test.empty} empty ones dropped",
        highlight=False,
    )
    screen.print(f"who says what is in a picture: {done.truth}", highlight=False)
    for warning in done.warnings:
        screen.print(warning, highlight=False)
    screen.print(f"bundle {done.manifest.address[:12]} in {out}; next: edgewise split report {out} --data …", highlight=False)
    told = {"truth": done.truth, "films": done.films, "stretch": stretch, "warnings": done.warnings}
    write_json(json, {"address": done.manifest.address, "filter": done.manifest.filter, "test": test, **told})
    return 0


def tables(
    bundle: tyro.conf.Positional[str],
    data: Path,
    out: Path,
    fitted: int = 400,
    judged: int = 200,
    unreadable: float = 0.05,
    seed: int = 0,
    threads: int = 1,
    json: Path | None = None,
) -> int:
    """Fit the coder's tables of a bundle again to your own frames: fewer bytes, and every value decodes as before.

    For a camera that sees other things than those that the tables were counted on, or after a delta. Bytes before and after are
    of frames that fitted nothing. The new bundle differs in its manifest alone, so what `publish --from` sends is small.

      edgewise split tables bundle --data frames.tar --out tuned
      edgewise publish tuned --channel cameras --from bundle --server edge.example

    Args:
        bundle: the bundle folder; it has points of codec `rans`.
        data: a folder or .tar of pictures, or of .npy arrays for models that take none; no labels are needed.
        out: the new bundle's folder.
        fitted: samples to fit tables to, at most.
        judged: samples to measure bytes on, at most.
        unreadable: share of the samples that may be unreadable before it is an error; they are named and counted.
        seed: of how samples are parted.
        threads: threads of each inference.
        json: write what came of it there.
    """
    from edgewise.apps.vision.bundles import find
    from edgewise.split.tables import Tables, retabled

    screen = console()
    config = Tables(
        bundle=find(bundle), data=data, out=out, fitted=fitted, judged=judged, most_bad=unreadable, seed=seed, threads=threads
    )
    with share_bar(screen) as advance:
        found = retabled(config, advance)
    for row in found.rows:
        share = "the new tables are taken" if row.taken else "its own tables stay"
        cut = f", the byte guard cuts {row.cut_before:.0%} and {row.cut_after:.0%}" if row.cut_before or row.cut_after else ""
        said = f"{row.point}: {row.before:,.1f} B a frame before, {row.after:,.1f} B after{cut}; {share}"
        screen.print(said, highlight=False)
    dropped = f", {found.dropped} dropped by the filter" if found.dropped else ""
    screen.print(
        f"tables from {found.fitted} samples, bytes (header, payload, all layers) of {found.judged} others{dropped}",
        highlight=False,
    )
    show_left(found.left, screen)
    address = found.manifest.address
    screen.print(f"bundle {address[:12]} in {out}; next: edgewise publish {out} --channel … --from {bundle}", highlight=False)
    write_json(json, {"address": address, "points": found.rows, "fitted": found.fitted, "judged": found.judged})
    return 0


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    wrong = [w for w in words if w.count("=") != 1 or w.startswith("=") or w.endswith("=")]
    if wrong:
        raise ConfigError("a translation of labels is not one", got=", ".join(wrong), allowed="WORD=LABEL, such as car=vehicle")
    return dict(w.split("=") for w in words)
