"""The verb that teaches a split of a person's own network: `edgewise split fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgewise.cli.screen import complain, console, write_json
from edgewise.cli.split_show import share_bar, show_left, show_rates

if TYPE_CHECKING:
    from edgewise.split.fit import Fitted

STOPPED = 130  # of a shell, for what Ctrl-C ended


def fit(
    model: str,
    cut: str,
    data: Path,
    weights: Path | None = None,
    out: Path = Path("split-bundle"),
    recipe: Literal["hnd", "ghnd", "bottlefit", "entropic", "lean"] = "ghnd",
    rates: int = 0,
    betas: tuple[float, ...] = (),
    together: bool = False,
    channels: int = 0,
    fine: bool = False,
    layers: tuple[str, ...] = (),
    size: tuple[int, int] | None = None,
    scale: float | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    bgr: bool = False,
    task: Literal["detection", "classification", "segmentation", "other"] | None = None,
    labels: tuple[str, ...] = (),
    supervised: bool = False,
    unlabelled: bool = False,
    free: bool = False,
    crop: int = 0,
    epochs: float = 0.0,
    seconds: float = 0.0,
    rate: float = 1e-3,
    schedule: Literal["steps", "cosine"] = "steps",
    batch: int = 0,
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
    device: str = "cpu",
    cores: int = 1,
    threads: int = 1,
    json: Path | None = None,
) -> int:
    """Teach a small head to stand in for the first layers of your own network, on your own pictures; no labels are needed.

    The modules at CUT are replaced by an encoder, a narrow bottleneck and a decoder. They learn to give what the modules gave;
    what crosses the link is the bottleneck, coded. The outcome is a bundle: head for the device, tail and the uncut model for the
    server, operating points with measured bytes and quality. A call that was killed goes on where it was, to the same outcome.

    Which recipe? For the fewest bytes: lean, cut so that it replaces everything up to stride 8 (of a ResNet stem..layer2). For a
    published one to compare with: entropic (stem..layer1), bottlefit (stem..layer2), ghnd and hnd (layer1: the stem stays as it
    is). lean, entropic and bottlefit teach the tail as well, from the network's own answers. A first look takes --limit and
    --seconds; what it says of bytes holds, its quality grows with the time that you give it.

      edgewise split fit --model mypkg.net:build --weights w.safetensors --cut stem..layer2 --recipe lean --rates 4 --data frames/
      edgewise split fit --model hf/config.json --weights hf/model.safetensors --cut resnet.embedder..resnet.encoder.stages.1 \\
          --recipe lean --labels cat dog --supervised --data classes/ --seconds 3600 --cores 2 --out bundle
      edgewise split report bundle/rate-1 bundle/rate-2 --data frames-of-another-day/
      edgewise serve bundle/rate-2     and on the device: edgewise run --bundle bundle/rate-2 --source … --server ADDRESS

    Args:
        model: where your network is built: package.module:function, called without arguments, gives a torch module; a .onnx; the
            config.json of a vision model of transformers (or hf:TYPE, its type alone). Nothing is downloaded.
        cut: path of the module that is replaced, such as layer1 or backbone.layer1, or of the first and the last of several that
            are called one after another, stem..layer2; a wrong one is answered with the nearest. In an ONNX file without names
            the tensor that a module gives, or a stretch between two tensors, FIRST~LAST.
        data: a folder or .tar of pictures; its training part where it has parts.
        weights: the network's values (.safetensors); without, as it is built.
        out: the bundle's folder.
        recipe: hnd learns at the cut alone, ghnd at the layers behind it too; bottlefit is ghnd at stride 8 and teaches the tail;
            entropic and lean (ours) put a price on bits while they learn, and teach the tail.
        rates: operating points of bottlefit, entropic and lean (0: 4). entropic and lean make a bundle of each, finest first.
        together: one student and one bundle for all rates instead, so that a device changes its rate from frame to frame.
        betas: prices of a bit instead, the lowest (finest) first. Too high a one sends nothing, which is said.
        channels: of the bottleneck (0: the recipe's own); fewer are fewer bytes.
        fine: where the replaced module makes the map smaller, let the bottleneck stay as fine as what comes in (hnd, ghnd).
        layers: paths to learn at, instead of the recipe's.
        size: width and height that the network takes; without, the configuration's, or the first picture's own.
        scale: what a pixel of 0..255 is multiplied by (default: the configuration's, or 1/255).
        mean: then taken off, one number or one a channel.
        std: then divided by, likewise.
        bgr: the network takes blue first.
        task: what its outputs are, where that cannot be seen from their shapes.
        labels: names of the classes, in the order of the outputs, as the data calls them: by class folders, COCO, YOLO or VOC.
            Then they judge the points. A network that is no better than chance on them is refused.
        supervised: let the labels teach the tail too (half cross-entropy, half the network's own answers).
        unlabelled: do not look at labels.
        free: let the encoder learn on while the tail is taught (entropic, lean).
        crop: pixels of the random square that a step of two-stage recipes sees, for networks that take any size (0: all).
        epochs: times through the pictures: 20 for hnd and ghnd; 10 for the others, then half as many for each further rate and
            0.4 as many for the tail.
        seconds: seconds of training instead of epochs, counted in steps before it begins, as an idle machine would take them.
        rate: learning rate at the beginning (hnd, ghnd).
        schedule: steps, as published (a tenth after a quarter and after three quarters), or cosine, for short runs (hnd, ghnd).
        batch: pictures a step (0: 4 for hnd and ghnd, 32 for the others).
        bits: widths of the codes to make operating points of (hnd, ghnd, bottlefit).
        noise: disturb the bottleneck while training as its codes will (ours; hnd, ghnd): fewer bits then lose less.
        price: of a bit, while training (ours; hnd, ghnd): smaller frames.
        bytes: keep only points whose mean frame (payload and its header of 24 bytes) is not larger; where none is, the nearest
            is named.
        validation: share of the pictures that teach nothing and judge.
        limit: pictures at most (0: all).
        unreadable: share of the pictures that may be unreadable before it is an error; they are named and counted.
        name: the bundle's name (default: its folder's).
        work: folder of checkpoints (default: beside OUT).
        seed: of everything random.
        device: what to learn on, cpu or cuda. One that goes away costs half a minute: the same call goes on, on a cpu too.
        cores: trainings at once, where there are several rates.
        threads: threads of a training and of inference.
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
        rates=rates,
        betas=betas,
        together=together,
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
        supervised=supervised,
        unlabelled=unlabelled,
        free=free,
        crop=crop,
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
        device=device,
        cores=cores,
        threads=threads,
    )
    try:
        with share_bar(screen) as advance:
            done = made(config, advance)
    except KeyboardInterrupt:
        complain(f"stopped. What was learned is kept in {config.place}; the same command goes on there.")
        return STOPPED
    show_rates(done, screen)
    show_left(dict(done.left), screen)
    write_json(json, _made(done))
    return 0


def _made(done: Fitted) -> dict[str, object]:
    """What a script wants to know of bundles that were made; tables and weights stay where they are."""
    bundles = [
        {"bundle": str(folder), "address": one.address, "points": one.points, "provenance": one.provenance}
        for folder, one in zip(done.folders, done.manifests, strict=True)
    ]
    return {**bundles[0], "bundles": bundles, "measure": done.measure, "told": done.told, "unreadable": dict(done.left)}
