"""Feature distillation: what a gap counts, who learns, and that the teacher stays as it was."""

import copy
import math

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from torch import nn  # noqa: E402

from edgewise.core.errors import ModelError  # noqa: E402
from edgewise.training.distil import Distil, answering, gap, spread  # noqa: E402


def test_a_gap_is_the_squared_error_of_one_picture() -> None:
    teacher = torch.zeros(4, 2, 3, 3)
    assert gap(teacher + 2, teacher).item() == pytest.approx(2 * 9 * 4)
    assert gap((teacher + 2)[:1], teacher[:1]).item() == gap(teacher + 2, teacher).item()  # whatever the batch
    with pytest.raises(ModelError, match="shapes"):
        gap(teacher[:, :1], teacher)


def test_a_relative_gap_knows_no_units_and_no_size() -> None:
    generator = torch.Generator().manual_seed(1)
    teacher, noise = (torch.randn(8, 4, 6, 6, generator=generator) for _ in range(2))
    one = gap(teacher + 0.3 * noise, teacher, relative=True)
    assert one.item() == pytest.approx(0.09, rel=0.1)
    assert gap(1000 * (teacher + 0.3 * noise), 1000 * teacher, relative=True).item() == pytest.approx(one.item(), rel=1e-3)


def test_labels_and_the_teachers_answers_count_in_equal_parts() -> None:
    told = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    flat, p = torch.zeros(2, 3), told.softmax(1)
    apart = float((p * (p.log() + math.log(3))).sum(1).mean())  # KL(teacher ‖ student), by its definition
    assert answering(flat, told).item() == pytest.approx(apart, rel=1e-5)
    assert answering(flat, told, torch.tensor([0, 2])).item() == pytest.approx((apart + math.log(3)) / 2, rel=1e-5)


def test_only_what_may_learn_gets_gradients() -> None:
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(5, 2))
    student = copy.deepcopy(teacher)
    student.requires_grad_(False)
    student[0].requires_grad_(True)
    with torch.no_grad():
        student[0].weight.add_(0.5)
    loss, parts = Distil(teacher, student, {"0": 1.0, "1": 2.0})(torch.ones(2, 3))
    loss.backward()
    assert loss.item() == pytest.approx(parts["0"] + 2 * parts["1"], rel=1e-5)
    assert student[0].weight.grad is not None and student[1].weight.grad is None
    assert all(p.grad is None for p in teacher.parameters())


def test_a_spread_is_over_pictures_element_by_element() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(12, 3, 2, 2, generator=generator) * 2 + torch.arange(3.0)[:, None, None] * 100
    net = nn.Sequential(nn.Identity(), nn.Identity())
    found = spread(net, ["0", "1"], [pictures[:5], pictures[5:]])
    assert found["0"] == pytest.approx(pictures.var(0, correction=0).mean().item(), rel=1e-4) and found["1"] == found["0"]
    assert gap(pictures + 1, pictures, variance=found["0"]).item() == pytest.approx(1 / found["0"], rel=1e-4)
