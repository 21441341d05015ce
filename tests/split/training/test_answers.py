"""Stage 2 learns from the teacher's answers, from labels where a picture has one, and from any outputs of other tasks."""

import math

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.core.errors import ModelError  # noqa: E402
from edgewise.split.training.answers import NONE, answered, classified  # noqa: E402

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def test_the_teachers_own_answers_cost_nothing_and_others_their_divergence() -> None:
    loss = classified(None)
    assert float(loss(LOGITS, lambda: {"logits": LOGITS}, [0, 1])) == pytest.approx(0, abs=1e-7)
    flat = torch.zeros(2, 3)
    p = LOGITS.softmax(-1)
    wanted = float((p * (p.log() - math.log(1 / 3))).sum(-1).mean())  # KL(teacher ‖ student), by its definition
    assert float(loss(flat, lambda: LOGITS, [0, 1])) == pytest.approx(wanted, rel=1e-5)


def test_a_label_is_half_of_a_pictures_loss_and_a_picture_without_one_hears_the_teacher_alone() -> None:
    flat = torch.zeros(2, 3)
    labels = [1, 2, NONE, NONE]
    kl = classified(None)
    both = float(classified(labels)(flat, lambda: LOGITS, [0, 1]))
    assert both == pytest.approx((math.log(3) + float(kl(flat, lambda: LOGITS, [0, 1]))) / 2, rel=1e-5)
    assert float(classified(labels)(flat, lambda: LOGITS, [2, 3])) == pytest.approx(float(kl(flat, lambda: LOGITS, [2, 3])))
    assert torch.isfinite(classified(labels)(flat, lambda: LOGITS, [3, 3]))


def test_outputs_of_a_detector_are_compared_in_units_of_their_spread() -> None:
    wanted = {"score": torch.tensor([[0.0, 1.0]]), "box": torch.tensor([[0.0, 100.0]])}
    given = {"score": torch.tensor([[0.1, 1.0]]), "box": torch.tensor([[10.0, 100.0]])}
    alone = {**wanted, "score": given["score"]}
    loss = float(answered(given, lambda: wanted, [0]))
    assert loss == pytest.approx(2 * float(answered(alone, lambda: wanted, [0])), rel=1e-5), "pixels weigh no more than scores"
    with pytest.raises(ModelError, match="does not classify"):
        classified(None)(given, lambda: wanted, [0])
