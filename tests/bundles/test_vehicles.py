"""The shipped bundle: small, complete, honest about its making, and it sees vehicles in scenes that it was not trained on."""

import json
import subprocess
import sys

import numpy as np
import pytest

from edgewise.core.placement import MODES
from edgewise.data.decoding import answers
from edgewise.data.decoding.grid import cells
from edgewise.data.metrics import counts, f1
from edgewise.runtime.bundle import Bundle
from edgewise.training import validate

cv2 = pytest.importorskip("cv2", reason="the renderer needs OpenCV: pip install 'edgewise[camera]'")

SHIPPED = validate.__file__.replace("training/validate.py", "bundles/vehicles")
TEST_SEEDS = (100, 103, 106, 109)


@pytest.fixture(scope="module")
def bundle():
    return Bundle.open(SHIPPED)


@pytest.fixture(scope="module")
def scenes():
    """Frames of test seeds in two kinds of weather, and their occupied cells."""
    from edgewise.data.junction import Junction

    frames = [Junction(seed, c).frame(30.0) for seed in TEST_SEEDS for c in ("clear", "fog", "night")]
    return [f[0] for f in frames], np.stack([f[2] for f in frames])


def test_it_is_small_and_says_how_it_was_made(bundle):
    assert bundle.size() < 2_000_000
    said = bundle.manifest.provenance
    assert {"command", "config", "data", "seed", "trained", "versions", "quality", "times", "bytes"} <= set(said)
    assert json.loads(said["config"])["seed"] == int(said["seed"])


def test_its_table_has_every_mode_by_condition_with_intervals(bundle):
    points = bundle.manifest.points
    assert "exit" not in bundle.manifest.parts
    assert {p.mode for p in points} == set(MODES) - {"exit"}
    for point in points:
        assert {"all", "clear", "haze", "fog", "rain", "low_light", "night"} <= set(point.quality)
        for quality in point.quality.values():
            assert 0 <= quality.low <= quality.value <= quality.high <= 1 and quality.n > 0


def test_fewer_bits_are_fewer_bytes_and_every_split_is_below_a_quarter_of_a_picture(bundle):
    sent = {p.name: p.bytes_up for p in bundle.manifest.points}
    splits = sorted((p for p in bundle.manifest.points if p.mode == "split"), key=lambda p: p.level)
    assert [p.bytes_up for p in splits] == sorted(p.bytes_up for p in splits)
    assert splits[-1].bytes_up < sent["jpeg-75"] / 4 and sent["jpeg-30"] < sent["jpeg-75"] < sent["jpeg-90"]


@pytest.mark.parametrize(("name", "least"), [("split-8", 0.7), ("split-4", 0.7), ("jpeg-75", 0.7), ("local", 0.45)])
def test_it_sees_vehicles_in_scenes_it_was_not_trained_on(bundle, scenes, name, least):
    images, true = scenes
    found = validate.everything(validate.parts(bundle), bundle.manifest.point(name), images)
    said = [answers(t.maps, bundle.manifest.decoding, bundle.manifest.labels)[0] for t in found]
    assert f1(counts(np.stack([cells(answer) for answer in said]), true)) > least
    assert sum(len(answer.boxes) for answer in said) > 0


def test_a_batch_of_frames_is_answered_as_each_frame_alone(bundle, scenes):
    images, _ = scenes
    parts = validate.parts(bundle)
    fitted = np.concatenate([validate.fit(image, parts.wide) for image in images[:3]])
    together = parts.tail.run(parts.head.run({"picture": fitted}))
    for i in range(3):
        alone = parts.tail.run(parts.head.run({"picture": fitted[i : i + 1]}))
        assert np.allclose(together["occupied"][i], alone["occupied"][0], atol=1e-4)


def test_judging_the_bundle_needs_no_torch():
    code = "import edgewise.training.validate, edgewise.training.frames, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
