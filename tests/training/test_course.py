"""A course ends the same wherever it was stopped, whatever the optimiser, and whatever torch draws within its lesson."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from torch import Tensor, nn  # noqa: E402

from edgewise.core.errors import ConfigError  # noqa: E402
from edgewise.training.course import Course, Optimiser, adam, follow, sgd  # noqa: E402
from tests.split.tiny import Blobs  # noqa: E402

COURSE = Course(epochs=3, rate=1e-2, batch=8, crop=20, half_precision=False)


def net() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.Dropout(), nn.Conv2d(6, 1, 3))


class Stop(Exception):
    pass


def taught(work: Path, optimiser: Optimiser, stop: float = 2.0, course: Course = COURSE, about: str = "") -> nn.Sequential:
    learnt = net()

    def lesson(pictures: NDArray[np.uint8], indices: list[int]) -> Tensor:
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        loss: Tensor = (learnt(x) - 1 + torch.rand(1)).square().mean()
        return loss

    def heard(what: str, share: float) -> None:
        if share >= stop:
            raise Stop

    follow(learnt, learnt.parameters(), Blobs(), lesson, course, work, heard, keep=0.0, optimiser=optimiser, about=about)
    return learnt


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_stopped_twice_it_ends_with_the_same_weights(kind: str, tmp_path: Path) -> None:
    optimiser = sgd if kind == "sgd" else adam()
    whole = taught(tmp_path / "whole", optimiser)
    for stop in (0.3, 0.7):
        torch.rand(7)  # what others draw does not matter
        with pytest.raises(Stop):
            taught(tmp_path / "broken", optimiser, stop)
    again = taught(tmp_path / "broken", optimiser)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))
    assert not torch.equal(whole[0].weight, net()[0].weight)


def test_quick_parameters_learn_faster(tmp_path: Path) -> None:
    """Adam's first step is the rate for every parameter with a gradient."""
    optimiser = adam()([nn.Parameter(torch.zeros(1))], COURSE)
    quick = nn.Parameter(torch.zeros(1))
    groups = adam([quick], 5.0)([nn.Parameter(torch.zeros(1)), quick], COURSE).param_groups
    assert [g["times"] for g in groups] == [1.0, 5.0] and [g["times"] for g in optimiser.param_groups] == [1.0]
    last = taught(tmp_path, adam())
    assert (last[3].bias - net()[3].bias).abs().item() < 18 * COURSE.rate  # 18 steps


def test_a_folder_of_another_course_is_refused(tmp_path: Path) -> None:
    taught(tmp_path, sgd, about="one")
    for course, about in ((COURSE, "two"), (Course(epochs=4, rate=1e-2), "one")):
        with pytest.raises(ConfigError, match="another course"):
            taught(tmp_path, sgd, course=course, about=about)
