"""What the detector's maps should say of given boxes, and how far from it they are.

Score: a Gaussian around each box's middle and the penalty-reduced focal loss of CenterNet (eq. 1; α = 2, β = 4). Box: 1 −
generalised IoU (Rezatofighi et al. 2019) at the cells near a middle, weighted by that Gaussian. Occupied: cross-entropy with
the cell rule of `edgewise.data.boxes`, in torch because frames are flipped and scaled in batches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edgewise.training.nets.detector import COLUMNS, ROWS

_X = (torch.arange(COLUMNS) + 0.5) / COLUMNS
_Y = torch.cat([(torch.arange(ROWS - 1) + 0.5) * 16 / 360, torch.tensor([356 / 360])])
NEAR = 0.45  # Gaussian above which a cell answers for a box


def occupied(boxes: Tensor) -> Tensor:
    """Boxes (batch, most, 4; NaN where none) → occupied cells (batch, 1, 23, 40), 0 or 1."""
    across = (boxes[..., 0:1] <= _X) & (boxes[..., 2:3] >= _X)  # comparisons with NaN are false
    down = (boxes[..., 1:2] <= _Y) & (boxes[..., 3:4] >= _Y)
    grid = torch.einsum("bkr,bkc->brc", down.float(), across.float()) > 0
    return grid[:, None].float()


def gaussians(boxes: Tensor) -> Tensor:
    """A Gaussian for each box (batch, most, 23, 40), 1 in the cell that holds the middle; 0 for padding."""
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2 * torch.tensor([COLUMNS, 360 / 16])
    spread = ((boxes[..., 2:] - boxes[..., :2]) * torch.tensor([COLUMNS, 360 / 16]) / 6).clamp(min=0.5)
    column, row = torch.arange(COLUMNS), torch.arange(ROWS)
    dx = (column - middle[..., 0:1].floor()) / spread[..., 0:1]
    dy = (row - middle[..., 1:2].floor()) / spread[..., 1:2]
    found = torch.exp(-0.5 * (dx[..., None, :] ** 2 + dy[..., :, None] ** 2))
    return torch.nan_to_num(found)


def loss(maps: tuple[Tensor, Tensor, Tensor], boxes: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum over a batch, and its parts for the record."""
    score, box, occupancy = maps
    each = gaussians(boxes)
    strength, owner = each.max(1)  # (batch, 23, 40)
    number = (~boxes[..., 0].isnan()).sum().clamp(min=1)
    middle = strength == 1
    said, not_said = functional.logsigmoid(score[:, 0]), functional.logsigmoid(-score[:, 0])
    hit = -(middle * not_said.exp() ** 2 * said).sum()
    false = -(~middle * (1 - strength) ** 4 * said.exp() ** 2 * not_said).sum()
    near = strength > NEAR
    wanted = boxes.gather(1, owner.flatten(1)[..., None].expand(-1, -1, 4))[near.flatten(1)]  # (cell, 4)
    weight = strength[near]
    shape = (weight * (1 - _generalised(box.permute(0, 2, 3, 1)[near], wanted))).sum() / weight.sum().clamp(min=1)
    cells = functional.binary_cross_entropy_with_logits(occupancy, occupied(boxes))
    parts = {"score": (hit + false) / number, "box": shape, "cells": cells}
    total = parts["score"] * 0.5 + parts["box"] + parts["cells"] * 6.0
    return total, {name: round(float(part.detach()), 4) for name, part in parts.items()}


def _generalised(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of boxes (n, 4) with (n, 4): −1..1."""
    sides = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    shared = sides.prod(1)
    union = (a[:, 2:] - a[:, :2]).clamp(min=0).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    return shared / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)
