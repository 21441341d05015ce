"""What the networks of `bench.zoo` learn from, and what `split quick` is shown: photographs, rendered junctions, sounds.

Training and shown samples are apart: Imagenette's own parts, junction seeds from 1000 on and 100 to 159, two seeds of sounds.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image

from edgewise.data.junction import Junction
from edgewise.data.junction.scene import Rendered

SIDE = 128  # px of a photograph
WIDE, HIGH = 192, 112  # px of a junction for the detector and the segmentation net
TRAINED, SHOWN = 4000, 1400
BANDS, MOMENTS, RATE = 64, 96, 16_000


# ---------------------------------------------------------------------------------------------------------------------


def photographs(folder: Path, packs: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Training pictures (n, 128, 128, 3) and classes; writes the validation pictures to show beside."""
    kept = folder / "photographs.npz"
    if not kept.is_file():
        generator = np.random.default_rng(1)
        with tarfile.open(packs / "imagenette.tar") as tar:
            members = [m for m in tar.getmembers() if m.name.endswith(".JPEG")]
            classes = sorted({m.name.split("/")[2] for m in members})
            train = [m for m in members if m.name.split("/")[1] == "train"]
            shown = [m for m in members if m.name.split("/")[1] == "val"]
            chosen = [train[i] for i in generator.permutation(len(train))[:TRAINED]]
            pictures = np.stack([scaled(tar.extractfile(m).read(), SIDE) for m in chosen])
            (folder / "pictures").mkdir(exist_ok=True)
            for i in generator.permutation(len(shown))[:SHOWN]:
                words = shown[i].name.split("/")
                (folder / "pictures" / f"{words[2]}_{words[3]}").write_bytes(tar.extractfile(shown[i]).read())
        np.savez(kept, pictures=pictures, truth=[classes.index(m.name.split("/")[2]) for m in chosen])
    with np.load(kept) as data:
        return data["pictures"], data["truth"]


def scaled(data: bytes, side: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0))


class Streets(Struct, frozen=True):
    """Rendered junctions (n, 112, 192, 3), their vehicles' boxes (fractions) and masks at full size."""

    pictures: NDArray[np.uint8]
    boxes: list[NDArray[np.float64]]
    masks: NDArray[np.bool_]


def streets(folder: Path) -> Streets:
    """Training junctions; writes those of test seeds to show beside."""
    kept, shown = folder / "streets.npz", folder / "streets"
    if not kept.is_file():
        shown.mkdir(exist_ok=True)
        for number, image in enumerate(_rendered(range(100, 160), 8)):
            Image.fromarray(image.image).resize((2 * WIDE, 2 * HIGH), Image.Resampling.BOX).save(shown / f"{number:04}.png")
        frames = list(_rendered(range(1000, 1120), 5))
        pictures = np.stack(
            [np.asarray(Image.fromarray(f.image).resize((WIDE, HIGH), Image.Resampling.BILINEAR)) for f in frames]
        )
        masks = np.stack([np.asarray(Image.fromarray((f.mask > 0).astype(np.uint8)).resize((WIDE, HIGH), 0)) > 0 for f in frames])
        most = max(len(f.boxes) for f in frames)
        boxes = np.full((len(frames), most, 4), np.nan)
        for row, f in enumerate(frames):
            boxes[row, : len(f.boxes)] = f.boxes
        np.savez(kept, pictures=pictures, boxes=boxes, masks=masks)
    with np.load(kept) as data:
        return Streets(data["pictures"], [b[np.isfinite(b[:, 0])] for b in data["boxes"]], data["masks"])


def _rendered(seeds: range, moments: int) -> Iterator[Rendered]:
    conditions = ("clear", "haze", "rain", "low_light")
    for seed in seeds:
        junction = Junction(seed, conditions[seed % 4])
        for i in range(moments):
            yield junction.render(3.7 * i)


def sounds(count: int, generator: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Log-mel pictures (count, 1, 64, 96) of tones, chirps, pulses and chords in noise, and their class of eight."""
    seconds = (MOMENTS + 1) * 160 / RATE
    t = np.arange(int(seconds * RATE)) / RATE
    kind = generator.integers(0, 8, count)
    pictures = np.empty((count, 1, BANDS, MOMENTS), np.float32)
    filters, window = _mel(), np.hanning(320)
    for i, k in enumerate(kind):
        f = generator.uniform(300, 3000)
        phase = {
            0: f * t,
            1: f * t + f * t**2 / seconds,
            2: 2 * f * t - f * t**2 / (1.2 * seconds),
            3: f * t + 12 * np.sin(2 * np.pi * 6 * t),
        }.get(int(k) % 4, f * t)
        wave = np.sin(2 * np.pi * phase)
        if k >= 4:
            wave = wave * (np.sin(2 * np.pi * generator.uniform(4, 9) * t) > 0)  # the same, in pulses
        wave = wave + generator.uniform(0.3, 1.6) * generator.standard_normal(len(t))
        frames = np.lib.stride_tricks.sliding_window_view(wave, 320)[::160][:MOMENTS]
        power = np.abs(np.fft.rfft(frames * window, 512)) ** 2
        pictures[i, 0] = np.log(power @ filters.T + 1e-3).T
    return (pictures - 2.0) / 3.0, kind


def _mel() -> NDArray[np.float64]:
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(512, 1 / RATE)
    up = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(up, down))
