"""A teacher that answers devices: from an ONNX file, and from a network in torch that becomes one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from edgewise.apps.vision.adapting_cascade import answering, check
from edgewise.core.artifact import Raw
from edgewise.core.errors import ConfigError
from tests.apps.small_school import COLOURS, SIDE, scene, school, teacher


def test_it_answers_in_the_words_of_the_model(tmp_path: Path) -> None:
    manifest = school(tmp_path / "b")
    spoken = answering(str(teacher(tmp_path / "t.onnx")), b"", manifest)
    outputs = spoken.outputs([scene(i % 3, i, tinted=True) for i in range(12)])
    assert outputs["scores"].argmax(1).tolist() == [i % 3 for i in range(12)]
    for broken in (replace(manifest, decoding=Raw()), replace(manifest, points=manifest.points[:1])):
        with pytest.raises(ConfigError, match="--cascade 0"):
            check(broken)


def test_one_in_torch_answers_without_torch_as_it_teaches(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from edgewise.adapt.training.teacher import TorchTeacher
    from edgewise.graph.picture import Look

    manifest = school(tmp_path / "b")
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    net = torch.nn.Sequential(*layers, torch.nn.Linear(4, 3))
    own = TorchTeacher(net, Look(SIDE, SIDE, mean=(0.5,), std=(0.25,)), manifest.decoding, COLOURS)
    pictures = [scene(i % 3, i, tinted=False) for i in range(5)]
    said = answering("mine", own.spoken(), manifest).outputs(pictures)["scores"]
    assert np.allclose(np.exp(said), own.probabilities(pictures), atol=1e-4)
