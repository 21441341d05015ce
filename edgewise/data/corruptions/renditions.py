"""The same things drawn by hand: a pencil sketch, a poster of few colours, a painting. Our own filters.

    sketch       grey divided by its own blur: paper where the picture is smooth, pencil along edges; colour fades with severity
    posterised   smoothed, then few levels a colour
    painted      Kuwahara's filter: each pixel takes the mean of the calmest of four squares around it, so that areas turn flat
                 and edges stay sharp; once or more, with stronger colours

A severity changes the style's strength, not its kind. Real drawings leave things out; these leave nothing out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from edgewise.data.corruptions.fields import Levels, Picture, as_picture, side, smoothed, through

COLOUR = (0.55, 0.35, 0.2, 0.08, 0.0)  # what a sketch keeps of the colours
PENCIL = (1.5, 2.0, 2.5, 3.0, 3.5)  # the darkness of its lines, as a power
PAPER = np.array([250, 247, 238], np.float32)
COLOURS = (10, 7, 5, 4, 3)  # levels that a poster has of each colour
BRUSH = ((0.010, 1), (0.014, 1), (0.018, 1), (0.018, 2), (0.022, 2))  # radius / side, and passes
VIVID = (1.1, 1.2, 1.3, 1.45, 1.6)
GREY = np.array([0.299, 0.587, 0.114], np.float32)


def sketch(picture: Picture, severity: int, generator: np.random.Generator) -> Picture:
    """Pencil on paper."""
    grey = np.asarray(Image.fromarray(picture).convert("L"))
    wide = smoothed(grey, max(0.7, side(picture) * 0.025 * float(generator.uniform(0.85, 1.15))))
    lines = np.minimum((grey.astype(np.float32) + 8) / (wide.astype(np.float32) + 8), 1) ** np.float32(PENCIL[severity - 1])
    drawn = lines[..., None] * PAPER
    colour = np.float32(COLOUR[severity - 1])
    drawn *= 1 - colour
    drawn += picture * colour
    return as_picture(drawn)


def posterised(picture: Picture, severity: int, generator: np.random.Generator) -> Picture:
    """Few levels of each colour; where one ends and the next begins is drawn."""
    levels = COLOURS[severity - 1]
    calm = smoothed(picture, 0.008 * side(picture))
    step = 255 / (levels - 1)
    offset = float(generator.uniform(-0.15, 0.15))
    table = np.round(np.arange(256) / step + offset) * step
    return through(calm, table)


def painted(picture: Picture, severity: int, generator: np.random.Generator) -> Picture:
    """Flat strokes and strong colours."""
    share, passes = BRUSH[severity - 1]
    radius = max(0.6, share * side(picture) * float(generator.uniform(0.9, 1.1)))
    for _ in range(passes):
        picture = _calmest(picture, radius)
    levels: Levels = picture.astype(np.float32)
    grey = (levels @ GREY)[..., None]
    levels -= grey
    levels *= np.float32(VIVID[severity - 1])
    levels += grey
    return as_picture(levels)


def _calmest(picture: Picture, radius: float) -> Picture:
    """Kuwahara's filter: around each pixel four squares that meet there, each as wide as 2 · radius + 1 px."""
    reach = max(1, round(radius))
    height, width = picture.shape[:2]
    image = Image.fromarray(np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), mode="edge"))
    mean = np.asarray(image.filter(ImageFilter.BoxBlur(radius)))
    unrest = _variance(np.asarray(image.convert("L")), reach)
    least, found = unrest[:height, :width].copy(), mean[:height, :width].copy()
    for down, right in ((0, 2 * reach), (2 * reach, 0), (2 * reach, 2 * reach)):
        there = (slice(down, down + height), slice(right, right + width))
        calmer = unrest[there] < least
        np.copyto(least, unrest[there], where=calmer)
        np.copyto(found, mean[there], where=calmer[..., None])
    return found


def _variance(grey: Picture, reach: int) -> Levels:
    """The variance (height, width) of grey levels in the square of 2 · reach + 1 px around each pixel, times its pixels²."""
    levels = np.pad(grey, reach, mode="edge").astype(np.uint32)
    width = 2 * reach + 1
    total, squares = (_summed(values, width).astype(np.float64) for values in (levels, levels * levels))
    found: Levels = (squares * width**2 - total * total).astype(np.float32)
    return found


def _summed(levels: NDArray[np.uint32], width: int) -> NDArray[np.uint32]:
    """The sum in each whole square of `width` px, from the sums of all that lies above and to the left.

    Those run over in large pictures, and their differences are right all the same: a square's own sum is below 2³².
    """
    total = np.zeros((levels.shape[0] + 1, levels.shape[1] + 1), np.uint32)
    np.cumsum(np.cumsum(levels, 0, dtype=np.uint32), 1, dtype=np.uint32, out=total[1:, 1:])
    found: NDArray[np.uint32] = total[width:, width:] - total[:-width, width:] - total[width:, :-width] + total[:-width, :-width]
    return found
