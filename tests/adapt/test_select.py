"""Selecting: budgets that hold, audits that are blind, a cascade of the wanted share, one reason a frame, chance by a seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edgewise.adapt.bucket import HOLD, filled
from edgewise.adapt.select import FIRST_SIZE, HOLD_FRAMES, Choice, Selector, decided, drawn
from edgewise.core.errors import ConfigError
from edgewise.core.learning import Learning
from edgewise.data.doubt import Doubt, entropy

RATE = 30.0  # frames/s
SIZE = 900.0  # bytes
GENEROUS = Learning(samples=1e6, bytes=1e9, audit=0.0)


def doubts(n: int, classes: int = 10, seed: int = 0) -> list[Doubt]:
    rows = np.random.default_rng(seed).dirichlet(np.full(classes, 0.1), n).astype(np.float32)
    return [Doubt(entropy(row), row) for row in rows]


def run(selector: Selector, stream: list[Doubt], size: float = SIZE, start: float = 0.0) -> list[Choice]:
    return [selector.consider(one, start + i / RATE, size) for i, one in enumerate(stream)]


def share(choices: list[Choice], why: str) -> float:
    return sum(c.why == why for c in choices) / len(choices)


LEARNINGS = st.builds(
    Learning,
    samples=st.sampled_from([0.0, 0.3, 5.0, 1e3]),
    bytes=st.sampled_from([0.0, 500.0, 2e4, 1e8]),
    audit=st.sampled_from([0.0, 0.02, 1.0]),
    selection=st.sampled_from(["random", "entropy", "window"]),
    margin=st.sampled_from([0.0, 0.4]),
    cascade=st.sampled_from([0.0, 0.33, 1.0]),
)
FRAMES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.03, 1.0, 900.0]), st.none() | st.floats(0, 1), st.floats(1, 3000)), min_size=1, max_size=120
)


@settings(max_examples=150, deadline=None)
@given(LEARNINGS, FRAMES, st.integers(0, 99))
def test_no_stream_whatever_breaks_a_budget(
    learning: Learning, frames: list[tuple[float, float | None, float]], seed: int
) -> None:
    """Bytes of all that goes, samples that were chosen, and the cascade's share; each within what its bucket holds."""
    selector, now, went, largest = Selector(learning, 10, seed), 0.0, [], 0.0
    for wait, value, size in frames:
        now, largest = now + wait, max(largest, size)
        doubt = None if value is None else Doubt(value, np.array([value, 1 - value, 0], np.float32))
        choice = selector.consider(doubt, now, size)
        assert not (choice.learn and choice.cascade)
        went.append((now, choice, size))
    assert sum(c.goes * size for _, c, size in went) <= learning.bytes * now + max(HOLD * learning.bytes, largest) + 1e-6
    assert sum(c.learn and not c.audit for _, c, _ in went) <= learning.samples * now + max(HOLD * learning.samples, 1) + 1e-6
    assert sum(c.cascade for _, c, _ in went) <= learning.cascade * len(went) + max(HOLD_FRAMES * learning.cascade, 1) + 1e-6
    assert sum(selector.counts.values()) == len(went)


@pytest.mark.parametrize("selection", ["random", "entropy"])
@pytest.mark.parametrize(("samples", "size", "uplink"), [(1.0, 900.0, 1e9), (1e3, 900.0, 9000.0), (10.0, 900.0, 1e9)])
def test_the_budget_is_used(selection: str, samples: float, size: float, uplink: float) -> None:
    learning = Learning(samples=samples, bytes=uplink, audit=0.0, selection=selection)  # type: ignore[arg-type]
    choices = run(Selector(learning, 10), doubts(6000))
    wanted = min(samples, uplink / size) / RATE
    assert share(choices, selection) == pytest.approx(wanted, rel=0.15)


