"""The verbs that make a bundle of a person's own model: `edgewise split quick` (ONNX, no training) and `split fit` (torch)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from edgewise.cli.screen import console, write_json
from edgewise.cli.split_show import share_bar, show_cuts, show_left, show_points

if TYPE_CHECKING:
    from edgewise.core.artifact import Manifest


def quick(
    model: tyro.conf.Positional[Path],
    calibrate: Path,
    out: Path = Path("split-bundle"),
    at: str = "",
    device: str = "",
    link: str = "",
    edge: str = "this",
    agreement: float = 0.0,
    bytes: int = 0,
    task: Literal["detection", "classification", "segmentation", "other"] | None = None,
    labels: tuple[str, ...] = (),
    size: tuple[int, int] | None = None,
    scale: float | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    bgr: bool = False,
    layout: Literal["NCHW", "NHWC"] | None = None,
    rates: int = 5,
    int8: bool = False,
    local: bool = True,
    edge_share: float = 0.25,
    samples: int = 256,
    judged: int = 400,
    unreadable: float = 0.05,
    name: str = "",
    seed: int = 0,
    threads: int = 1,
    json: Path | None = None,
) -> int:
    """Cut an ONNX model between device and edge without training: the best cut, codes and tables fitted on your own samples.

    Every cut that one tensor crosses is tried. Channels get as many levels as the answer's sensitivity to them asks for, tables
    of their codes are fitted, and the agreement with the uncut model is measured on samples that fitted nothing. Bytes are
    whole frames. Where a JPEG of the picture is smaller at the same agreement, it says so. The outcome is a bundle.

      edgewise split quick model.onnx --calibrate frames/
      edgewise split quick model.onnx --calibrate frames.tar --device pi4 --link lte_synthetic --out bundle
      edgewise serve bundle        and on the device: edgewise run --bundle bundle --source … --server ADDRESS

    Args:
        model: an ONNX file of one input: a picture, or an array (then calibrate with .npy files).
        calibrate: a folder or .tar of samples like those that the device will see; labels are not needed.
        out: the bundle's folder.
        at: the tensor to cut at (`edgewise graph show` lists them); without, all are tried and one is chosen.
        device: choose the cut that is the quickest on this device profile …
        link: … over this link; without both, the one of the least bytes that leaves the edge its share of the work.
        edge: the edge server's profile.
        agreement: with the uncut model that points aim at (0: 0.99; 0.98 of mAP for detectors).
        bytes: largest mean frame: payload and its header of 24 bytes (WebSocket and TLS apart); where no point can, the nearest
            is named (0: none asked).
        task: what the outputs are, where that cannot be seen from their shapes.
        labels: names of the classes, in order.
        size: width and height of the picture, where the model leaves them free.
        scale: what a pixel of 0..255 is multiplied by (default: 1/255 for models that take floats).
        mean: then taken off, one number or one a channel.
        std: then divided by, likewise.
        bgr: the model takes blue first.
        layout: where the channels are, where that cannot be seen.
        rates: operating points to make.
        int8: try head and tail as 8-bit integers too, and take them where they agree.
        local: put the uncut model on the device as well, for when the link fails.
        edge_share: of the work that the tail must have, where no device and link choose.
        samples: to calibrate on, at most.
        judged: samples to measure on, at most.
        unreadable: share of the samples that may be unreadable before it is an error; they are named and counted.
        name: the bundle's name (default: its folder's).
        seed: of the draw.
        threads: threads of inference.
        json: write every cut, JPEG and point there.
    """
    from edgewise.split.quick import Quick
    from edgewise.split.quick import quick as made

    screen = console()
    width, height = size or (0, 0)
    config = Quick(
        model=model,
        calibrate=calibrate,
        out=out,
        name=name,
        at=at,
        task=task,
        labels=labels,
        width=width,
        height=height,
        scale=scale,
        mean=mean,
        std=std,
        bgr=bgr,
        layout=layout,
        agreement=agreement,
        bytes=bytes,
        device=device,
        link=link,
        edge=edge,
        edge_share=edge_share,
        samples=samples,
        judged=judged,
        rates=rates,
        int8=int8,
        local=local,
        most_bad=unreadable,
        seed=seed,
        threads=threads,
    )
    with share_bar(screen) as advance:
        found = made(config, advance)
    show_cuts(found, screen)
    write_json(json, found)
    return 0


def fit(
    model: str,
    cut: str,
    data: Path,
    weights: Path | None = None,
    out: Path = Path("split-bundle"),
    recipe: Literal["hnd", "ghnd"] = "ghnd",
    channels: int = 3,
    fine: bool = False,
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
    schedule: Literal["steps", "cosine"] = "steps",
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
        model: where your network is built: package.module:function, called without arguments, gives a torch module; or a .onnx.
        cut: path of the module that is replaced, such as layer1 or backbone.layer1; a wrong one is answered with the nearest. In
            an ONNX file without names the tensor that a module gives, or a stretch between two tensors, FIRST~LAST.
        data: a folder or .tar of pictures; its training part where it has parts.
        weights: the network's values (.safetensors); without, as it is built.
        out: the bundle's folder.
        recipe: hnd learns at the cut alone, ghnd at the layers behind it too (the paper's better one).
        channels: of the bottleneck: fewer are fewer bytes.
        fine: where the replaced module makes the map smaller, let the bottleneck stay as fine as what comes in.
        layers: paths to learn at, instead of the recipe's.
        size: width and height that the network takes; without, the first picture's own.
        scale: what a pixel of 0..255 is multiplied by.
        mean: then taken off, one number or one a channel.
        std: then divided by, likewise.
        bgr: the network takes blue first.
        task: what its outputs are, where that cannot be seen from their shapes.
        labels: names of the classes, in order.
        epochs: times through the pictures.
        seconds: seconds of training instead of epochs, counted in steps before it begins, as an idle machine would take them.
        rate: learning rate at the beginning.
        schedule: steps, as published (a tenth after a quarter and after three quarters), or cosine, for short runs.
        batch: pictures a step.
        bits: widths of the codes to make operating points of.
        noise: disturb the bottleneck while training as its codes will (ours): fewer bits then lose less.
        price: of a bit, while training (ours): smaller frames.
        bytes: keep only points whose mean frame (payload and its header of 24 bytes) is not larger; where none is, the nearest
            is named.
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
        fine=fine,
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
        schedule=schedule,
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
    show_points(done.manifest.points, f"{done.manifest.name}: {done.measure}", screen)
    show_left(dict(done.left), screen)
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
