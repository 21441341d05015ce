"""A contact sheet of the shifts: one picture through every kind and severity, side by side, to be looked at.

A formula that runs is no proof that fog looks like fog. `python -m bench.adapt.sheet OUT.png [PICTURE …]` writes a sheet of each
of the pictures given (files, or `junction:SEED`), one below the other; without one, of a rendered junction, which everybody may
see.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edgewise.core.artifact import Picture
from edgewise.data.corruptions import KINDS, SEVERITIES, corrupt
from edgewise.data.preprocess import fit
from edgewise.data.source import open_source

LABEL, GAP = 12, 3  # px of a caption and between pictures
SMALLEST = 96  # px of the shorter side below which a picture is magnified, so that one can see it


def sheet(
    picture: NDArray[np.uint8], kinds: Sequence[str] = KINDS, severities: Sequence[int] = SEVERITIES, seed: int = 0
) -> NDArray[np.uint8]:
    """`picture` (height, width, 3; uint8), clean and through each kind (a row) at each severity (a column), with captions."""

    def shifted(kind: str) -> list[tuple[str, NDArray[np.uint8]]]:
        return [(f"{kind}:{s}", corrupt(picture, kind, s, np.random.default_rng([seed, s]))) for s in severities]

    rows = [[("clean", picture)], *(shifted(kind) for kind in kinds)]
    times = max(1, -(-SMALLEST // min(picture.shape[:2])))
    height, width = picture.shape[0] * times, picture.shape[1] * times
    size = (max(len(r) for r in rows) * (width + GAP), len(rows) * (height + LABEL + GAP))
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for down, row in enumerate(rows):
        for right, (name, shown) in enumerate(row):
            left, top = right * (width + GAP), down * (height + LABEL + GAP)
            pen.text((left, top), name, fill="black")
            page.paste(Image.fromarray(shown.repeat(times, 0).repeat(times, 1)), (left, top + LABEL))
    return np.asarray(page)


def main(out: str, *sources: str) -> None:
    """Write the sheets of the first picture of each source, at most 320 px wide."""
    pages = []
    for name in sources or ("junction:7",):
        source = open_source(name)
        picture = next(iter(source)).image
        source.close()
        height, width = picture.shape[:2]
        if width > 320:
            picture = fit(picture, Picture(320, round(320 * height / width)))[0]
        pages.append(Image.fromarray(sheet(picture)))
    whole = Image.new("RGB", (max(p.width for p in pages), sum(p.height for p in pages)), "white")
    top = 0
    for page in pages:
        whole.paste(page, (0, top))
        top += page.height
    whole.save(Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
