"""The terse form of a delta of vectors: what goes in comes out within half a step, and what is damaged is a sentence."""

from __future__ import annotations

import zlib

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.codec import narrow
from edgewise.codec.delta import MAGIC, decode, encode
from edgewise.codec.feedback import ErrorFeedback
from edgewise.codec.varint import write
from edgewise.core.delta import Affine, Delta, Full, Rows
from edgewise.core.errors import ModelError

F = np.float32
VALUES = hnp.arrays(F, st.integers(1, 40), elements=st.floats(-10, 10, width=32))
PATHS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), min_size=1, max_size=6, unique=True)


def vectors(seed: int = 0, size: float = 1e-3) -> Delta:
    r = np.random.default_rng(seed)
    changes = {}
    for layer in range(12):
        for word in ("weight", "bias"):
            count = int(r.integers(1, 65))
            there = np.flatnonzero(r.random(count) < (1.0 if layer % 2 else 0.6))
            if len(there):
                changes[f"body.{layer}.norm.{word}"] = Rows(there, (size * r.normal(size=len(there))).astype(F))
    return Delta("a1" * 32, "b2" * 32, "adapt", dict(changes), "")


def worst(delta: Delta, found: Delta) -> float:
    """The largest error in units of half of what int8 could do with it."""
    errors = []
    for path, change in delta.changes.items():
        got = found.changes[path]
        assert isinstance(change, Rows) and isinstance(got, Rows) and (got.indices == change.indices).all()
        top = np.abs(change.values).max()
        errors.append(
            np.abs(got.values.astype(np.float64) - change.values).max() / (top / 254) if top else np.abs(got.values).max()
        )
    return float(max(errors))


@pytest.mark.parametrize("size", [1e-20, 1e-7, 1e-3, 100.0, 1e20])
def test_within_half_a_step_whatever_the_size(size: float) -> None:
    delta = vectors(3, size)
    data = encode(delta, "int8")
    assert data[:4] == narrow.MAGIC
    found = decode(data)
    assert (found.base, found.parent, found.method, found.result) == (delta.base, delta.parent, "adapt", "")
    assert worst(delta, found) <= 1.001
    assert decode(encode(found, "int8")).changes.keys() == found.changes.keys()


@given(names=PATHS, values=VALUES, hashes=st.booleans(), same=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_names_and_values_come_back(names: list[str], values: np.ndarray, hashes: bool, same: bool) -> None:
    base = "0f" * 32 if hashes else "v0"
    delta = Delta(
        base,
        base if same else "9c" * 32,
        "adapt",
        {n: Rows(np.arange(len(values)), values * F(i + 1)) for i, n in enumerate(names)},
    )
    data = narrow.encode(delta)
    if data is None:  # zeros alone, or tiny beside large: the general form has it
        data = encode(delta, "int8")
        assert data[:4] == MAGIC
    found = decode(data)
    assert found.changes.keys() == delta.changes.keys() and (found.base, found.parent) == (delta.base, delta.parent)
    assert worst(delta, found) <= 1.001


def test_it_costs_little_more_than_its_values() -> None:
    r = np.random.default_rng(0)
    changes = {f"layer{i // 7}.{i % 7}.bn.{w}": Rows(np.arange(36), r.normal(size=36).astype(F)) for i in range(19) for w in "ab"}
    delta = Delta("a1" * 32, "b2" * 32, "adapt", dict(changes))
    exact, terse = len(encode(delta, "float32")), len(encode(delta, "int8"))
    assert terse < 38 * 36 + 38 * 2 + 64 + 150
    assert exact / terse > 3.6


@pytest.mark.parametrize(
    "change",
    [
        Full(np.ones(3, F)),
        Affine(np.ones(3, F), np.zeros(3, F)),
        Rows(np.array([0, 2]), np.ones((2, 2), F)),
        Rows(np.array([100_000]), np.ones(1, F)),
        Rows(np.zeros(0, np.int64), np.zeros(0, F)),
    ],
)
def test_what_is_no_vector_goes_in_the_general_form(change: object) -> None:
    delta = Delta("b", "p", "m", {"w": change})  # type: ignore[dict-item]
    assert narrow.encode(delta) is None
    assert decode(encode(delta, "int8")).changes.keys() == {"w"}


def test_what_is_too_unlike_for_one_exponent_goes_in_the_general_form() -> None:
    delta = Delta("b", "p", "m", {"a": Rows(np.arange(2), F([1e9, 1])), "b": Rows(np.arange(2), F([1e-9, 1e-9]))})
    data = encode(delta, "int8")
    assert data[:4] == MAGIC and worst(delta, decode(data)) <= 1.001


def test_damage_is_a_sentence_or_another_delta_never_a_crash() -> None:
    data = encode(vectors(), "int8")
    r = np.random.default_rng(0)
    refused = 0
    for _ in range(600):
        broken = bytearray(data)
        for place in r.integers(4, len(data), r.integers(1, 4)):
            broken[place] = r.integers(0, 256)
        try:
            decode(bytes(broken[: r.integers(5, len(data) + 1)] if r.random() < 0.3 else broken))
        except ModelError:
            refused += 1
    assert refused > 120
    for cut in (0, 3, 4, 5, 40, len(data) - 1):
        with pytest.raises(ModelError):
            decode(data[:cut])
    with pytest.raises(ModelError):
        decode(data + b"\0")


def test_a_vector_longer_than_its_codes_is_refused_before_it_is_made() -> None:
    head = narrow._text("m") + narrow._text("") + write(1) + write(0) + write(1) + b"w" + write((1 << 24) << 1)
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    small = squeezed.compress(head) + squeezed.flush()
    data = narrow.MAGIC + b"\3" + bytes(32) + write(len(head)) + write(len(small)) + small
    with pytest.raises(ModelError, match="a vector"):
        decode(data)


def test_error_feedback_through_it_ends_within_one_rounding() -> None:
    r = np.random.default_rng(1)
    there = {f"n{i}.bias": np.zeros(20, F) for i in range(5)}
    sender = ErrorFeedback(there, "a1" * 32, "a1" * 32, "adapt", "int8")
    wanted = {path: np.zeros(20, np.float64) for path in there}
    for turn in range(40):
        for path in wanted:
            wanted[path] = wanted[path] + 0.01 * r.normal(size=20)
        sender.want({path: Full(value.astype(F)) for path, value in wanted.items()})
        data = sender.code()
        assert data[:4] == narrow.MAGIC
        sender.acknowledged(data, f"{turn:064x}")
    assert max(np.abs(lacking).max() for lacking in sender.residual.values()) < 0.05 / 127
