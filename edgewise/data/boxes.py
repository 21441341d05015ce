"""Boxes and the cells that they occupy: the one rule shared by the renderer's truth, labels of a clip and every detector.

A box is x0, y0, x1, y1 as fractions of the picture. The grid has cells of 16 × 16 px of a 640 × 360 frame: 40 columns and
23 rows, of which the last is half a cell high. **A cell is occupied if and only if its centre lies in a box**, where the
centre of the last row is that of its visible half (352..360 px, so 356 px). A box too small to hold any centre occupies
the cell in which its own centre lies, so that no vehicle vanishes from the grid.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FRAME = (640, 360)  # width, height in px
CELL = 16  # px
ROWS, COLUMNS = 23, 40

_X = (np.arange(COLUMNS) + 0.5) * CELL / FRAME[0]
_Y = np.append((np.arange(ROWS - 1) + 0.5) * CELL, ((ROWS - 1) * CELL + FRAME[1]) / 2) / FRAME[1]


def overlaps(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of every box of `a` (…, n, 4) with every box of `b` (…, m, 4): (…, n, m)."""
    a, b = (x if x.ndim > 2 else x.reshape(-1, 4) for x in (np.asarray(a, float), np.asarray(b, float)))
    a, b = a[..., :, None, :], b[..., None, :, :]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared: NDArray[np.float64] = np.clip(sides, 0, None).prod(-1)
    union = _area(a) + _area(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(-1)
    return area


def occupied(boxes: ArrayLike) -> NDArray[np.bool_]:
    """The cells (rows, columns) that `boxes` (n, 4) occupy, by the rule above.

    >>> int(occupied([[0.0, 0.0, 1.0, 1.0]]).sum())
    920
    """
    x0, y0, x1, y1 = np.asarray(boxes, float).reshape(-1, 4).T
    across = (x0[:, None] <= _X) & (x1[:, None] >= _X)  # (n, columns)
    down = (y0[:, None] <= _Y) & (y1[:, None] >= _Y)  # (n, rows)
    grid: NDArray[np.bool_] = np.any(down[:, :, None] & across[:, None, :], axis=0)
    small = ~(across.any(1) & down.any(1)) & (x1 > x0) & (y1 > y0)
    column = np.clip((x0 + x1)[small] / 2 * FRAME[0] // CELL, 0, COLUMNS - 1).astype(int)
    row = np.clip((y0 + y1)[small] / 2 * FRAME[1] // CELL, 0, ROWS - 1).astype(int)
    grid[row, column] = True
    return grid
