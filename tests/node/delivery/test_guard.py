"""The guard: what is read is what is shown, and unknown is neither good nor bad."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import ConfigError
from edgewise.core.placement import Quality
from edgewise.core.rollout import Health
from edgewise.node.delivery.guard import judge, parse, text

NUMBER = st.decimals(min_value="0.001", max_value="90", places=3).map(str)


@given(NUMBER, NUMBER, NUMBER, st.sampled_from(["ms", "s"]), st.sampled_from([" ", ", ", ""]))
def test_what_is_shown_is_read_back(quality: str, latency: str, failed: str, unit: str, between: str) -> None:
    found = parse(f"quality>-{quality}pt{between or ' '}p95 < {latency}{unit}{between or ' '}failed<{failed}%")
    assert parse(text(found)) == found
    assert [c.subject for c in found] == ["quality", "p95", "failed"]


def test_units_are_those_of_people() -> None:
    assert [c.limit for c in parse("quality>-0.5pt p95<120ms failed<1%")] == [-0.005, 0.12, 0.01]
    assert parse("p95<0.12s") == parse("p95<120ms")
    assert parse("") == ()


@pytest.mark.parametrize(
    ("guard", "word"),
    [
        ("quality", "cannot be read"),
        ("quality>", "cannot be read"),
        ("latency<3ms", "unknown subject"),
        ("quality<1pt", "wrong way"),
        ("p95>120ms", "wrong way"),
        ("failed<=1%", "wrong way"),
        ("p95<120", "unknown unit"),
        ("p95<120pt", "unknown unit"),
        ("quality>-0.5%", "unknown unit"),
        ("failed<150%", "out of range"),
        ("failed<-1%", "out of range"),
        ("p95<0ms", "out of range"),
        ("quality>-200pt", "out of range"),
        ("p95<1ms p95<2ms", "twice"),
        ("p95<nanms", "cannot be read"),
        ("p95<1e99s", "out of range"),
        ("p95<120ms; drop", "cannot be read"),
        ("p95<120ms " * 100, "too long"),
    ],
)
def test_what_is_no_guard_is_a_sentence(guard: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        parse(guard)


@given(st.text(max_size=80))
def test_any_text_is_a_guard_or_a_sentence(guard: str) -> None:
    try:
        assert parse(text(parse(guard))) == parse(guard)
    except ConfigError as error:
        assert str(error).endswith(".")


def test_the_judge_knows_good_broken_and_unknown() -> None:
    guard = parse("quality>-0.5pt p95<120ms failed<1%")
    now, before = Quality(0.89, 0.8, 0.9, 50), Quality(0.9, 0.8, 0.9, 50)
    good = Health(60, 1000, 9, 0.119, before, before)
    assert judge(guard, good) == judge((), good)
    bad = judge(guard, Health(60, 1000, 10, 0.12, now, before))
    assert len(bad.broken) == 3
    assert "-1 pt" in bad.broken[0]
    none = judge(guard, Health(60, 0, 0))
    assert (len(none.broken), len(none.unknown)) == (0, 3)
    assert judge(guard, Health(60, 10, 0, math.nan, before, None)).unknown == judge(guard, Health(60, 10, 0)).unknown
