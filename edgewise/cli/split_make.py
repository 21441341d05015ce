"""The verb that makes a bundle of a person's own ONNX model without training: `edgewise split quick`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tyro

from edgewise.cli.screen import console, write_json
from edgewise.cli.split_show import share_bar, show_cuts


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
