"""The threshold of an exit: what it costs is bounded on pictures that did not choose it, and no less for more."""

import numpy as np
import pytest

from edgewise.core.errors import ConfigError, TensorError
from edgewise.split.doubt import calibrated, doubts


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of an exit that is well calibrated, and of a network that says what is so: (n, 2) each."""
    generator = np.random.default_rng(seed)
    sure = generator.uniform(0.5, 1.0, n)
    differs = generator.random(n) < 1 - sure
    early = np.stack([sure, 1 - sure], 1)
    whole = np.where(differs[:, None], [[0.0, 1.0]], [[1.0, 0.0]])
    return early, whole


def changed(early: np.ndarray, whole: np.ndarray, doubt: float) -> float:
    return float(((doubts(early) < doubt) & (early.argmax(1) != whole.argmax(1))).mean())


def test_the_bound_holds_on_pictures_that_did_not_choose_it() -> None:
    """Of 200 calibrations with confidence 0.9, about 20 may be above the risk: 40 would be four standard deviations more."""
    truth = drawn(200_000, 1)
    above = sum(changed(*truth, calibrated(*drawn(1500, seed), 0.03, confidence=0.9).doubt) > 0.03 for seed in range(10, 210))
    assert above <= 37


def test_more_risk_lets_more_through_and_more_confidence_less() -> None:
    early, whole = drawn(3000, 2)
    by_risk = [calibrated(early, whole, r) for r in (0.01, 0.02, 0.05)]
    assert [c.doubt for c in by_risk] == sorted({c.doubt for c in by_risk})
    assert by_risk[0].left < by_risk[-1].left
    assert calibrated(early, whole, 0.02, 0.999).doubt <= calibrated(early, whole, 0.02, 0.9).doubt
    for one in by_risk:
        assert one.seen == pytest.approx(changed(early, whole, one.doubt)) and one.seen < one.risk
        assert one.left == pytest.approx(float((doubts(early) < one.doubt).mean()))


def test_frames_of_one_scene_are_one_piece_of_evidence() -> None:
    early, whole = drawn(1600, 3)
    alone = calibrated(early, whole, 0.05)
    scenes = calibrated(
        np.repeat(early[:400], 4, 0), np.repeat(whole[:400], 4, 0), 0.05, block=[str(i // 4) for i in range(1600)]
    )
    assert (alone.n, scenes.n) == (1600, 400)
    assert scenes.doubt <= alone.doubt


def test_what_cannot_be_known_is_said() -> None:
    early, whole = drawn(40, 4)
    with pytest.raises(ConfigError, match="40 scenes"):
        calibrated(early, whole, 0.01)
    with pytest.raises(ConfigError, match="share of the pictures"):
        calibrated(early, whole, 0.0)
    with pytest.raises(TensorError, match="different answers"):
        calibrated(early, whole[:, :1], 0.05)
    with pytest.raises(ConfigError, match="later layer"):
        calibrated(np.tile([0.9, 0.1], (500, 1)), np.tile([0.1, 0.9], (500, 1)), 0.05)
