"""A replay in words: what is asked for is checked before anything runs, and sentences follow the figures."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from edgewise.adapt.method import Tally
from edgewise.adapt.replay import Replayed, Trail
from edgewise.apps.vision.adapting_replay import ReplayConfig, Shown, run_replay, sentences
from edgewise.core.errors import ConfigError


def found(shares: dict[str, float], domain: str = "fog:5", n: int = 3000) -> Replayed:
    """Right on the first so many of the pictures."""
    trails = {}
    for name, share in shares.items():
        sent = n if name == "upload all" else n // 3 if name not in ("none", "moving statistics") else 0
        tally = Tally(seen=n, uploaded=sent, bytes_up=900 * sent)
        trails[name] = Trail((np.arange(n) < share * n).astype(np.float32), tally, 1.0)
    return Replayed((domain,), np.zeros(n, np.int64), trails)


def test_what_was_won_is_said_with_its_price() -> None:
    said = " ".join(sentences(found({"none": 0.3, "moving statistics": 0.5, "ours": 0.58, "upload all": 0.6})))
    assert "are worth +20.0 points" in said and "fog:5 +10.0" in said
    assert "Both together give +8.0 points" in said and "33% of the frames sent: 3,750 bytes" in said
    assert "not to be judged" not in said and "next to nothing" not in said


def test_a_teacher_with_nothing_to_teach_and_a_stream_that_is_short_are_said() -> None:
    said = " ".join(sentences(found({"moving statistics": 0.5, "ours": 0.5, "upload all": 0.51}, n=300)))
    assert "next to nothing to win" in said and "no extra right answer" in said and "here are 300" in said


def test_what_statistics_cost_on_clean_pictures_is_said() -> None:
    said = sentences(found({"none": 0.85, "moving statistics": 0.82}, "clean"))
    assert any("On clean pictures they cost 3.0 points" in s for s in said)


def test_the_summary_has_what_scripts_read() -> None:
    whole = found({"none": 0.3, "moving statistics": 0.5, "ours": 0.58, "upload all": 0.6})
    summary = Shown(whole, sentences(whole)).summary()
    wanted = {"accuracy", "uploaded_share", "bytes_up", "bytes_down", "deltas", "reverts", "headroom"}
    assert wanted <= set(summary) and summary["headroom"] == pytest.approx([0.1])
    assert summary["accuracy"]["ours"] == pytest.approx([0.58]) and summary["uploaded_share"] == pytest.approx(1 / 3)  # type: ignore[index]


def test_words_that_cannot_be_meant_are_refused_first() -> None:
    with pytest.raises(ConfigError, match="a shift is not well named"):
        run_replay(ReplayConfig("vehicles", "nowhere", "smog:3"))
    with pytest.raises(ConfigError, match="need a teacher"):
        run_replay(ReplayConfig("vehicles", "nowhere", "fog:3", methods=("none", "ours")))
