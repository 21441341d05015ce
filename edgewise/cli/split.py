"""The verbs of split inference: `edgewise split quick`, `fit` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from edgewise.cli.screen import console, write_json
from edgewise.cli.split_show import bar, share_bar, show_points, show_report
from edgewise.core.errors import ConfigError

if TYPE_CHECKING:
    from edgewise.core.artifact import Manifest


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


def fit(
    model: str,
    cut: str,
    data: Path,
    weights: Path | None = None,
    out: Path = Path("split-bundle"),
    recipe: Literal["hnd", "ghnd"] = "ghnd",
    channels: int = 3,
    layers: tuple[str, ...] = (),
    size: tuple[int, int] | None = None,
    scale: float = 1 / 255,
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
    bgr: bool = False,
    task: Literal["detection", "classification", "segmentation", "other"] | None = None,
    labels: tuple[str, ...] = (),
    epochs: float = 20.0,
    seconds: float = 0.0,
    rate: float = 1e-3,
    batch: int = 4,
    bits: tuple[int, ...] = (8, 6, 4, 3, 2),
    noise: Literal["none", "round", "uniform"] = "none",
    price: float = 0.0,
    bytes: int = 0,
    validation: float = 0.1,
    limit: int = 0,
    unreadable: float = 0.05,
    name: str = "",
    work: Path | None = None,
    seed: int = 0,
    threads: int = 1,
    json: Path | None = None,
) -> int:
    """Teach a small head to stand in for the first layers of your own network, on your own pictures; no labels are needed.

    The module at CUT is replaced by an encoder, a narrow bottleneck and a decoder, which learn to give what the module gave
    (HND), or what the layers behind it gave as well (GHND); everything else stays frozen. The outcome is a bundle: head for the
    device, tail and the uncut model for the server, operating points with measured bytes and quality. A call that was killed
    goes on where it was.

      edgewise split fit --model mypkg.net:build --weights net.safetensors --cut layer1 --data frames/ --out bundle
      edgewise split report bundle --data frames-of-another-day/
      edgewise serve bundle        and on the device: edgewise run --bundle bundle --source … --server ADDRESS

    Args:
        model: where your network is built: package.module:function, called without arguments, gives a torch module.
        cut: path of the module that is replaced, such as layer1 or backbone.layer1; a wrong one is answered with the nearest.
        data: a folder or .tar of pictures; its training part where it has parts.
        weights: the network's values (.safetensors); without, as it is built.
        out: the bundle's folder.
        recipe: hnd learns at the cut alone, ghnd at the layers behind it too (the paper's better one).
        channels: of the bottleneck: fewer are fewer bytes.
        layers: paths to learn at, instead of the recipe's.
        size: width and height that the network takes; without, the first picture's own.
        scale: what a pixel of 0..255 is multiplied by.
        mean: then taken off, one number or one a channel.
        std: then divided by, likewise.
        bgr: the network takes blue first.
        task: what its outputs are, where that cannot be seen from their shapes.
        labels: names of the classes, in order.
        epochs: times through the pictures.
        seconds: seconds of training instead of epochs.
        rate: learning rate at the beginning.
        batch: pictures a step.
        bits: widths of the codes to make operating points of.
        noise: disturb the bottleneck while training as its codes will (ours): fewer bits then lose less.
        price: of a bit, while training (ours): smaller frames.
        bytes: keep only points whose mean frame is not larger; where none is, the nearest is named.
        validation: share of the pictures that teach nothing and judge.
        limit: pictures at most (0: all).
        unreadable: share of the pictures that may be unreadable before it is an error; they are named and counted.
        name: the bundle's name (default: its folder's).
        work: folder of checkpoints (default: beside OUT).
        seed: of everything random.
        threads: threads of training and inference.
        json: write what came of it there.
    """
    from edgewise.split.fit import Fit
    from edgewise.split.fit import fit as made

    screen = console()
    width, height = size or (0, 0)
    config = Fit(
        model=model,
        cut=cut,
        data=data,
        weights=weights,
        out=out,
        work=work,
        name=name,
        recipe=recipe,
        channels=channels,
        paths=layers,
        width=width,
        height=height,
        scale=scale,
        mean=mean,
        std=std,
        bgr=bgr,
        task=task,
        labels=labels,
        epochs=epochs,
        seconds=seconds,
        rate=rate,
        batch=batch,
        noise=noise,
        price=price,
        bits=bits,
        bytes=bytes,
        validation=validation,
        limit=limit,
        most_bad=unreadable,
        seed=seed,
        threads=threads,
    )
    with share_bar(screen) as advance:
        done = made(config, advance)
    show_points(done.manifest, done.measure, screen)
    if done.left:
        screen.print(f"[yellow]{len(done.left)} pictures could not be read and were left out:[/]")
        for left, why in done.left[:5]:
            screen.print(f"  {left}: {why}", highlight=False, markup=False)
    screen.print(f"{done.steps:,} steps in {done.seconds:,.0f} s; bundle {done.manifest.address[:12]} in {out}", highlight=False)
    write_json(json, _made(done.manifest, str(done.folder), done.measure, dict(done.left)))
    return 0


def _made(manifest: Manifest, folder: str, measure: str, left: dict[str, str]) -> dict[str, object]:
    """What a script wants to know of a bundle that was made; tables and weights stay where they are."""
    return {
        "bundle": folder,
        "address": manifest.address,
        "measure": measure,
        "points": manifest.points,
        "unreadable": left,
        "provenance": manifest.provenance,
    }


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    wrong = [w for w in words if w.count("=") != 1 or w.startswith("=") or w.endswith("=")]
    if wrong:
        raise ConfigError("a translation of labels is not one", got=", ".join(wrong), allowed="WORD=LABEL, such as car=vehicle")
    return dict(w.split("=") for w in words)
