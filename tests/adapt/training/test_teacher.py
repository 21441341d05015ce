"""A teacher in torch: a person's function or an ONNX file; the student's labels; getting better, and staying as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from torch import nn  # noqa: E402

from edgewise.adapt.step import likelihood  # noqa: E402
from edgewise.adapt.teacher import Teacher  # noqa: E402
from edgewise.adapt.training.teacher import TorchTeacher, torch_teacher  # noqa: E402
from edgewise.core.artifact import Picture  # noqa: E402
from edgewise.core.errors import ConfigError, ModelError  # noqa: E402
from edgewise.graph.picture import Look  # noqa: E402
from tests.adapt.training.small_parts import CLASSES, SIDE, answered, part  # noqa: E402

LABELS = ("bus", "car", "van")
PLAIN = Picture(SIDE, SIDE)
CODE = """
import torch
from torch import nn

def build():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
    net.labels = {labels}
    return net
"""


def net(seed: int = 0, classes: int = CLASSES) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, classes)).eval()


def shown(count: int, side: int = SIDE, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, side, side, 3)).astype(np.uint8))


def test_it_answers_pictures_of_any_size_as_its_network_does() -> None:
    teacher = TorchTeacher(net(), Look(SIDE, SIDE, mean=(0.5,), std=(0.25,)), labels=LABELS)
    assert isinstance(teacher, Teacher)
    pictures = shown(40)
    x = (torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    wanted = likelihood(net()(x).detach().numpy())
    assert np.allclose(teacher.probabilities(pictures), wanted, atol=1e-5)
    mixed = [*shown(2, 2 * SIDE), *shown(1, 13)]
    said = teacher.probabilities(mixed)
    assert said.shape == (3, CLASSES) and np.allclose(said.sum(1), 1, atol=1e-5)
    assert teacher.probabilities([]).shape == (0, CLASSES)


@pytest.mark.parametrize("raw", [True, False])
def test_an_onnx_file_is_a_teacher(tmp_path: Path, raw: bool) -> None:
    model, _ = part("batch", pictures=raw)
    (tmp_path / "big.onnx").write_bytes(model)
    teacher = torch_teacher(str(tmp_path / "big.onnx"), PLAIN, labels=LABELS)
    pictures = shown(4)
    stacked = np.stack(pictures)
    given = stacked if raw else (stacked.transpose(0, 3, 1, 2) / 255).astype(np.float32)
    assert np.allclose(teacher.probabilities(pictures), likelihood(answered(model, given)), atol=1e-5)


def test_a_persons_function_is_a_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_teacher.py").write_text(CODE.replace("{labels}", repr(LABELS)))
    (tmp_path / "other_teacher.py").write_text(CODE.replace("{labels}", "('cat', 'dog', 'cow')"))
    monkeypatch.chdir(tmp_path)
    teacher = torch_teacher("torch:their_teacher:build", PLAIN, labels=LABELS)
    assert teacher.name == "their_teacher:build" and teacher.probabilities(shown(2)).shape == (2, 3)
    again = torch_teacher("their_teacher:build", PLAIN, labels=LABELS)
    assert np.array_equal(again.probabilities(shown(2)), teacher.probabilities(shown(2)))
    with pytest.raises(ConfigError, match="other labels"):
        torch_teacher("other_teacher:build", PLAIN, labels=LABELS)
    with pytest.raises(ConfigError, match="no such function"):
        torch_teacher("torch:their_teacher:made", PLAIN)


def test_a_teacher_of_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ModelError, match="other classes"):
        TorchTeacher(net(classes=5), Look(SIDE, SIDE), labels=LABELS)


def test_by_default_it_never_changes() -> None:
    teacher = TorchTeacher(net(), Look(SIDE, SIDE))
    first = teacher.probabilities(shown(8))
    teacher.probabilities(shown(64, seed=5))
    assert np.array_equal(teacher.probabilities(shown(8)), first)


def test_moving_statistics_lead_home_what_was_darkened() -> None:
    """The same pictures at a quarter of the light: after some of them the teacher says again what it said of the bright ones."""
    bright = shown(64)
    dark = [(p // 4).astype(np.uint8) for p in bright]
    own = net()
    first = own[0](torch.from_numpy(np.stack(bright)).permute(0, 3, 1, 2).float() / 255)
    own[1].running_mean, own[1].running_var = first.mean([0, 2, 3]).detach(), first.var([0, 2, 3]).detach()
    wanted = TorchTeacher(own, Look(SIDE, SIDE)).probabilities(bright)
    still = np.abs(TorchTeacher(own, Look(SIDE, SIDE)).probabilities(dark) - wanted).mean()
    teacher = TorchTeacher(own, Look(SIDE, SIDE), follow=0.5)
    for _ in range(12):
        teacher.probabilities(dark)
    assert np.abs(teacher.probabilities(dark) - wanted).mean() < 0.6 * still


def test_entropy_steps_make_it_surer_and_leave_the_given_network_alone() -> None:
    own = net()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    teacher = TorchTeacher(own, Look(SIDE, SIDE), rate=0.05)
    pictures = shown(32)
    first = teacher.probabilities(pictures)
    for _ in range(10):
        last = teacher.probabilities(pictures)
    entropies = [-(p * np.log(p)).sum(1).mean() for p in (first, last)]
    assert entropies[1] < entropies[0]
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())


def test_a_network_that_gives_nan_gives_rows_of_nan() -> None:
    own = net()
    with torch.no_grad():
        own[4].bias[0] = torch.nan  # type: ignore[index]
    teacher = TorchTeacher(own, Look(SIDE, SIDE), rate=0.1, follow=0.1)
    assert np.isnan(teacher.probabilities(shown(3))).all(axis=1).all()
