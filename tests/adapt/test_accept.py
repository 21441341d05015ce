"""The gate is a pure function: it keeps what helps, throws away what harms, and lets nothing cost more than it brings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edgewise.adapt.accept import LOWEST, Gate, Proof, best, divergence, histogram, judged, stepped, unfit

GATE = Gate()
RIGHT = np.repeat(np.float32([1, 0]), [140, 60])
ONE = np.eye(4, dtype=np.float32)


def proof(source: np.ndarray = RIGHT, before: np.ndarray = RIGHT, after: np.ndarray = RIGHT, **more: object) -> Proof:
    return replace(Proof(source, before, after, ("a",) * len(after)), **more)


def turned(count: int, at: int = 0) -> np.ndarray:
    """RIGHT with `count` answers more wrong (below 0: fewer)."""
    found = RIGHT.copy()
    if count > 0:
        found[at : at + count] = 0
    else:
        found[140 : 140 - count] = 1
    return found


def test_the_same_is_kept_and_better_is_kept() -> None:
    assert not judged(proof(), GATE).why
    assert not judged(proof(after=turned(-20)), GATE).why


def test_a_loss_of_more_than_a_point_is_thrown_away_unless_it_is_noise() -> None:
    assert "fell from 70.0%" in judged(proof(after=turned(6)), GATE).why
    mixed = turned(10)
    mixed[140:147] = 1  # ten lost, seven won: three of two hundred, but z = −0.7
    assert not judged(proof(after=mixed), GATE).why


def test_many_small_losses_are_seen_against_the_source() -> None:
    assert "beside the source" in judged(proof(before=turned(30), after=turned(31)), GATE).why


def test_calibration_pays_for_no_more_than_is_won() -> None:
    lost = {"at_home": 0.90, "home_after": 0.86}
    waits = judged(proof(**lost), GATE)
    assert waits.waits and "calibration lost 4.0%" in waits.why
    assert not judged(proof(**lost, won=0.05), GATE).why
    assert not judged(proof(after=turned(-50), **lost), GATE).why, "25 points on held-out uploads"
    assert not judged(proof(at_home=0.90, home_after=0.885), GATE).why


def test_one_device_that_loses_stops_it() -> None:
    after = turned(12)
    after[140:170] = 1
    devices = tuple("poor" if i < 25 else "rich" for i in range(200))
    assert judged(proof(after=after, devices=devices), GATE).why == "poor loses by it"
    assert not judged(proof(after=after), GATE).why


def test_collapse_onto_one_class_is_thrown_away_but_not_a_stream_of_one_class() -> None:
    even, one = np.full(4, 0.25, np.float32), ONE[0]
    assert "collapse" in judged(proof(seen=(one, even, even)), GATE).why
    assert not judged(proof(seen=(one, one, one)), GATE).why
    assert divergence(one, even) > 1 > divergence(even, even) == 0


def test_no_number_is_thrown_away_and_no_probe_judges_by_calibration() -> None:
    assert "no numbers" in judged(proof(after=np.full(200, np.nan, np.float32)), GATE).why
    none = np.zeros(0, np.float32)
    assert not judged(proof(none, none, none), GATE).why
    assert judged(proof(none, none, none, at_home=0.9, home_after=0.5), GATE).why


@given(st.floats(1e-4, 1e-1), st.integers(0, 40), st.floats(-10, 10), st.booleans())
def test_a_step_size_stays_within_its_bounds(rate: float, kept: int, z: float, sound: bool) -> None:
    found = stepped(rate, 1e-3, kept, z, sound)
    assert LOWEST <= found <= max(rate, 3e-3)
    assert found <= rate or kept % 8 == 0
    if z <= 5 or not sound:
        assert found <= 1e-3 or not kept


def test_of_candidates_the_preferred_stays_unless_another_is_clearly_better() -> None:
    assert best({"stored": turned(4), "source": RIGHT}) == "source"
    few = {"stored": np.float32([1, 0, 1, 0]), "source": np.float32([1, 0, 0, 1])}
    assert best(few) == "stored"
    assert best({"stored": RIGHT, "source": RIGHT, "present": turned(-1)}) == "stored"


@pytest.mark.parametrize("truth", [True, False])
def test_a_teacher_is_examined(truth: bool) -> None:
    labels = np.random.default_rng(0).integers(0, 4, 100)
    right, source = ONE[labels], ONE[np.where(np.arange(100) < 8, (labels + 1) % 4, labels)]
    known = right if truth else None
    assert not unfit(right, source, known)
    assert unfit(ONE[(labels + 1) % 4], source, known), "classes turned round"
    assert "no number" in unfit(np.full((100, 4), np.nan, np.float32), source, known)


def test_a_histogram_is_of_shares() -> None:
    assert histogram(ONE[[0, 0, 1, 3]]).tolist() == [0.5, 0.25, 0, 0.25]
    assert histogram(np.float32([[0.9, 0.1], [0.1, 0.1]]), "cells").tolist() == [0.25, 0.75]
