"""Students and teachers of the benchmark: what a teacher is shown follows from seed and step, and what is trained is taken up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.adapt import bundled, models
from bench.adapt.nets import WEIGHTS, CifarResNet, OfBytes
from edgewise.adapt.training.step import AffineStep
from edgewise.adapt.training.student import of_bundle, of_net
from edgewise.core.errors import ConfigError
from edgewise.data.album import Album, kept
from edgewise.data.dataset import Entry

NAMES = tuple("abcdefghij")


def album(count: int = 40, seed: int = 0) -> Album:
    drawn = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    return kept(drawn, [Entry(str(i), label=NAMES[i % 10]) for i in range(count)], NAMES)


def lesson(role: models.Role, seed: int = 0) -> models.Lesson:
    return models.Lesson(CifarResNet(20), album().labels, models.LOOKS["cifar10"], models.planned("cifar10", role, seed))


def test_a_teacher_sees_the_same_weather_at_the_same_step_alone() -> None:
    seen, pictures = [], album().stack(range(20))
    for seed, step in ((0, 3), (0, 3), (0, 4), (1, 3)):
        one = lesson("teacher", seed)
        one.prepare(step, 10)
        seen.append(one.shown(pictures))
    assert np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2]) and not np.array_equal(seen[0], seen[3])
    changed = [(a != b).any() for a, b in zip(seen[0], pictures, strict=True)]
    assert 12 <= sum(changed) <= 20  # nine in ten
    assert np.array_equal(lesson("student").shown(pictures), pictures)  # a student never saw any


def test_a_frame_of_the_mean_colour_leaves_the_picture_whole() -> None:
    framed = models.Framed(album(), 4).of([0, 7])
    assert framed.shape == (2, 40, 40, 3)
    assert np.array_equal(framed[1, 4:-4, 4:-4], album().of(7))
    assert framed[1, 0, 0].tolist() == album().of(7).mean((0, 1)).astype(np.uint8).tolist()


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, models.Fitted]:
    """A work folder with a student after one step."""
    if not WEIGHTS.is_dir():
        pytest.skip("the pack cifar-resnets is absent")
    monkeypatch.setattr(models, "pictures", lambda *args, **kwargs: album())
    monkeypatch.setattr(bundled, "pictures", lambda *args, **kwargs: album())
    monkeypatch.setattr(models, "KINDS", ("contrast",))
    return tmp_path, models.fit(tmp_path, epochs=0.1)


def test_what_is_trained_is_taken_up(trained: tuple[Path, models.Fitted], monkeypatch: pytest.MonkeyPatch) -> None:
    work, first = trained
    assert (first.steps, first.n, set(first.through), first.saw) == (1, 40, {"contrast"}, ())
    monkeypatch.setattr(models, "follow", None)
    assert models.fit(work, epochs=0.1) == first  # nothing is trained again
    step = AffineStep(of_net(models.taken(work, "cifar10", "student"), "local.net"))
    assert len(step.student.layers) == 19 and sum(v.size for v in step.affine().values()) == 2 * 688
    with pytest.raises(ConfigError, match="not trained"):
        models.taken(work, "cifar10", "teacher")


@pytest.mark.slow
def test_it_becomes_a_bundle_that_can_adapt(trained: tuple[Path, models.Fitted]) -> None:
    work, _ = trained
    manifest = bundled.bundle(work, work / "bundle", "cifar10")
    assert manifest.labels == NAMES and {p.part for p in manifest.parameters.values()} == {"local", "full"}
    step = AffineStep(of_bundle({f.name: f.read_bytes() for f in (work / "bundle").iterdir()}, ("local",)))
    net = models.taken(work, "cifar10", "student")
    assert step.affine().keys() == AffineStep(of_net(net, "local.net")).affine().keys()
    pictures = album().stack(range(6))
    with torch.no_grad():
        said = OfBytes(net, models.LOOKS["cifar10"])(torch.from_numpy(pictures)).numpy()
    assert np.allclose(step.logits(pictures), said, atol=1e-4)
