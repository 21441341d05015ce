"""Resize and Upsample of ONNX in torch, nearest and linear.

The standard has several ways to find where a place of the new map lies in the old one, and several to round; torch has few of
them. Where one of torch's is the same, it is taken; else rows are looked up, or joined by a matrix of weights. Sizes are
Python numbers when a kernel runs. Cubic resizing, antialiasing and cropping are refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from edgewise.training.onnx_layers import Kernel, Node, Value

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def resize(node: Node) -> Kernel:
    """Resize and Upsample, nearest and linear, in every way of finding the places but cropping."""
    mode = node.get("mode", "nearest")
    old = node.kind == "Upsample" or node.version < 11
    places = "asymmetric" if old else node.get("coordinate_transformation_mode", "half_pixel")
    near = "floor" if old else node.get("nearest_mode", "round_prefer_floor")
    if mode not in ("nearest", "linear") or node.get("antialias", 0) or places == "tf_crop_and_resize":
        raise node.refused(f"mode {mode}, {places}", "nearest or linear, without antialiasing and cropping")
    if node.get("keep_aspect_ratio_policy", "stretch") != "stretch" or "axes" in node.attributes:
        raise node.refused("a policy of its own for some axes", "scales or sizes of all axes")

    def run(v: Sequence[Value]) -> Value:
        x, rank = v[0], v[0].ndim - 2
        scales, sizes = node.get("scales", None), None
        if scales is None:
            given = node.fixed(1 if old else 2)
            scales = given.tolist() if given is not None and given.size else None
        if scales is None:
            sizes = [int(s) for s in v[3][2:]]
            scales = [1.0, 1.0, *(s / n for s, n in zip(sizes, x.shape[2:]))]
        before = [int(n) for n in x.shape[2:]]
        after = sizes or [math.floor(n * s) for n, s in zip(before, scales[2:])]
        exact = all(a == n * s for a, n, s in zip(after, before, scales[2:])) or sizes is not None
        if mode == "linear" and exact and min(after) > 1 and places in ("half_pixel", "pytorch_half_pixel", "align_corners"):
            return functional.interpolate(x, size=after, mode=LINEAR[rank], align_corners=places == "align_corners")
        rows = [origins(places, n, a, s) for n, a, s in zip(before, after, scales[2:])]
        if mode == "nearest":
            taken = [np.clip(_near(r, near), 0, n - 1).astype(int) for r, n in zip(rows, before)]
            if all((t == np.arange(len(t)) * n // len(t)).all() for t, n in zip(taken, before)):
                return functional.interpolate(x, size=after, mode="nearest")
            for axis, t in enumerate(taken):
                x = x.index_select(2 + axis, torch.from_numpy(t))
            return x
        for axis, (r, n) in enumerate(zip(rows, before)):
            x = torch.matmul(x.movedim(2 + axis, -1), torch.from_numpy(_between(r, n).T.copy())).movedim(-1, 2 + axis)
        return x

    return run


def origins(places: str, before: int, after: int, scale: float) -> NDArray[np.float64]:
    """Where along the old axis each place of the new one lies."""
    new = np.arange(after, dtype=np.float64)
    if places == "asymmetric":
        return new / scale
    if places == "align_corners":
        return np.linspace(0, before - 1, after) if after > 1 else np.zeros(1)
    if places == "pytorch_half_pixel" and after == 1:
        return np.zeros(1)
    shift = 0.0
    if places == "half_pixel_symmetric":
        shift = before / 2 * (1 - after / (before * scale))
    found: NDArray[np.float64] = shift + (new + 0.5) / scale - 0.5
    return found


def _near(rows: NDArray[np.float64], how: str) -> NDArray[np.float64]:
    found = {
        "floor": np.floor(rows),
        "ceil": np.ceil(rows),
        "round_prefer_floor": np.ceil(rows - 0.5),
        "round_prefer_ceil": np.floor(rows + 0.5),
    }
    return found[how]


def _between(rows: NDArray[np.float64], before: int) -> NDArray[np.float32]:
    """The matrix (new, old) of linear interpolation at `rows`, which stays inside."""
    held = np.clip(rows, 0, before - 1)
    below = np.floor(held).astype(int)
    above, share = np.minimum(below + 1, before - 1), held - below
    matrix = np.zeros((len(rows), before), np.float32)
    np.add.at(matrix, (np.arange(len(rows)), below), 1 - share)
    np.add.at(matrix, (np.arange(len(rows)), above), share)
    return matrix