def test_audits_are_blind() -> None:
    """Their mean doubt is that of the stream, though everything else that goes is doubtful."""
    stream = doubts(20_000)
    choices = run(Selector(replace(GENEROUS, audit=0.05, selection="entropy", samples=3.0), 10), stream)
    of = np.array([d.entropy for d in stream])
    audits = np.array([c.audit for c in choices])
    assert audits.mean() == pytest.approx(0.05, abs=0.006)
    assert of[audits].mean() == pytest.approx(of.mean(), abs=3 * of.std() / audits.sum() ** 0.5)
    assert of[[c.why == "entropy" for c in choices]].min() > of.mean()


def test_an_audit_that_cannot_be_paid_is_owed_and_nothing_goes_before() -> None:
    selector = Selector(Learning(samples=1e3, bytes=1000.0, audit=1.0, cascade=1.0), 10)
    choices = run(selector, doubts(3000), size=10_000.0)
    assert {c.why for c in choices if c.goes} == {"audit"}
    assert sum(c.goes for c in choices) == pytest.approx(10, abs=1)  # 1000 B/s for 100 s
    selector.adopt(Learning(samples=1e3, bytes=1e9, audit=0.0))
    assert "random" in {c.why for c in run(selector, doubts(300), start=100.0)}  # nobody is owed what nobody wants


@pytest.mark.parametrize("wanted", [0.05, 0.33, 1.0])
def test_the_cascade_takes_its_share_of_the_most_doubtful(wanted: float) -> None:
    stream = doubts(6000)
    choices = run(Selector(replace(GENEROUS, samples=0.0, cascade=wanted), 10), stream)
    assert share(choices[200:], "cascade") == pytest.approx(wanted, abs=0.02)
    gone = [d.entropy for d, c in zip(stream, choices, strict=True) if c.cascade]
    stayed = [d.entropy for d, c in zip(stream, choices, strict=True) if not c.cascade]
    assert wanted == 1 or np.quantile(gone, 0.05) > np.quantile(stayed, 0.8)


def test_what_the_bytes_cannot_pay_narrows_the_cascade_to_the_most_doubtful() -> None:
    stream = doubts(6000)
    choices = run(Selector(replace(GENEROUS, samples=0.0, cascade=0.5, bytes=0.1 * RATE * SIZE), 10), stream)
    gone = np.array([d.entropy for d, c in zip(stream, choices, strict=True) if c.cascade])
    assert len(gone) / len(stream) == pytest.approx(0.1, abs=0.015)
    assert np.median(gone) > np.quantile([d.entropy for d in stream], 0.93)


def test_doubts_that_only_rise_do_not_send_every_frame() -> None:
    rising = [Doubt(i / 5000, np.array([1, 0], np.float32)) for i in range(5000)]
    choices = run(Selector(replace(GENEROUS, samples=0.0, cascade=0.2), 2), rising)
    assert share(choices, "cascade") <= 0.2 + HOLD_FRAMES * 0.2 / 5000 and share(choices, "over the cascade's share") > 0.5


def test_with_a_cascade_samples_are_the_next_most_doubtful() -> None:
    stream = doubts(6000)
    choices = run(Selector(replace(GENEROUS, samples=3.0, cascade=0.3, selection="entropy"), 10), stream)
    of = {why: [d.entropy for d, c in zip(stream, choices, strict=True) if c.why == why] for why in ("cascade", "entropy")}
    assert len(of["entropy"]) / 6000 == pytest.approx(0.1, abs=0.02)
    assert np.median(of["cascade"]) > np.median(of["entropy"]) > np.median([d.entropy for d in stream])


def test_the_window_keeps_what_is_between() -> None:
    stream = doubts(4000)
    choices = run(Selector(replace(GENEROUS, selection="window", floor=0.1, ceiling=0.4), 10), stream)
    gone = [d.entropy for d, c in zip(stream, choices, strict=True) if c.learn]
    assert gone and min(gone) > 0.1 and max(gone) < 0.4
    assert {"unreliable", "low-informative", "window"} <= {c.why for c in choices}


