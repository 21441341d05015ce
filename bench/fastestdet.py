"""FastestDet (dog-qiuqiu, BSD-3-Clause), run as its repository runs it: a baseline, trained by others on COCO, never by us.

Input 352 × 352, BGR in 0..1, plain resize. Output (1, 85, 22, 22): objectness, box, 80 classes; a score is objectness^0.6 ×
class^0.4. Its cars are often called trucks or buses, so the three count as one class, vehicle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgewise.data.decoding.grid import suppress
from edgewise.runtime.session import Session

SIDE, GRID = 352, 22
VEHICLES = ("car", "truck", "bus")


class FastestDet:
    """`boxes(image)` gives scores (n) and corners (n, 4; fractions), strongest first, of every candidate above `floor`."""

    def __init__(self, folder: Path, floor: float = 0.2) -> None:
        self._session = Session.load(folder / "FastestDet.onnx")
        names = (folder / "coco.names").read_text().split("\n")
        self._classes = [names.index(name) for name in VEHICLES]
        self._floor = floor

    def boxes(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        small = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        feed = (small[:, :, ::-1].transpose(2, 0, 1)[None] / 255).astype(np.float32)
        out = next(iter(self._session.run({self._session.inputs[0].name: feed}).values()))[0]
        score = out[0] ** 0.6 * out[5:][self._classes].max(0) ** 0.4
        row, column = np.nonzero(score >= self._floor)
        order = np.argsort(-score[row, column], kind="stable")
        row, column = row[order], column[order]
        x = (column + np.tanh(out[1, row, column])) / GRID
        y = (row + np.tanh(out[2, row, column])) / GRID
        width, height = (1 / (1 + np.exp(-out[k, row, column])) for k in (3, 4))
        corners = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
        corners = np.clip(corners, 0, 1).astype(np.float32)
        kept = suppress(corners, 0.45)
        return score[row, column][kept], corners[kept]
