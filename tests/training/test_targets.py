"""Targets and loss: the cell rule agrees with the numpy one, and the truth costs less than anything else."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.data import boxes as rule  # noqa: E402
from edgewise.training import targets  # noqa: E402
from edgewise.training.frames import padded  # noqa: E402


def some_boxes(seed, count=6):
    generator = np.random.default_rng(seed)
    start = generator.random((count, 2)) * 0.7
    return np.concatenate([start, start + 0.06 + generator.random((count, 2)) * 0.2], axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_occupied_cells_are_those_of_the_one_rule(seed):
    corners = some_boxes(seed)
    found = targets.occupied(torch.from_numpy(padded(corners))[None])[0, 0].numpy() > 0
    assert np.array_equal(found, rule.occupied(corners))


def test_every_box_has_one_peak_in_the_cell_of_its_middle():
    corners = some_boxes(1, 4)
    each = targets.gaussians(torch.from_numpy(padded(corners))[None])[0]
    for i, box in enumerate(padded(corners)[:4]):
        peak = np.unravel_index(int(each[i].argmax()), each[i].shape)
        middle = ((box[1] + box[3]) / 2 * 22.5, (box[0] + box[2]) / 2 * 40)
        assert peak == (int(middle[0]), int(middle[1])) and each[i].max() == 1
    assert each[4:].sum() == 0


def perfect(boxes):
    each = targets.gaussians(boxes)
    strength, owner = each.max(1)
    box = torch.nan_to_num(boxes).gather(1, owner.flatten(1)[..., None].expand(-1, -1, 4))
    box = box.permute(0, 2, 1).reshape(len(boxes), 4, *strength.shape[1:])
    score = torch.where(strength == 1, 12.0, -12.0)[:, None]
    return score, box, (targets.occupied(boxes) * 2 - 1) * 12


def test_the_truth_costs_next_to_nothing_and_any_error_costs_more():
    boxes = torch.from_numpy(np.stack([padded(some_boxes(s)) for s in (2, 3)]))
    score, box, cells = perfect(boxes)
    least, parts = targets.loss((score, box, cells), boxes)
    assert least < 0.01 and set(parts) == {"score", "box", "cells"}
    for wrong in ((-score, box, cells), (score, (box + 0.05), cells), (score, box, -cells)):
        assert targets.loss(wrong, boxes)[0] > least + 0.05


def test_a_frame_without_vehicles_has_a_finite_loss_and_gradient():
    score = torch.zeros(1, 1, 23, 40, requires_grad=True)
    empty = torch.from_numpy(padded(np.zeros((0, 4))))[None]
    loss, _ = targets.loss((score, torch.rand(1, 4, 23, 40), torch.zeros(1, 1, 23, 40)), empty)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(score.grad).all() and (score.grad > 0).all()
