"""Fields that the families share: clouds, copies along a line, smoothing, and how lengths and noise follow the picture's size.

Values are float32 in grey levels 0 to 255 unless said otherwise. Pillow resizes and smooths, numpy does the rest.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Levels = NDArray[np.float32]
Picture = NDArray[np.uint8]
PIECE = 8.0  # px of a line that are laid one by one
UNIT = 32  # px of the shorter side at which noise has its nominal strength


def side(picture: Picture | Levels) -> int:
    """The shorter side in px, which lengths are shares of."""
    height, width = picture.shape[:2]
    return int(min(height, width))


def grain(picture: Picture | Levels) -> float:
    """The factor on noise at this size: the root of the side over 32 px.

    A pixel of a larger picture shows less of a thing; were noise the same in each pixel, averaging would undo it.

    >>> grain(np.zeros((128, 200, 3), np.uint8))
    2.0
    """
    return math.sqrt(side(picture) / UNIT)


def as_picture(levels: Levels) -> Picture:
    """Levels rounded and clipped to bytes; `levels` is used up."""
    levels += np.float32(0.5)
    return np.clip(levels, 0, 255, out=levels).astype(np.uint8)


def clouds(shape: tuple[int, int], generator: np.random.Generator, octaves: int = 4, falloff: float = 0.55) -> Levels:
    """A smooth random field (height, width) from 0 to 1: grids of 2, 4, 8 … cells on the shorter side, each weaker by `falloff`.

    Its form does not depend on the size: a larger picture shows the same clouds with more detail.
    """
    height, width = shape
    shorter = min(shape)
    field = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cells = 2 << octave
        grid = generator.random((1 + math.ceil(cells * height / shorter), 1 + math.ceil(cells * width / shorter)), np.float32)
        if cells >= shorter:
            break
        smooth = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        field += np.asarray(smooth) * np.float32(falloff**octave)
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)


def along(values: Levels, length: float, angle: float, brightest: bool = False) -> Levels:
    """The mean (or the maximum) of copies of `values` (height, width …) along a line of `length` px at `angle` (radians).

    A short piece is laid pixel by pixel and then doubled: a dozen additions for any length. Borders continue outwards.
    """
    doublings = max(0, math.ceil(math.log2(max(length, 1.0) / PIECE)))
    piece = length / 2**doublings
    count = math.ceil(piece) + 1
    places = [(step / max(count - 1, 1) - 0.5) * piece for step in range(count)]
    line = _together([_copy(values, place, angle) for place in places], brightest)
    for _ in range(doublings):
        line = _together([_copy(line, -piece / 2, angle), _copy(line, piece / 2, angle)], brightest)
        piece *= 2
    return line


def _copy(values: Levels, far: float, angle: float) -> Levels:
    down, right = round(far * math.sin(angle)), round(far * math.cos(angle))
    return moved(values, down, right) if down or right else values


def _together(copies: list[Levels], brightest: bool) -> Levels:
    whole = copies[0].copy()
    for copy in copies[1:]:
        np.maximum(whole, copy, out=whole) if brightest else np.add(whole, copy, out=whole)
    if not brightest:
        whole /= np.float32(len(copies))
    return whole


def moved(values: Levels, down: int, right: int) -> Levels:
    """`values` (height, width …) moved by whole pixels; what comes in at the border repeats it."""
    height, width = values.shape[:2]
    rows = values[np.clip(np.arange(height) - down, 0, height - 1)] if down else values
    right = min(max(right, 1 - width), width - 1)
    if right == 0:
        return rows
    found = np.empty_like(rows)
    if right > 0:
        found[:, right:], found[:, :right] = rows[:, :-right], rows[:, :1]
    else:
        found[:, :right], found[:, right:] = rows[:, -right:], rows[:, -1:]
    return found


def smoothed(picture: Picture, radius: float) -> Picture:
    """A picture (height, width[, 3]) after a Gaussian of `radius` px (standard deviation)."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def through(picture: Picture, table: NDArray[np.floating]) -> Picture:
    """Each byte replaced by the `table` (256,) of levels."""
    return as_picture(table.astype(np.float32))[picture]
