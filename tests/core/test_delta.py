"""Deltas by their laws: what the table calls bit-exact is so to the bit, the rest to rounding; what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgewise.core.delta import Affine, Change, Delta, Full, LowRank, Rows, apply, changed, compose, conflicts, merge
from edgewise.core.errors import ModelError

F = np.float32
SHAPES = ((6,), (4, 3), (5, 2, 3, 1))
KINDS = (Full, Rows, LowRank, Affine)
REFUSED = {(Rows, Affine), (LowRank, Affine), (Affine, Rows), (Affine, LowRank)}
EXACT = {*((Full, k) for k in KINDS), *((k, Full) for k in KINDS), (LowRank, LowRank)}


def floats(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Values as weights are, of very different sizes, zeros of both signs among them."""
    return hnp.arrays(F, shape, elements=st.floats(-100, 100, width=32))


@st.composite
def changes(draw: st.DrawFn, shape: tuple[int, ...], kind: type | None = None) -> Change:
    kinds = [k for k in KINDS if len(shape) > 1 or k is not LowRank]
    kind = kind or draw(st.sampled_from(kinds))
    if kind is Full:
        return Full(draw(floats(shape)))
    if kind is Rows:
        rows = sorted(draw(st.sets(st.integers(0, shape[0] - 1))))
        return Rows(np.array(rows, np.int64), draw(floats((len(rows), *shape[1:]))))
    if kind is LowRank:
        rank, wide = draw(st.integers(0, 2)), int(np.prod(shape[1:]))
        return LowRank(draw(floats((shape[0], rank))), draw(floats((rank, wide))))
    return Affine(draw(floats(shape[:1])), draw(floats(shape[:1])))


def one(change: Change, parent: str = "v0", result: str = "v1", method: str = "a") -> Delta:
    return Delta("v0", parent, method, {"w": change}, result)


def close(x: np.ndarray, y: np.ndarray, size: float) -> bool:
    return bool(np.abs(x.astype(np.float64) - y).max(initial=0.0) <= 1e-5 * size)


def same(x: np.ndarray, y: np.ndarray) -> bool:
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_composition_does_what_both_do(first: type, second: type, data: st.DataObject) -> None:
    shapes = SHAPES[1:] if LowRank in (first, second) else SHAPES
    shape = data.draw(st.sampled_from(shapes))
    w = data.draw(floats(shape))
    x, y = data.draw(changes(shape, first)), data.draw(changes(shape, second))
    a, b = one(x), one(y, "v1", "v2", "b")
    if (first, second) in REFUSED:
        with pytest.raises(ModelError, match="no single change"):
            compose(a, b)
        return
    both = compose(a, b)
    assert (both.parent, both.result, both.method) == ("v0", "v2", "a+b")
    step = changed("w", w, x)
    apart, together = changed("w", step, y), changed("w", w, both.changes["w"])
    disjoint = first is second is Rows and not set(x.indices) & set(y.indices)
    if (first, second) in EXACT or disjoint:
        assert same(apart, together)
    else:
        assert close(apart, together, 1 + 1e2 * np.abs(w).max(initial=0) + 1e6)


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_other_paths_compose_to_the_bit(data: st.DataObject) -> None:
    w = {"w": data.draw(floats((4, 3))), "v": data.draw(floats((6,))), "u": data.draw(floats((2,)))}
    a = Delta("v0", "v0", "a", {"w": data.draw(changes((4, 3)))}, "v1")
    b = Delta("v0", "v1", "b", {"v": data.draw(changes((6,)))}, "v2")
    apart, together = apply(apply(w, a), b), apply(w, compose(a, b))
    assert all(same(apart[path], together[path]) for path in w)
    assert same(together["u"], w["u"])
    siblings = merge(a, Delta("v0", "v0", "b", b.changes))
    assert conflicts(a, b) == () and all(same(apart[path], apply(w, siblings)[path]) for path in w)


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_siblings_add_what_each_does_or_conflict(first: type, second: type, data: st.DataObject) -> None:
    w = data.draw(floats((4, 3)))
    x, y = data.draw(changes((4, 3), first)), data.draw(changes((4, 3), second))
    a, b = one(x), one(y, method="b")
    adds = {first, second} <= {Rows, LowRank} or first is second is Affine
    if not adds and not (first is second is Full and x == y):
        assert conflicts(a, b) == conflicts(b, a) == ("w",)
        with pytest.raises(ModelError, match=r"conflict.*w"):
            merge(a, b)
        return
    assert conflicts(a, b) == ()
    together, turned = changed("w", w, merge(a, b).changes["w"]), changed("w", w, merge(b, a).changes["w"])
    assert close(together, turned, 1e6)
    if adds:
        wanted = w + (changed("w", w, x).astype(np.float64) - w) + (changed("w", w, y).astype(np.float64) - w)
        assert close(together, wanted, 1e6)
    else:
        assert same(together, x.values)


