"""The bound on recall: exact binomial limits, a threshold that keeps its promise, and blocks that count as blocks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgewise.core.errors import ConfigError
from edgewise.split.bound import By, Scored, certify, counted, fewest, held, lower, needed, one_each, splits, staked, tail


def scenes(generator: np.random.Generator, blocks: int, frames: int, spread: float = 1.5) -> Scored:
    """Scores of frames in scenes that differ: a scene's own level, frames about it; half of them empty."""
    level = np.repeat(generator.normal(0, spread, blocks), frames)
    present = generator.random(blocks * frames) < 0.5
    logit = level + generator.normal(0, 1, blocks * frames) + np.where(present, 4, -4)
    return Scored(1 / (1 + np.exp(-logit)), present, tuple(f"scene {i // frames}" for i in range(blocks * frames)))


def true_recall(threshold: float, spread: float = 1.5) -> float:
    """Of the population that `scenes` draws from: one normal of both variances."""
    logit = np.log(threshold / (1 - threshold))
    return float(stats.norm.sf(logit, 4, np.hypot(spread, 1)))


@pytest.mark.parametrize(("misses", "n", "risk"), [(0, 59, 0.05), (3, 200, 0.05), (40, 1000, 0.03), (10, 10, 0.2)])
def test_tail_is_the_binomial_distribution(misses: int, n: int, risk: float) -> None:
    assert tail(misses, n, risk) == pytest.approx(stats.binom.cdf(misses, n, risk), rel=1e-9)


@pytest.mark.parametrize(("hits", "n"), [(59, 59), (1, 10), (95, 100), (0, 5)])
def test_lower_is_clopper_and_pearsons(hits: int, n: int) -> None:
    want = stats.beta.ppf(0.05, hits, n - hits + 1) if hits else 0.0
    assert lower(hits, n, 0.95) == pytest.approx(want, abs=1e-9)


def test_fewest_is_where_the_tail_crosses() -> None:
    n = fewest(0.95, 0.95)
    assert tail(0, n, 0.05) <= 0.05 < tail(0, n - 1, 0.05)


@pytest.mark.parametrize("by", ["draw", "blocks"])
def test_needed_is_where_nothing_missed_is_enough(by: By) -> None:
    n = needed(0.9, 0.9, by)
    perfect = [Scored(np.full(m, 0.9), np.ones(m, bool), tuple(map(str, range(m)))) for m in (n, n - 1)]
    assert certify(perfect[0], 0.9, 0.9, by=by).n == n
    with pytest.raises(ConfigError, match=f"takes {n} scenes"):
        certify(perfect[1], 0.9, 0.9, by=by)


@pytest.mark.parametrize("blocks", [1, 60, 2000, 50_000])
def test_scenes_that_are_missed_whole_prove_nothing(blocks: int) -> None:
    """Every stake is lost, and the logarithm of what is left has no bound."""
    assert staked(np.ones((blocks, 2), np.int64), 0.95) == 1.0
    with pytest.raises(ConfigError, match="too few"):
        certify(Scored(np.zeros(blocks), np.ones(blocks, bool), tuple(map(str, range(blocks)))))


@pytest.mark.parametrize("by", ["draw", "blocks"])
def test_a_certified_recall_is_broken_as_rarely_as_promised(by: By) -> None:
    """Scenes that differ much, so that who counted frames would be wrong far more often than one time in ten."""
    broken = naive = 0
    for seed in range(150):
        frames = scenes(np.random.default_rng(seed), 80, 12)
        broken += true_recall(certify(frames, 0.9, 0.9, by=by, seed=seed).threshold) < 0.9
        alone = Scored(frames.score, frames.present, tuple(map(str, range(len(frames.score)))))
        naive += true_recall(certify(alone, 0.9, 0.9, by="draw", seed=seed).threshold) < 0.9
    assert broken <= 150 * 0.1
    assert naive > 150 * 0.1


def test_blocks_use_what_a_draw_throws_away() -> None:
    thresholds = {}
    for by in ("draw", "blocks"):
        frames = [scenes(np.random.default_rng(seed), 300, 16, spread=0.3) for seed in range(20)]
        thresholds[by] = np.mean([certify(f, 0.95, 0.95, by=by).threshold for f in frames])
    assert thresholds["blocks"] > thresholds["draw"]


def test_a_draw_is_of_each_scene_once_and_any_of_its_frames() -> None:
    present = np.array([True, True, True, False, True, False], bool)
    frames = Scored(np.arange(6.0), present, ("a",) * 4 + ("b",) * 2)
    draws = [one_each(frames, seed).tolist() for seed in range(60)]
    assert {first for first, _ in draws} == {0.0, 1.0, 2.0} and {second for _, second in draws} == {4.0}


def test_a_bettor_against_a_true_statement_wins_nothing_on_average() -> None:
    """1/p has the mean 1 at most where the recall is just what is doubted."""
    generator = np.random.default_rng(3)
    wealth = []
    for _ in range(3000):
        missed = generator.binomial(5, generator.beta(0.5, 9.5, 30))  # the mean risk is 0.05
        wealth.append(1 / staked(np.stack([missed, np.full(30, 5)], 1), 0.95))
    assert np.mean(np.minimum(wealth, 1e3)) < 1.5  # p is capped at 1, which lifts the least winners
    assert np.mean([w >= 20 for w in wealth]) <= 0.05


def test_too_few_scenes_are_told_so_with_what_they_can_show() -> None:
    frames = Scored(np.full(40, 0.9), np.ones(40, bool), tuple(f"s{i // 2}" for i in range(40)))
    with pytest.raises(ConfigError, match=r"from 20 blocks; allowed: recall 0\.8"):
        certify(frames, by="draw")
    with pytest.raises(ConfigError, match="74 scenes"):
        certify(frames)
    with pytest.raises(ConfigError, match="no calibration frame holds anything"):
        certify(Scored(np.zeros(2), np.zeros(2, bool), ("a", "b")))


def test_more_scenes_never_ask_for_a_lower_threshold() -> None:
    """The same evidence twice is at least as strong."""
    frames = scenes(np.random.default_rng(1), 160, 16, spread=0.3)
    twice = Scored(np.tile(frames.score, 2), np.tile(frames.present, 2), frames.block + tuple(b + "'" for b in frames.block))
    assert certify(twice).threshold >= certify(frames).threshold


def test_held_counts_frames() -> None:
    frames = Scored(np.array([0.1, 0.6, 0.2, 0.9]), np.array([True, True, False, False]), ("a", "a", "b", "b"))
    assert (held(frames, 0.5).recall, held(frames, 0.5).dropped) == (0.5, 0.5)
    assert counted(frames, 0.5).tolist() == [[1, 2]]


def test_splits_keep_scenes_whole_and_lose_none() -> None:
    found = splits([f"s{i}" for i in range(10)] * 3, 20, 0)
    for calibrate, test in found:
        assert len(calibrate) == len(test) == 5 and not set(calibrate) & set(test)
        assert len({*calibrate, *test}) == 10
    assert len(set(found)) > 15
