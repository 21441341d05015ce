"""From a person's folder to a guarded bundle: the whole job on few small pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgewise.core.errors import ConfigError
from edgewise.data.junction import Junction
from edgewise.runtime.bundle import Bundle
from edgewise.split.training.filter import Learning
from edgewise.split.training.filter_job import Watch, make, own

VEHICLES = Path(__file__).parents[3] / "edgewise" / "bundles" / "vehicles"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Class folders: roads of noise, and roads with a bright block on them."""
    generator = np.random.default_rng(0)
    for label in ("lorry", "road"):
        (tmp_path / "data" / label).mkdir(parents=True)
    for i in range(140):
        picture = generator.integers(60, 100, (90, 160, 3)).astype(np.uint8)
        if i % 2:
            y, x = generator.integers(0, 60), generator.integers(0, 120)
            picture[y : y + 30, x : x + 40] = 220
        Image.fromarray(picture).save(tmp_path / "data" / ("lorry" if i % 2 else "road") / f"{i}.png")
    return tmp_path / "data"


def test_a_folder_becomes_a_filter(folder: Path, tmp_path: Path) -> None:
    told: list[str] = []
    watch = Watch(VEHICLES, tmp_path / "out", of="lorry", data=folder, stretch=1, recall=0.8, confidence=0.9, by="draw")
    outcome = make(_short(watch), told.append)
    manifest = Bundle.open(tmp_path / "out").manifest
    assert manifest == outcome.manifest and manifest.filter is not None
    assert (manifest.filter.of, manifest.filter.recall, manifest.filter.n) == ("lorry", 0.8, outcome.certified.n)
    assert outcome.test.present + outcome.test.empty == 27  # a fifth of the scenes that no gap takes
    assert "140 pictures in 140 scenes of 1 films, something in 70" in told[0]
    assert (outcome.films, outcome.truth) == (1, "labels (classes)") and "not for another camera" in outcome.warnings[0]
    written = {name: manifest.provenance[f"filter_{name}"] for name in ("truth", "films", "stretch", "warning")}
    assert written == {"truth": outcome.truth, "films": "1", "stretch": "1", "warning": outcome.warnings[0]}


def test_scenes_that_are_too_few_are_told_before_a_bundle_is_written(folder: Path, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(ConfigError, match=r"too few.* 74 or more for recall 0\.95.*250 folders, or 62,500 pictures"):
        make(_short(Watch(VEHICLES, tmp_path / "out", of="lorry", data=folder)), told.append)
    assert not (tmp_path / "out").exists() and not any("epoch" in line for line in told)


def test_where_nobody_labelled_them_the_model_is_the_judge_and_it_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "monday"
    folder.mkdir()
    for i in range(8):
        Image.fromarray(rendered_road(i)).save(folder / f"{i}.png")
    bundle = Bundle.open(VEHICLES)
    watch = Watch(VEHICLES, tmp_path / "out", data=folder, stretch=1, recall=0.3, confidence=0.5, by="draw")
    seen = own(watch, bundle, bundle.manifest.pictures["head"], lambda line: None)
    assert "the model itself" in seen.truth and len(seen.train) and len(seen.test)


def rendered_road(number: int) -> NDArray[np.uint8]:
    return Junction(101).frame(7.0 * number)[0]


def _short(watch: Watch) -> Watch:
    import msgspec

    return msgspec.structs.replace(watch, learning=Learning(epochs=2, batch=64))  # more than there are
