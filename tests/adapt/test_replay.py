"""What a replay found: pairs, windows, head-room and the price of an answer."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest

from edgewise.adapt.method import Tally
from edgewise.adapt.replay import OURS, STATISTICS, TEACHER, Replayed, Trail, paired, timeline
from edgewise.core.errors import ConfigError


def row(text: str) -> np.ndarray:
    return np.array([float(c) for c in text], np.float32)


NUMBER = np.array([0] * 5 + [1] * 5)
FOUND = Replayed(
    ("fog:5", "clean"),
    NUMBER,
    {
        STATISTICS: Trail(row("1000011100"), Tally(seen=10), 1.0),
        OURS: Trail(row("1011011110"), Tally(seen=10, uploaded=3, bytes_up=700, bytes_down=200, deltas=2), 2.0),
        TEACHER: Trail(row("1111111111"), Tally(seen=10, uploaded=10, answered=10, bytes_up=3000), 3.0),
    },
)


def test_figures_without_a_name_are_ours_and_headroom_is_the_teachers():
    assert FOUND.accuracy[OURS] == pytest.approx([0.6, 0.8])
    assert FOUND.headroom == pytest.approx([0.8, 0.4])
    summary = FOUND.summary()
    assert (summary["uploaded_share"], summary["bytes_up"], summary["bytes_down"], summary["deltas"]) == (0.3, 700, 200, 2)
    assert summary["reverts"] == 0 and summary["accuracy"][TEACHER] == [1, 1]  # type: ignore[index]
    json.loads(msgspec.json.encode(summary))


def test_the_price_of_an_answer_is_bytes_of_both_ways_and_unknown_where_none_was_won():
    assert FOUND.bytes_per_extra(OURS) == 900 / 3
    assert FOUND.bytes_per_extra(STATISTICS) is None


def test_pairs_have_a_smaller_error_than_two_shares():
    draw = np.random.default_rng(0)
    a = (draw.random(4000) < 0.7).astype(np.float32)
    b = a.copy()
    b[:200] = 1 - b[:200]  # the same but for 200 pictures
    one = paired(a, b)
    apart = math.sqrt(a.var() / 4000 + b.var() / 4000)
    assert one.gain == pytest.approx(float(a.mean() - b.mean()), rel=1e-4)
    assert one.error < 0.5 * apart and one.low < one.gain < one.high and one.n == 4000
    assert paired(a, a).error == 0 and paired(b, a).gain == pytest.approx(-one.gain)


def test_the_error_is_that_of_the_drawing():
    """Of 400 draws the interval holds the truth in about 95 of 100."""
    draw = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        a, b = draw.random(300) < 0.6, draw.random(300) < 0.5
        one = paired(a.astype(np.float32), b.astype(np.float32))
        held += one.low <= 0.1 <= one.high
    assert 0.92 <= held / 400 <= 0.98


def test_the_last_part_of_a_domain_is_its_last_pictures():
    assert FOUND.rows(1, 0.4).tolist() == [8, 9] and FOUND.rows(0).tolist() == [0, 1, 2, 3, 4]
    assert FOUND.gain(OURS, STATISTICS, FOUND.rows(1, 0.4)).gain == 0.5


def test_a_timeline_adds_up_to_the_whole():
    right = {name: trail.right for name, trail in FOUND.trails.items()}
    moments = timeline(FOUND.domains, NUMBER, right, [(4, {OURS: Tally(uploaded=1)}), (10, {OURS: Tally(uploaded=3)})])
    assert [m.domain for m in moments] == ["fog:5", "clean"] and [m.uploaded[OURS] for m in moments] == [1, 3]
    for name, values in right.items():
        assert (4 * moments[0].accuracy[name] + 6 * moments[1].accuracy[name]) / 10 == pytest.approx(float(values.mean()))


def test_what_does_not_pair_up_is_refused():
    with pytest.raises(ConfigError, match="do not pair up"):
        paired(row("10"), row("101"))
    with pytest.raises(ConfigError, match="not replayed; got Tent"):
        FOUND.gain("Tent", OURS)
