"""A bundle, a folder of pictures, weather and a teacher: replayed from the files on."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from edgewise.adapt.recipe import Recipe  # noqa: E402
from edgewise.adapt.replay import OURS, STATISTICS, TEACHER  # noqa: E402
from edgewise.adapt.training.replayed import Course, Judge, replay, run  # noqa: E402
from edgewise.adapt.uplink import Crossing  # noqa: E402
from edgewise.core.artifact import Classes, Picture  # noqa: E402
from edgewise.core.errors import ConfigError, TensorError  # noqa: E402
from edgewise.core.placement import OperatingPoint, Quality  # noqa: E402
from edgewise.data.streams import parse, stream  # noqa: E402
from edgewise.runtime.bundle import write_bundle  # noqa: E402
from tests.adapt.training import small_parts  # noqa: E402
from tests.adapt.training.methods import colours  # noqa: E402

LABELS = ("red", "green", "blue")
POINT = OperatingPoint("local", "local", device_time=0.001, quality={"all": Quality(0.5, 0.5, 0.5, 9)})


class Strongest:
    """Which colour is strongest."""

    name = "strongest"

    def probabilities(self, pictures):
        mean = np.stack([np.asarray(p, np.float32).reshape(-1, 3).mean(0) for p in pictures]) / 8
        powers = np.exp(mean - mean.max(1, keepdims=True))
        return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    model, parameters = small_parts.part("batch", pictures=True)
    write_bundle(
        folder,
        name="small",
        task="classification",
        labels=LABELS,
        parts={"local": model},
        pictures={"local": Picture(5, 5)},
        bottleneck=None,
        decoding=Classes("logits"),
        points=(POINT,),
        provenance={},
        parameters=parameters,
    )
    return folder


def pictures(folder: Path, count: int = 90, labels: tuple[str, ...] = LABELS, classed: bool = True) -> Path:
    draw = np.random.default_rng(4)
    for number in range(count):
        colour = number % 3
        values = draw.integers(40, 160, (8, 8, 3))
        values[..., colour] += 60
        place = folder / labels[colour] if classed else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.astype(np.uint8)).save(place / f"{number}.png")
    return folder


def test_from_files_to_figures(bundle, tmp_path):
    told: list[float] = []
    found = replay(
        bundle,
        pictures(tmp_path / "set"),
        "contrast:3,clean",
        ["none", STATISTICS, "Tent", "cascade", OURS, TEACHER],
        Strongest(),
        5000.0,
        seed=3,
        advance=lambda what, share: told.append(share),
        course=Course(batch=10, rate=5.0),
        recipe=Recipe(samples=1e6, cascade=0.3),
    )
    assert found.domains == ("contrast:3", "clean") and told[-1] == 1
    accuracy = found.accuracy
    assert set(accuracy) == set(found.trails) and all(len(row) == 2 for row in accuracy.values())
    assert accuracy[TEACHER][1] > 0.95 and len(found.headroom) == 2
    assert found.trails[TEACHER].tally.uploaded_share == 1
    assert 0 < found.ours.uploaded_share < 1 and found.ours.bytes_up > 0
    assert accuracy["cascade"][1] > accuracy[STATISTICS][1]
    summary = json.loads(msgspec.json.encode(found.summary()))
    assert {"accuracy", "uploaded_share", "bytes_up", "bytes_down", "deltas", "reverts", "headroom"} <= set(summary)
    assert summary["timeline"][-1]["seen"] == 180


def test_the_same_seed_gives_the_same_and_another_another(bundle, tmp_path):
    source = pictures(tmp_path / "set")

    def once(seed: int) -> np.ndarray:
        found = replay(bundle, source, "gaussian_noise:5", ["none", OURS], Strongest(), seed=seed, each=60)
        return np.concatenate([t.right for t in found.trails.values()])

    np.testing.assert_array_equal(once(1), once(1))
    assert (once(1) != once(2)).any()


def test_without_labels_agreement_with_the_teacher_in_good_weather_stands_for_truth(bundle, tmp_path):
    source = pictures(tmp_path / "set", classed=False)
    found = replay(bundle, source, "clean", [TEACHER], Strongest())
    assert found.accuracy[TEACHER][0] > 0.95 and any("before the weather" in line for line in found.told)


def test_labels_that_the_model_does_not_know_are_named(bundle, tmp_path):
    source = pictures(tmp_path / "set", labels=("red", "green", "mauve"))
    with pytest.raises(ConfigError, match="labels that the model does not know; got mauve"):
        replay(bundle, source, "clean", ["none"], Strongest())


@pytest.mark.parametrize("kind", ["one class", "constant", "one picture"])
def test_strange_streams_end_in_figures(bundle, tmp_path, kind):
    folder = tmp_path / "set" / "red"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(1 if kind == "one picture" else 60):
        values = np.full((8, 8, 3), 90) if kind == "constant" else draw.integers(0, 255, (8, 8, 3))
        Image.fromarray(values.astype(np.uint8)).save(folder / f"{number}.png")
    names = ["none", "batch statistics", STATISTICS, "LAME", "Tent", "EATA", "SAR", "CoTTA", "CEMA as published", OURS]
    found = replay(bundle, folder.parent, "clean", names, Strongest())
    for name, (share,) in found.accuracy.items():
        assert 0 <= share <= 1, name


def test_what_is_no_number_is_not_right_and_a_method_must_answer_each_picture():
    judge = Judge(np.array([1, 0]), Strongest().probabilities)
    truth = judge.truth([0, 1], [], 3)
    said = np.array([[0.1, 0.8, 0.1], [np.nan, np.nan, np.nan]], np.float32)
    assert judge.right(said, truth).tolist() == [1, 0]

    class Mute:
        name = "mute"

        def answer(self, inputs):
            return np.zeros((1, 4), np.float32)

    album = colours.album(20)
    shown = stream(parse("clean"), album.labels)
    crossing = Crossing(colours.Knowing().probabilities)
    with pytest.raises(TensorError, match="mute does not answer each picture"):
        run(shown, album, {"mute": Mute()}, crossing, colours.stacked, Judge(album.labels, crossing._ask), 4, Course(batch=5))