def test_constant_pictures_and_one_class() -> None:
    """All doubts the same: shares hold; and with a margin only the first of them is worth sending."""
    same = [Doubt(0.3, np.array([0.8, 0.1, 0.1], np.float32))] * 4000
    choices = run(Selector(replace(GENEROUS, samples=0.0, cascade=0.25), 3), same)
    assert share(choices, "cascade") == pytest.approx(0.25, abs=0.02)
    choices = run(Selector(replace(GENEROUS, margin=0.4), 3), same)
    assert sum(c.goes for c in choices) == 1 and share(choices, "redundant") > 0.9
    sure = [Doubt(0.0, np.ones(1, np.float32))] * 500
    assert {c.why for c in run(Selector(replace(GENEROUS, selection="window"), 1), sure)} == {"low-informative"}


def test_two_classes_are_never_redundant() -> None:
    pair = [Doubt(0.9, np.array([0.6, 0.4], np.float32))] * 200
    assert "redundant" not in {c.why for c in run(Selector(replace(GENEROUS, margin=0.4), 2), pair)}


def test_no_number_is_never_learned_from_and_is_counted() -> None:
    selector = Selector(replace(GENEROUS, cascade=1.0), 10)
    choices = [selector.consider(None, i / RATE, SIZE) for i in range(300)]
    assert selector.counts == {"no number": 300} and not any(c.goes for c in choices)
    assert len(selector.state.recent.values) == 0 == selector.state.window.seen


def test_what_the_filter_left_out_can_be_drawn_but_has_no_doubt() -> None:
    for selection, why in (("random", "random"), ("entropy", "no answer"), ("window", "no answer")):
        selector = Selector(replace(GENEROUS, selection=selection), 10)
        choices = [selector.consider(None, i / RATE, SIZE, answered=False) for i in range(300)]
        assert share(choices, why) > 0.9


def test_after_hours_without_a_link_there_is_no_burst() -> None:
    selector = Selector(Learning(samples=2.0, bytes=3000.0, audit=0.0), 10)
    run(selector, doubts(300))
    later = run(selector, doubts(30), start=6 * 3600.0)  # a second of frames
    assert sum(c.goes for c in later) * SIZE <= 3000.0 * (HOLD + 1) + SIZE


def test_other_wishes_keep_what_is_known_and_give_no_second_burst() -> None:
    selector = Selector(Learning(samples=1.0, bytes=1e9, audit=0.0, cascade=0.2), 10)
    run(selector, doubts(600))
    before = selector.state
    for _ in range(50):
        selector.adopt(replace(selector.learning, samples=5.0))
        selector.adopt(replace(selector.learning, samples=1.0))
    assert before.at is not None
    assert selector.state.samples.left <= filled(before.samples, before.at).left
    assert selector.state.cascaded.left <= filled(before.cascaded, before.frames).left
    assert selector.state.recent is before.recent and selector.state.counts == before.counts
    with pytest.raises(ConfigError):
        selector.adopt(replace(selector.learning, samples=math.nan))
    assert selector.learning.samples == 1.0


def test_a_seed_says_it_all_and_the_state_is_a_value() -> None:
    stream, learning = doubts(800), Learning(samples=5.0, audit=0.1, cascade=0.2, bytes=1e5)
    first, again, other = (run(Selector(learning, 10, seed), stream) for seed in (7, 7, 8))
    assert first == again != other
    selector = Selector(learning, 10, 7)
    run(selector, stream[:400])
    before = selector.state
    assert decided(before, learning, 10, 7, stream[400], 400 / RATE, SIZE)[1] == first[400]
    assert decided(before, learning, 10, 7, stream[400], 400 / RATE, SIZE)[1] == first[400]  # asking changed nothing


