"""Exits that learn from a frozen network: it does not change, they come to say what it says, and a kill changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.core.errors import ConfigError, ModelError
from edgewise.graph.picture import Look
from edgewise.split.training.exits import said, taught
from edgewise.training.course import Course
from edgewise.training.nets.resnet import ResNet

LOOK = Look(16, 16, 3, 1 / 255, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), False)
COURSE = Course(epochs=12, rate=0.1, batch=16, mirror=False, half_precision=False)


class Colours:
    """Pictures of one colour and noise; the class is which of three is strongest."""

    def __init__(self, count: int = 96) -> None:
        generator = np.random.default_rng(0)
        self.labels = generator.integers(0, 3, count)
        self.pictures = generator.integers(0, 120, (count, 16, 16, 3)).astype(np.uint8)
        self.pictures[np.arange(count), ..., self.labels] += 100

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, indices: list[int]) -> NDArray[np.uint8]:
        return self.pictures[indices]


def net() -> ResNet:
    torch.manual_seed(1)
    return ResNet(3, (4, 6, 8, 10), stem=(3, 1, False)).eval()


@pytest.mark.parametrize("labelled", [True, False])
def test_exits_learn_and_the_network_stays(tmp_path: Path, labelled: bool) -> None:
    source, teacher = Colours(), net()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    labels = source.labels.tolist() if labelled else None
    exits = taught(teacher, ["layer1", "layer2"], source, labels, LOOK, COURSE, tmp_path, width=8)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    early, whole = said(teacher, exits, source, LOOK)
    assert list(early) == ["layer1", "layer2"] and whole.shape == (96, 3)
    for one in (*early.values(), whole):
        assert np.allclose(one.sum(1), 1)
    if labelled:  # the network knows nothing: what an exit knows, it has from the labels
        assert (early["layer1"].argmax(1) == source.labels).mean() > 0.9
    else:
        fresh = np.abs(np.full_like(whole, 1 / 3) - whole).mean()
        assert np.abs(early["layer2"] - whole).mean() < fresh + 0.05


def test_exits_of_other_layers_or_of_another_network_do_not_go_on(tmp_path: Path) -> None:
    short = replace(COURSE, epochs=0.1)
    taught(net(), ["layer1"], Colours(), None, LOOK, short, tmp_path, width=8)
    taught(net(), ["layer1"], Colours(), None, LOOK, short, tmp_path, width=8)
    other = net()
    with torch.no_grad():
        next(other.parameters()).mul_(2)
    for teacher, labels in ((other, None), (net(), Colours().labels.tolist())):
        with pytest.raises(ConfigError, match="another course"):
            taught(teacher, ["layer1"], Colours(), labels, LOOK, short, tmp_path, width=8)


def test_where_no_exit_can_stand_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot stand at 'pool'"):
        taught(net(), ["pool"], Colours(), None, LOOK, COURSE, tmp_path)
    with pytest.raises(ModelError, match="classifier"):
        taught(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1)), ["0"], Colours(), None, LOOK, COURSE, tmp_path)
