"""The job that teaches on rendered frames: shards in, a bundle of three tasks out, by three channels."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.runtime.bundle import Bundle  # noqa: E402
from edgewise.split.training.recipe import Recipe  # noqa: E402
from edgewise.split.training.things import DECODING, PATHS, Config, Shards, make  # noqa: E402
from edgewise.training import things_frames  # noqa: E402
from edgewise.training.nets import fpn  # noqa: E402


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    things_frames.shards(folder, 1, 1, fpn.PICTURE, 0.0)
    return folder


def test_shards_are_counted_through(frames: Path) -> None:
    (one,) = things_frames.shards(frames, 1, 1, fpn.PICTURE, 0.0)
    shards = Shards([one, one])
    assert len(shards) == 12
    assert np.array_equal(shards.of([7, 0, 5]), one.pictures[[1, 0, 5]])


def test_a_bundle_of_three_tasks(frames: Path, tmp_path: Path) -> None:
    recipe = Recipe("ghnd", batch=2, epochs=1.0, noise="round", relative=True, price=1.0, bits=(4, 2))
    config = Config(tmp_path / "work", None, frames, 1, 1, 0.0, recipe=recipe, bits=(4, 2), validation=1, out=tmp_path / "bundle")
    (few,) = things_frames.shards(frames, 1, 1, fpn.PICTURE, 0.0)
    manifest = make(config)
    assert manifest is not None and manifest.task == "detection" and manifest.decoding == DECODING
    assert manifest.crossing.shape == (3, 60, 100) and set(manifest.codings) == {"split-4", "split-2"}
    assert {p.mode for p in manifest.points} == {"split", "image"} and set(manifest.parts) == {"head", "tail", "full"}
    assert '"paths":[]' in manifest.provenance["config"] and PATHS[0] in manifest.provenance["trained"]
    bundle = Bundle.open(tmp_path / "bundle")
    crossing = bundle.session("head").run({"picture": few.pictures[:2]})["bottleneck"]
    said = bundle.session("tail").run({"bottleneck": crossing})
    assert said["score"].shape[0] == 2 and set(said) == {"score", "box", "points", "coefficients", "prototypes"}
