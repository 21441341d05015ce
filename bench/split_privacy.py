"""Privacy: how well the picture can be rebuilt from what crosses the link, beside its bytes and what it is worth.

A mirror (`edgewise.split.training.mirror`) learns on decoded bottlenecks of the shipped vehicles head, of all rates together,
from scenes of its own, and shows what it sees of test scenes. Beside it a JPEG of as many bytes, and the mean picture of the
training scenes, which anyone knows who knows the place. PSNR and SSIM over test frames; quality is cell F1."""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bench.report import Report, Row, Target
from bench.split_vehicles import Subject, answered, features_of, subject, testing, truth
from edgewise.codec.features import FeatureCodec
from edgewise.core.wire import socket_bytes
from edgewise.split.training.mirror import jpeg_within, psnr, rebuilt, reflect, ssim
from edgewise.training.frames import Frames, rendered

LEVELS = (256, 16, 4)
TRAINING = 5000  # first seed
SHOWN = ("clear", "rain", "night")
Pictures = NDArray[np.uint8]


def run(quick: bool) -> Report:
    fitted, scenes, learnt, steps, batch = (6, 3, 4, 20, 8) if quick else (24, 20, 80, 600, 16)
    torch.set_num_threads(1)
    of = subject(LEVELS, fitted)
    train = rendered(range(TRAINING, TRAINING + learnt), 2)
    features = features_of(of.head, train.pictures)

    def draw(number: int) -> tuple[NDArray[np.float32], Pictures]:
        generator = np.random.default_rng([3, number])
        chosen = generator.integers(0, len(train), batch)
        levels = generator.choice(LEVELS, batch)[:, None, None, None] - 1
        pictures, seen = train.pictures[chosen], np.round(features[chosen] * levels) / levels  # as the codec rounds them
        turned = generator.random(batch) < 0.5
        pictures[turned], seen[turned] = pictures[turned, :, ::-1], seen[turned][..., ::-1]
        return seen.astype(np.float32), pictures

    net = reflect(draw, steps)
    frames = testing(scenes)
    rows: list[Row] = []
    shown: dict[str, Pictures] = {"picture": frames.pictures}
    flat = np.broadcast_to(train.pictures.mean(0).round().astype(np.uint8), frames.pictures.shape)
    rows += _near("mean picture", flat, frames)
    for levels in LEVELS:
        shown |= _at(of, levels, net, frames, rows)
    config = {"levels": list(LEVELS), "training_scenes": learnt, "steps": steps, "frames": len(frames)}
    targets = [_target(rows)] if not quick else []
    return Report(rows, targets, config, figures={"": _figure(shown, frames)})


def _at(of: Subject, levels: int, net: torch.nn.Module, frames: Frames, rows: list[Row]) -> dict[str, Pictures]:
    """Rows of one rate; what the mirror and the JPEG of equal bytes show."""
    codec = FeatureCodec(of.bottleneck, of.codings[levels])
    payloads = [codec.encode(one[None]) for one in features_of(of.head, frames.pictures)]
    decoded = np.concatenate([codec.decode(p) for p in payloads])
    seen = rebuilt(net, decoded)  # type: ignore[arg-type]
    pairs = [jpeg_within(picture, len(p)) for picture, p in zip(frames.pictures, payloads, strict=True)]
    jpeg = np.stack([picture for picture, _ in pairs])
    case = f"{levels} levels"
    sizes = [socket_bytes(len(p)) for p in payloads]
    rows.append(Row(case, "bytes", float(np.mean(sizes)), "bytes", len(sizes), float(min(sizes)), float(max(sizes))))
    rows.append(Row(case, "cell F1", answered(of, codec, payloads, truth(frames)), "", len(sizes)))
    rows += _near(f"{case}, mirror", seen, frames)
    beside = [socket_bytes(n) for _, n in pairs]
    rows.append(Row(f"{case}, JPEG of equal bytes", "bytes", float(np.mean(beside)), "bytes", len(pairs)))
    rows += _near(f"{case}, JPEG of equal bytes", jpeg, frames)
    return {f"rebuilt, {levels} levels, {np.mean(sizes):.0f} B": seen, f"JPEG of {np.mean(beside):.0f} B": jpeg}


def _near(case: str, seen: Pictures, frames: Frames) -> list[Row]:
    rows = []
    for metric, unit, values in (("PSNR", "dB", psnr(seen, frames.pictures)), ("SSIM", "", ssim(seen, frames.pictures))):
        low, high = np.quantile(values, (0.05, 0.95))
        rows.append(Row(case, metric, float(values.mean()), unit, len(values), float(low), float(high)))
    return rows


def _target(rows: list[Row]) -> Target:
    """A figure, not a bar: the issue asks for it beside rate and quality."""

    def value(case: str, metric: str) -> float:
        return next(row.value for row in rows if (row.case, row.metric) == (case, metric))

    told = "; ".join(
        f"{n} levels: {value(f'{n} levels', 'bytes'):.0f} B, F1 {value(f'{n} levels', 'cell F1'):.3f}, rebuilt at "
        f"{value(f'{n} levels, mirror', 'PSNR'):.1f} dB (JPEG {value(f'{n} levels, JPEG of equal bytes', 'PSNR'):.1f})"
        for n in LEVELS
    )
    return Target("privacy: PSNR of the picture rebuilt from the bottleneck, beside rate and quality", "reported", told, True)


def _figure(shown: dict[str, Pictures], frames: Frames) -> bytes:
    """A row for each way, a column for each of three weathers."""
    columns = [frames.condition.index(name) for name in SHOWN]
    height, width = frames.pictures.shape[1:3]
    band, gap = 16, 4
    sheet = Image.new("RGB", (len(columns) * (width + gap) - gap, len(shown) * (height + band + gap)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (name, pictures) in enumerate(shown.items()):
        top = row * (height + band + gap)
        pen.text((2, top + 2), name, fill="black")
        for column, i in enumerate(columns):
            sheet.paste(Image.fromarray(pictures[i]), (column * (width + gap), top + band))
    stored = io.BytesIO()
    sheet.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(stored, "PNG", optimize=True)
    return stored.getvalue()