def test_draws_are_even_and_independent() -> None:
    each = np.array([[drawn(seed, frame, of) for of in range(3)] for seed in (0, 1, 2**63) for frame in range(4000)])
    counts, _ = np.histogram(each, bins=20, range=(0, 1))
    assert ((counts - each.size / 20) ** 2 / (each.size / 20)).sum() < 50  # χ² with 19 degrees of freedom
    assert np.abs(np.corrcoef(each.T) - np.eye(3)).max() < 0.04
    assert abs(np.corrcoef(each[:4000, 0], each[4000:8000, 0])[0, 1]) < 0.06


def test_a_picture_of_another_size_is_settled_or_withdrawn() -> None:
    selector = Selector(replace(GENEROUS, bytes=1000.0, audit=1.0), 10)
    choices = run(selector, doubts(120))
    held, gone = selector.state.bytes, next(c for c in reversed(choices) if c.goes)
    assert gone.paid == 900 and selector.settle(gone, 400) and selector.state.bytes.left == pytest.approx(held.left + 500)
    assert not selector.settle(gone, 1e6)  # that cannot be paid
    assert selector.counts["larger than thought"] == 1 and sum(selector.counts.values()) == 120
    assert selector.state.owed and selector.state.size == 1e6


def test_sizes_that_nobody_knows_are_learned_from_what_goes() -> None:
    """Pictures of 900 bytes, thought to be larger at first: after that the budget is used, and never broken."""
    selector, sent = Selector(replace(GENEROUS, bytes=9000.0, samples=3.0, audit=0.02), 10), 0
    for i, doubt in enumerate(doubts(3000)):
        choice = selector.consider(doubt, i / RATE, 0.0)
        if choice.goes and selector.settle(choice, SIZE):
            sent += 1
        selector.adopt(replace(selector.learning, bytes=9000.0 - i / 1000))  # as a node that shares its link does
    assert sent / 3000 == pytest.approx(0.02 + 3 / RATE, rel=0.15)
    assert selector.state.size == SIZE


def test_large_pictures_on_a_small_budget_still_go_where_wishes_change_all_the_time() -> None:
    selector, sent = Selector(replace(GENEROUS, bytes=2000.0, audit=0.001, samples=1.0), 10), 0.0
    for i, doubt in enumerate(doubts(18_000)):
        choice = selector.consider(doubt, i / RATE, 0.0)
        sent += 30_000 * (choice.goes and selector.settle(choice, 30_000))
        selector.adopt(replace(selector.learning, bytes=2000.0 - i / 1e6))
    assert 0.6 * 2000 * 600 < sent <= 2000 * 600 + 30_000


def test_a_picture_that_goes_anyway_costs_nothing() -> None:
    selector = Selector(replace(GENEROUS, bytes=1000.0, audit=1.0), 10)
    choices = run(selector, doubts(120))
    held = selector.state.bytes
    assert selector.settle(next(c for c in choices if c.goes), 0.0)
    assert selector.state.bytes.left == pytest.approx(held.left + 900) and selector.state.size == 900


def test_what_did_not_go_is_given_back() -> None:
    selector = Selector(replace(GENEROUS, cascade=0.5, samples=0.0), 10)
    run(selector, doubts(500))
    before = selector.state
    choice = selector.consider(Doubt(1.0, np.ones(10, np.float32)), 500 / RATE, SIZE)  # nothing was as doubtful
    assert choice.cascade
    gone = selector.state
    selector.withdraw(choice, "no link")
    assert selector.state.cascaded.left > gone.cascaded.left and selector.counts["no link"] == 1
    assert selector.counts["cascade"] == before.counts["cascade"]


@pytest.mark.parametrize("size", [math.nan, math.inf, 0.0, -5.0])
def test_a_picture_of_no_size_is_not_free(size: float) -> None:
    choices = run(Selector(replace(GENEROUS, audit=1.0, bytes=1000.0), 10), doubts(1300), size=size)
    assert sum(c.goes for c in choices) == 2 and all(c.paid == FIRST_SIZE for c in choices if c.goes)  # 43 s
