"""Streams: who is shown, in which order, how often, through what – and that an order changes nothing but the order."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.errors import ConfigError
from edgewise.data.corruptions import KINDS
from edgewise.data.streams import ORDERS, Domain, parse, stream

LABELS = np.arange(60) % 6
DOMAINS = parse("fog:3,night,clean")
PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def test_names_round_trip_and_say_what_is_wrong():
    assert parse("fog:3, night ,clean") == (Domain("fog", 3), Domain("night", 5), Domain())
    for kind in KINDS:
        assert parse(Domain(kind, 2).name) == (Domain(kind, 2),)
    for bad in ("", "fog:", "fog:x", "clean:1", "snow", "fog:٣", "fog,,night", "fog:-1", "fog:1.5"):
        with pytest.raises(ConfigError, match=r"well named.*allowed: clean"):
            parse(bad)
    for bad in ("fog:0", "fog:6"):
        with pytest.raises(ConfigError, match="severity"):
            parse(bad)


@settings(max_examples=40)
@given(st.sampled_from(ORDERS), st.integers(0, 3), st.integers(1, 3), st.one_of(st.none(), st.integers(1, 150)))
def test_every_domain_gets_its_count_and_no_picture_comes_more_often_than_another(order, seed, rounds, each):
    found = stream(DOMAINS, LABELS, order, seed, each, rounds)
    count = 60 if each is None else each
    assert len(found) == 3 * count * rounds
    for number in range(3):
        assert (found.number == number).sum() == count * rounds
        for visit in range(rounds):
            seen = np.bincount(found.index[(found.number == number) & (found.visit == visit)], minlength=60)
            assert seen.sum() == count and np.ptp(seen) <= 1
    again = stream(DOMAINS, LABELS, order, seed, each, rounds)
    assert np.array_equal(found.index, again.index) and np.array_equal(found.severity, again.severity)


def test_seeds_and_domains_have_orders_of_their_own():
    one, other = stream(DOMAINS, LABELS, seed=1), stream(DOMAINS, LABELS, seed=2)
    assert not np.array_equal(one.index, other.index)
    assert not np.array_equal(one.index[:60], one.index[60:120])


def test_sorted_is_class_after_class_and_domain_after_domain():
    found = stream(DOMAINS, LABELS, "sorted")
    for number in range(3):
        classes = LABELS[found.index[found.number == number]]
        assert (np.diff(classes) != 0).sum() == 5
    assert (np.diff(found.number) >= 0).all()


def test_mixed_changes_domain_within_a_few_pictures():
    found = stream(DOMAINS, LABELS, "mixed")
    assert (np.diff(found.number) != 0).mean() > 0.5


def test_gradual_rises_from_clean_to_the_domain_and_falls_again():
    found = stream(parse("fog:5"), np.zeros(110), "gradual")
    assert found.severity[::10].tolist() == [0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0]
    assert found.at(0).domain == Domain() and found.at(55).domain == Domain("fog", 5)


def test_given_keeps_the_order_of_footage():
    assert stream(parse("night"), LABELS, "given").index.tolist() == list(range(60))


def test_recurring_comes_back_with_other_noise_and_a_domain_named_twice_does_too():
    for found in (stream(parse("rain:2"), LABELS, "recurring"), stream(parse("rain:2,rain:2"), LABELS)):
        assert found.visit.tolist() == [0] * 60 + [1] * 60
        first, second = (next(s for s in found if s.index == 7 and s.visit == visit) for visit in (0, 1))
        assert (first.drawn, second.drawn) == (0, 1)
        assert not np.array_equal(found.through(PICTURE, first), found.through(PICTURE, second))


def test_every_order_shows_the_same_pictures():
    shown = [
        Counter(found.through(PICTURE, s).tobytes() for s in found)
        for found in (
            stream(parse("gaussian_noise:2,rain:1,clean"), LABELS[:12], order, 5) for order in ("iid", "sorted", "mixed")
        )
    ]
    assert shown[0] == shown[1] == shown[2] and len(shown[0]) == 25  # the clean ones are all the same


def test_more_than_there_are_go_round_again_with_new_noise():
    found = stream(parse("gaussian_noise"), LABELS[:10], each=25)
    assert sorted(found.drawn.tolist()) == [0] * 10 + [1] * 10 + [2] * 5
    assert len({found.through(PICTURE, s).tobytes() for s in found}) == 25


def test_a_stream_that_cannot_be_says_so():
    for domains, labels, options in (
        ((), LABELS, {}),
        (DOMAINS, [], {}),
        (DOMAINS, [[1]], {}),
        (DOMAINS, LABELS, {"each": 0}),
        (DOMAINS, LABELS, {"rounds": 0}),
        (DOMAINS, LABELS, {"order": "backwards"}),
        ((Domain("fog", 0),), LABELS, {}),
        ((Domain("clean", 2),), LABELS, {}),
    ):
        with pytest.raises(ConfigError):
            stream(domains, labels, **options)
