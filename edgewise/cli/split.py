"""The verb `edgewise split report`. Those that make a bundle are in `split_make.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from edgewise.cli.screen import console, write_json
from edgewise.cli.split_show import bar, show_report
from edgewise.core.errors import ConfigError


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
    with bar(screen) as heard:
        found = made(config, heard)
    show_report(found, screen)
    write_json(json, found)
    if out is not None:
        from edgewise.apps.vision.split_page import write_page

        screen.print(f"written: {write_page(found, out)}", soft_wrap=True, highlight=False)
    return 0


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    wrong = [w for w in words if w.count("=") != 1 or w.startswith("=") or w.endswith("=")]
    if wrong:
        raise ConfigError("a translation of labels is not one", got=", ".join(wrong), allowed="WORD=LABEL, such as car=vehicle")
    return dict(w.split("=") for w in words)
