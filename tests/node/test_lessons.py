"""What is learned from frames, in virtual time: each upload is chosen, paid and counted once, and no answer suffers for it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.answer import Answer
from edgewise.core.learning import AUDIT, CARRIED, DROPPED
from edgewise.core.link import Link, Trace
from edgewise.core.placement import OperatingPoint
from edgewise.net.sampling import WORTH
from tests.learning_site import BEST, DEADLINE, LOCAL, POOR, SPLIT, TAUGHT, WISH, Run, worth
from tests.pickers import CASCADE, LEARN, NOTHING, Picked, Picker

RULES = st.lists(st.sampled_from([NOTHING, LEARN, Picked(learn=True, audit=True), CASCADE]), min_size=1, max_size=6)
RATES = st.lists(st.sampled_from([0.0, 3e5, 5e6]), min_size=1, max_size=4)
SETS = st.sampled_from([(LOCAL,), (LOCAL, SPLIT), (LOCAL, POOR), (LOCAL, SPLIT, BEST), (SPLIT, POOR)])


@settings(max_examples=15, deadline=None)
@given(RULES, RATES, SETS, st.booleans(), st.sampled_from([4_000.0, 1e12]))
def test_every_choice_has_one_end_and_the_books_close_whatever_the_link_does(
    rules: list[Picked], rates: list[float], points: tuple[OperatingPoint, ...], sieve: bool, most: float
) -> None:
    trace = Trace(tuple(float(i) for i in range(len(rates))), tuple(rates), float(len(rates)))
    link = Link("random", trace_up=trace, rate_down=2e7, delay=0.01)
    picker = Picker(lambda n: rules[n % len(rules)], most)
    run = Run(picker, points, link, 40, sees=(lambda frame: frame % 3 / 2) if sieve else None, learn=0.3)
    table, counts = run.agent.ledger.table(), run.agent.lessons.counts
    assert table.balanced and sorted(r.frame for r in run.records) == list(range(40))
    assert len(picker.asked) <= 40, "each frame is put to the learner once"
    went = counts["samples"] + counts["taught"] + counts["fell back"] + counts["carried by frames"]
    undone = picker.why["the link took nothing"]
    waiting = len(run.agent.lessons._going)  # on a link that never came back
    assert picker.chosen <= went + picker.withdrawn + waiting <= picker.chosen + undone
    assert table.samples == counts["samples"]
    assert len([s for s in run.samples if not s.flags & CARRIED]) >= counts["samples"]
    assert len({s.frame for s in run.samples}) == len(run.samples), "no frame is learned from twice"


def test_a_frame_that_is_answered_here_is_sampled_and_arrives_with_what_was_known_of_it() -> None:
    picker = Picker(lambda n: Picked(learn=True, audit=n % 2 == 0))
    run = Run(picker, (LOCAL,))
    assert {r.mode for r in run.records} == {"local"} and len(run.records) == 60
    assert len(run.samples) >= 58  # the first frame came before the greeting
    assert all(s.doubt == 0.5 and len(s.picture) == 5_000 for s in run.samples)
    assert {s.flags for s in run.samples} == {0, AUDIT}
    assert run.agent.ledger.table().samples == len(run.samples)
    assert all(answered for _, answered in picker.asked)


def test_what_the_filter_leaves_out_can_be_learned_from() -> None:
    run = Run(Picker(lambda n: LEARN), (LOCAL,), sees=lambda frame: 0.0)
    assert {r.reason for r in run.records} == {"filter"}
    assert len(run.samples) >= 58 and all(s.flags == DROPPED and s.doubt is None for s in run.samples)


def test_a_frame_answered_as_features_is_put_to_the_learner_as_one_without_an_answer_of_the_devices() -> None:
    picker = Picker(lambda n: LEARN)
    run = Run(picker, (SPLIT,))
    assert {r.mode for r in run.records if r.outcome == "answered"} == {"split"}
    assert picker.asked and all(known == (None, False) for known in picker.asked)
    assert len(run.samples) > 40


def test_a_picture_that_goes_up_anyway_goes_once() -> None:
    run = Run(Picker(lambda n: Picked(learn=True, audit=True)), (LOCAL, BEST))
    pictures = [r for r in run.records if r.mode == "image"]
    carried = [s for s in run.samples if s.flags & CARRIED]
    assert len(pictures) > 40 and len(carried) == len({s.frame for s in run.samples if s.flags & CARRIED}) > 40
    assert all(s.flags == CARRIED | AUDIT and len(s.picture) == 6_000 for s in carried)
    table = run.agent.ledger.table()
    assert table.samples + len(carried) == len(run.samples)
    assert table.sample_bytes == table.samples == 0


def test_the_cascade_is_answered_by_the_teacher_and_teaches_with_the_same_bytes() -> None:
    picker = Picker(lambda n: CASCADE)
    run = Run(picker, (LOCAL, POOR))
    asked = [r for r in run.records if r.answer == TAUGHT]
    assert len(asked) > 50 and all(r.mode == "image" and not r.late and r.bytes_up > 6_000 for r in asked)
    assert run.edge.totals()["answered by the teacher"] == len(asked) == run.agent.lessons.counts["taught"]
    assert sorted(s.frame for s in run.samples) == sorted(r.frame for r in asked)
    assert all(abs((s.doubt or 0) - 0.5) < 0.01 for s in run.samples)
    assert run.agent.ledger.table().samples == 0, "no byte goes for learning alone"


@pytest.mark.parametrize("teacher", [5.0, 0.2])
def test_a_teacher_that_is_too_slow_costs_no_answer_and_the_tail_takes_over(teacher: float) -> None:
    run = Run(Picker(lambda n: CASCADE), (LOCAL, POOR), teacher=teacher, count=100)
    assert all(r.outcome == "answered" and not r.late for r in run.records)
    tails = [r for r in run.records if r.mode == "image" and r.answer == Answer()]
    assert len(tails) > 30, "pictures that the teacher cannot answer in time go to the tail"


def test_a_link_that_dies_costs_no_answer() -> None:
    trace = Trace((0.0, 2.0), (2e7, 0.0), 1e9)
    run = Run(Picker(lambda n: CASCADE), (LOCAL, POOR), Link("dies", trace_up=trace, rate_down=2e7, delay=0.005))
    assert all(r.outcome == "answered" and not r.late for r in run.records)
    assert {r.mode for r in run.records if r.frame > 30} == {"local"}
    assert all(r.latency < DEADLINE - 0.003 for r in run.records), "what stands by is said before the deadline, not at it"
    assert run.agent.lessons.counts["fell back"] + run.agent.lessons.counts["the link took nothing"] > 0


def test_the_cascade_comes_back_with_the_link() -> None:
    trace = Trace((0.0, 2.0, 5.0), (2e7, 0.0, 2e7), 1e9)
    run = Run(Picker(lambda n: CASCADE), (LOCAL, POOR), Link("away", trace_up=trace, rate_down=2e7, delay=0.005), 200)
    assert all(r.outcome == "answered" and not r.late for r in run.records)
    assert sum(r.answer == TAUGHT for r in run.records if r.frame >= 100) > 80


def test_a_learner_is_not_asked_while_nobody_is_there_or_wants_anything() -> None:
    dead = Link("dead", rate_up=0.0, rate_down=2e7)
    picker = Picker(lambda n: LEARN)
    run = Run(picker, (LOCAL,), dead)
    assert picker.asked == [] and len(run.records) == 60
    picker = Picker(lambda n: LEARN)
    run = Run(picker, (LOCAL,), wish=lambda now: None)
    assert picker.asked == [] and run.samples == []
    picker = Picker(lambda n: LEARN)
    run = Run(picker, (LOCAL,), wish=lambda now: WISH if now < 3.0 else None)
    assert 20 < len(run.samples) < 32 and picker.wishes == [WISH, None]


def test_learning_takes_what_the_budget_leaves_and_answers_come_first() -> None:
    picker = Picker(lambda n: NOTHING)
    Run(picker, (LOCAL,), budget="bytes_up<=8KB/s")
    assert picker.wishes[0] is not None and picker.wishes[0].bytes == pytest.approx(8_000)
    picker = Picker(lambda n: NOTHING)
    run = Run(picker, (LOCAL, SPLIT), budget="bytes_up<=30KB/s", count=300)
    used = sum(r.bytes_up for r in run.records) / 30
    last = picker.wishes[-1]
    assert {r.mode for r in run.records if r.frame > 100} == {"split"}
    assert last is not None and last.bytes < 1.2 * (30_000 - used)
    picker = Picker(lambda n: NOTHING)
    Run(picker, (LOCAL, SPLIT))
    assert picker.wishes == [WISH], "without a bound on bytes the server's wish is all"


@pytest.mark.parametrize("rate", [1e6, 4e6])
def test_samples_fill_the_gaps_and_no_frame_waits_for_more_than_a_piece(rate: float) -> None:
    link = Link("narrow", rate_up=rate, rate_down=2e7, delay=0.01)
    alone = Run(None, (LOCAL, SPLIT), link, 100)
    with_samples = Run(Picker(lambda n: LEARN), (LOCAL, SPLIT), link, 100, picture=20_000)
    assert len(with_samples.samples) > 10
    for before, now in zip(alone.records, with_samples.records, strict=True):
        assert now.outcome == "answered" and not now.late
        assert now.latency < max(before.latency, 0.06) + 1.5 * WORTH
    modes = [Counter(r.mode for r in run.records) for run in (alone, with_samples)]
    assert modes[1]["split"] > 0.9 * modes[0]["split"]


def test_a_worker_that_is_busy_lets_samples_go_first() -> None:
    slow = OperatingPoint("local", "local", device_time=0.12, quality=worth(0.6))
    picker = Picker(lambda n: LEARN)
    run = Run(picker, (slow,))
    alone = Run(None, (slow,))
    assert Counter(r.outcome for r in run.records) == Counter(r.outcome for r in alone.records)
    assert picker.why["the worker is busy"] > 10


def test_a_picture_that_cannot_be_coded_or_paid_is_withdrawn_once() -> None:
    picker = Picker(lambda n: LEARN, most=1_000)
    run = Run(picker, (LOCAL,))
    assert run.samples == [] and picker.withdrawn == picker.chosen > 50
    picker = Picker(lambda n: CASCADE, most=1_000)
    run = Run(picker, (LOCAL, POOR))
    assert run.samples == [] and all(r.mode == "local" and r.bytes_up == 0 for r in run.records)
    assert picker.withdrawn == picker.chosen > 50
