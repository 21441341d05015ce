"""What the detector's maps should say of given things, and how far from it they are: boxes, classes, masks, keypoints.

Score: a Gaussian around each box's middle and the penalty-reduced focal loss of CenterNet (eq. 1; α = 2, β = 4), a map for each
class. Box: 1 − generalised IoU (Rezatofighi et al. 2019) at the cells near a middle. Keypoints: L1 of the offsets in box sizes,
at the same cells. Masks: cross-entropy and dice (Milletari et al. 2016) at SIDE × SIDE places in each box, sampled from the
prototypes as the decoder does it; each thing counts the same, however small.
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor
from torch.nn import functional

from edgewise.training.nets.fpn import STRIDE, Maps

NEAR = 0.45  # Gaussian above which a cell answers for a box
SIDE = 14  # places across a box where its mask is compared
FARTHEST = 2.0  # box sizes from the middle: corners farther out (a vehicle cut by the frame) are told no better than this
WEIGHTS = {"score": 0.5, "box": 1.0, "points": 3.0, "mask": 1.0}


class Truth(Struct, frozen=True):
    """A batch's truth: `boxes` (n, most, 4; NaN where none), `label` (n, most), `points` (n, most, 8, 2; fractions), `masks`
    (n, rows, columns; which thing) with the `number` (n, most) of each box in it. Fractions of the picture that the network
    sees become those of `masks` by `scale` (2) and `shift` (2)."""

    boxes: Tensor
    label: Tensor
    points: Tensor
    masks: Tensor
    number: Tensor
    scale: Tensor
    shift: Tensor


def loss(maps: Maps, truth: Truth, size: tuple[int, int]) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum over a batch of pictures of `size` (height, width), and its parts for the record."""
    there = ~truth.boxes[..., 0].isnan()
    number = there.sum().clamp(min=1)
    each = gaussians(truth.boxes, maps.score.shape[2:], size)
    strength, owner = each.max(1)  # (n, rows, columns)
    parts = {"score": focal(maps.score, each, truth.label) / number}
    near = strength > NEAR
    weight = strength[near]
    total = weight.sum().clamp(min=1)
    chosen = owner.flatten(1)
    wanted = truth.boxes.gather(1, chosen[..., None].expand(-1, -1, 4))[near.flatten(1)]  # (cell, 4)
    parts["box"] = (weight * (1 - _generalised(maps.box.permute(0, 2, 3, 1)[near], wanted))).sum() / total
    if maps.points.shape[1]:
        corners = truth.points.flatten(2).gather(1, chosen[..., None].expand(-1, -1, maps.points.shape[1]))[near.flatten(1)]
        offsets = maps.points.permute(0, 2, 3, 1)[near].reshape(len(wanted), maps.points.shape[1] // 2, 2)
        sides = (wanted[:, 2:] - wanted[:, :2]).clamp(min=1e-3)[:, None]
        goal = (corners.reshape(offsets.shape) - (wanted[:, None, :2] + wanted[:, None, 2:]) / 2) / sides
        wrong = (offsets - goal.clamp(-FARTHEST, FARTHEST)).abs().mean((1, 2))
        parts["points"] = (weight * wrong).sum() / total
    if maps.prototypes.shape[1]:
        parts["mask"] = mask_loss(maps, truth, there, size)
    whole = torch.stack([WEIGHTS[name] * part for name, part in parts.items()]).sum()
    return whole, {name: round(float(part.detach()), 4) for name, part in parts.items()}


def gaussians(boxes: Tensor, grid: tuple[int, int] | torch.Size, size: tuple[int, int]) -> Tensor:
    """A Gaussian for each box (n, most, rows, columns), 1 in the cell that holds the middle; 0 for padding."""
    cells = torch.tensor([size[1] / STRIDE, size[0] / STRIDE])
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2 * cells
    spread = ((boxes[..., 2:] - boxes[..., :2]) * cells / 6).clamp(min=0.5)
    column, row = torch.arange(grid[1]), torch.arange(grid[0])
    dx = (column - middle[..., 0:1].floor()) / spread[..., 0:1]
    dy = (row - middle[..., 1:2].floor()) / spread[..., 1:2]
    found = torch.exp(-0.5 * dy**2)[..., :, None] * torch.exp(-0.5 * dx**2)[..., None, :]
    return torch.nan_to_num(found)


def focal(score: Tensor, each: Tensor, label: Tensor) -> Tensor:
    """The focal loss of `score` (n, classes, rows, columns; logits), summed; `each` holds the Gaussian of each box."""
    strength = torch.stack([(each * (label == k)[..., None, None]).amax(1) for k in range(score.shape[1])], dim=1)
    middle = strength == 1
    said, not_said = functional.logsigmoid(score), functional.logsigmoid(-score)
    hit = -(middle * not_said.exp() ** 2 * said).sum()
    false = -(~middle * (1 - strength) ** 4 * said.exp() ** 2 * not_said).sum()
    return hit + false


def mask_loss(maps: Maps, truth: Truth, there: Tensor, size: tuple[int, int]) -> Tensor:
    """Cross-entropy and dice between the masks that the maps give for the true boxes and the true masks, mean over things."""
    boxes = torch.nan_to_num(truth.boxes)
    batch, most = boxes.shape[:2]
    sides = boxes[..., 2:] - boxes[..., :2]
    cells = torch.tensor([size[1] / STRIDE, size[0] / STRIDE])
    near = boxes[..., :2] + sides * (0.5 + 0.3 * (torch.rand(batch, most, 2) - 0.5))  # the peak is not always the very middle
    column, row = (near * cells).long().unbind(-1)
    rows, columns = maps.coefficients.shape[2:]
    place = row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)  # (n, most)
    taken = maps.coefficients.flatten(2).gather(2, place[:, None].expand(-1, maps.coefficients.shape[1], -1))
    steps = (torch.arange(SIDE) + 0.5) / SIDE
    x = boxes[..., 0:1] + sides[..., 0:1] * steps  # (n, most, SIDE), fractions of the picture
    y = boxes[..., 1:2] + sides[..., 1:2] * steps
    x, y = x[..., None, :].expand(-1, -1, SIDE, -1), y[..., None].expand(-1, -1, -1, SIDE)
    padded = torch.tensor([columns * STRIDE / size[1], rows * STRIDE / size[0]])
    grid = 2 * torch.stack([x / padded[0], y / padded[1]], dim=-1) - 1
    sampled = functional.grid_sample(maps.prototypes, grid.flatten(1, 2), align_corners=False, padding_mode="border")
    logits = torch.einsum("npk,npkyx->nkyx", taken, sampled.view(batch, -1, most, SIDE, SIDE))
    goal = _looked_up(truth, x, y)
    cross = functional.binary_cross_entropy_with_logits(logits, goal, reduction="none").mean((2, 3))
    said = torch.sigmoid(logits)
    dice = 1 - (2 * (said * goal).sum((2, 3)) + 1) / (said.sum((2, 3)) + goal.sum((2, 3)) + 1)
    return ((cross + dice) * there).sum() / there.sum().clamp(min=1)


def _looked_up(truth: Truth, x: Tensor, y: Tensor) -> Tensor:
    """1 where the place x, y (n, most, SIDE, SIDE; fractions) shows the thing, 0 elsewhere."""
    rows, columns = truth.masks.shape[1:]
    column = ((x * truth.scale[0] + truth.shift[0]) * columns).floor().long()
    row = ((y * truth.scale[1] + truth.shift[1]) * rows).floor().long()
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    place = row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)
    seen = truth.masks.flatten(1).gather(1, place.flatten(1)).view_as(place)
    return ((seen == truth.number[..., None, None]) & inside).float()


def _generalised(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of boxes (n, 4) with (n, 4): −1..1."""
    sides = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    shared = sides.prod(1)
    union = (a[:, 2:] - a[:, :2]).clamp(min=0).prod(1) + (b[:, 2:] - b[:, :2]).clamp(min=0).prod(1) - shared
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    return shared / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)
