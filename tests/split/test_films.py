"""Scenes of footage: whole films or long stretches, parts that do not touch, and a bound that then holds where visits last."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgewise.core.errors import ConfigError
from edgewise.split.bound import Scored, counted, staked
from edgewise.split.films import alone, film_of, ordered, runs, shots


def test_no_scene_is_of_two_films_and_none_is_short_but_a_whole_film() -> None:
    films = ["a"] * 7 + ["b"] * 2 + ["c"] * 3
    found = shots(films, 3)
    assert [(s.film, s.scene) for s in found][::4] == [("a", "a 0"), ("a", "a 1"), ("b", "b 0")]
    sizes: dict[str, int] = {}
    for shot, film in zip(found, films, strict=True):
        assert shot.film == film
        sizes[shot.scene] = sizes.get(shot.scene, 0) + 1
    assert sizes == {"a 0": 4, "a 1": 3, "b 0": 2, "c 0": 3}
    with pytest.raises(ConfigError, match="no such length"):
        shots(films, 0)


def test_class_folders_are_not_films_and_neighbours_in_time_stay_neighbours() -> None:
    names = ["x/lorry/f10.jpg", "x/road/f2.jpg", "x/road/f9.jpg", "x/lorry/f3.jpg", "w/road/f1.jpg"]
    labels = [n.split("/")[1] for n in names]
    assert {film_of(n, label) for n, label in zip(names, labels, strict=True)} == {"x", "w"}
    assert [names[i].split("f")[-1] for i in ordered(names, labels)] == ["1.jpg", "2.jpg", "3.jpg", "9.jpg", "10.jpg"]
    assert alone(["x", "w"]) == "" and "one film" in alone(["x", "x"])


@pytest.mark.parametrize("scenes", [7, 8, 20, 101])
def test_runs_are_contiguous_with_one_scene_between(scenes: int) -> None:
    names = [f"s {i}" for i in range(scenes)]
    found = runs([n for n in names for _ in range(3)], (0.4, 0.1, 0.3, 0.2))
    places = [[names.index(n) for n in run] for run in found]
    assert all(run == list(range(run[0], run[-1] + 1)) for run in places)
    assert [b[0] - a[-1] for a, b in itertools.pairwise(places)] == [2, 2, 2]
    assert places[0][0] == 0 and places[-1][-1] == scenes - 1


def test_too_few_scenes_to_part_are_told() -> None:
    with pytest.raises(ConfigError, match="7 at least"):
        runs(list("abcdef"), (0.4, 0.1, 0.3, 0.2))


def film(generator: np.random.Generator, visits: int, risk: float) -> Scored:
    """Visits of 75 pictures in the mean and gaps between; a share of `risk` is missed, for as long as it stays."""
    lengths, gaps = generator.geometric(1 / 75, (2, visits))
    present = np.repeat(np.tile([True, False], visits), np.stack([lengths, gaps], 1).ravel())
    seen = np.repeat(generator.random(visits) >= risk, lengths + gaps)
    return Scored(np.where(seen & present, 1.0, 0.0), present, ("film",) * len(present))


def test_where_visits_last_long_scenes_keep_the_promise_that_short_ones_break() -> None:
    """Recall is just what is doubted: it may be claimed in one film of ten, and stretches of 15 pictures claim it more often."""
    claimed = {15: 0, 250: 0}
    for seed in range(100):
        frames = film(np.random.default_rng(seed), 150, 0.05)
        for stretch in claimed:
            scenes = tuple(s.scene for s in shots(frames.block, stretch))
            claimed[stretch] += staked(counted(Scored(frames.score, frames.present, scenes), 0.5), 0.95) <= 0.1
    assert claimed[250] <= 100 * 0.1 < 100 * 0.2 < claimed[15]