def test_low_rank_is_the_matrix_product_and_rows_touch_no_other_row() -> None:
    random = np.random.default_rng(1)
    w, a, b = (random.normal(size=s).astype(F) for s in ((4, 3, 2), (4, 2), (2, 6)))
    assert np.allclose(changed("w", w, LowRank(a, b)), w + (a @ b).reshape(w.shape), atol=1e-5)
    out = changed("w", w, Rows(np.array([1, 3]), np.ones((2, 3, 2), F)))
    assert same(out[[0, 2]], w[[0, 2]]) and same(out[[1, 3]], w[[1, 3]] + F(1))


def test_order_matters_where_it_should() -> None:
    double, shift = Affine(np.full(2, 2, F), np.zeros(2, F)), Affine(np.ones(2, F), np.ones(2, F))
    w = np.array([1, 1], F)
    assert changed("w", w, compose(one(double), one(shift, "v1")).changes["w"]).tolist() == [3, 3]
    assert changed("w", w, compose(one(shift), one(double, "v1")).changes["w"]).tolist() == [4, 4]
    assert changed("w", w, merge(one(shift), one(double)).changes["w"]).tolist() == [3, 3]


def test_only_what_follows_composes_and_only_siblings_merge() -> None:
    a = one(Affine(np.ones(2, F), np.ones(2, F)))
    for stranger in (one(a.changes["w"], "v7"), Delta("v9", "v1", "b", a.changes)):  # type: ignore[arg-type]
        with pytest.raises(ModelError, match="do not follow"):
            compose(a, stranger)
    with pytest.raises(ModelError, match="not yet written"):
        compose(one(a.changes["w"], result=""), one(a.changes["w"], ""))
    with pytest.raises(ModelError, match="not one parent"):
        merge(a, one(a.changes["w"], "v1"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (Full(np.zeros((4, 3), np.float64)), "malformed"),
        (Full(np.full((4, 3), np.nan, F)), "no number"),
        (Full(np.zeros((3, 4), F)), "another model"),
        (Full(np.zeros((4, 3), np.int8)), "another model"),
        (Rows(np.array([0, 4]), np.zeros((2, 3), F)), "another model"),
        (Rows(np.array([1, 0]), np.zeros((2, 3), F)), "malformed"),
        (Rows(np.array([1, 1]), np.zeros((2, 3), F)), "malformed"),
        (Rows(np.array([-1]), np.zeros((1, 3), F)), "malformed"),
        (Rows(np.array([0]), np.zeros((1, 2), F)), "another model"),
        (Rows(np.array([0], np.int32), np.zeros((1, 3), F)), "malformed"),
        (LowRank(np.zeros((4, 1), F), np.zeros((2, 3), F)), "malformed"),
        (LowRank(np.zeros((3, 1), F), np.zeros((1, 4), F)), "another model"),
        (LowRank(np.zeros((4, 99), F), np.zeros((99, 3), F)), "another model"),
        (LowRank(np.zeros((4, 1), F), np.full((1, 3), np.inf, F)), "no number"),
        (Affine(np.ones(3, F), np.ones(3, F)), "another model"),
        (Affine(np.ones(4, F), np.ones(3, F)), "malformed"),
        (Affine(np.full(4, 3e38, F), np.zeros(4, F)), "no numbers"),
    ],
)
def test_a_change_that_does_not_fit_is_a_sentence(change: Change, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        apply({"w": np.full((4, 3), 3, F)}, one(change))


def test_a_path_that_the_model_has_not_is_a_sentence_and_nothing_is_changed_in_place() -> None:
    w = np.ones((4, 3), F)
    with pytest.raises(ModelError, match="made for another model"):
        apply({"v": w}, one(Full(w)))
    for change in (Rows(np.array([0]), w[:1]), LowRank(w[:, :1], w[:1]), Affine(w[:, 0] * 2, w[:, 0])):
        apply({"w": w}, one(change))
        assert (w == 1).all()


def test_integers_are_replaced_but_never_added_to() -> None:
    table = np.arange(4, dtype=np.int32)
    assert same(apply({"w": table}, one(Full(table[::-1].copy())))["w"], table[::-1])
    with pytest.raises(ModelError, match="another model"):
        apply({"w": table}, one(Rows(np.array([0]), np.ones(1, F))))
