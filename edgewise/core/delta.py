"""A Delta: what a method changes in a model, parameter by parameter, small enough to send.

`base` is the address of the whole artifact with which the line of versions began: its parameter paths and shapes are the delta's.
`parent` is the address of the version that the changes are made to, `result` that of the version they make (empty until it was
written). The changes of one parameter w, axis 0 being its output channels:

    Full     w' = values                            any dtype
    Rows     w'[indices] = w[indices] + values      sparse rows; a vector's rows are its elements
    LowRank  w' = w + a₁⊗b₁ + a₂⊗b₂ + …            w read as a matrix (rows, the rest)
    Affine   w' = w · scale + shift                 per channel: normalisation, bias, whole filters

**Bit-exact**: `apply` is float32 additions and multiplications element by element, each rounded once, in one order; the ranks
of LowRank are added one after the other. No matrix product is in it, whose order of sums is the library's. IEEE 754
leaves no choice then: a device that applies a delta has the bytes of the publisher, whatever its processor.

**One after the other**: `compose(a, b)`, where b.parent is a.result, does in one step what both do in two, path by path. `=` is
bit-exact, `≈` to rounding; what no single change can say is refused, and is shipped as two versions.

    a then b  | Full   Rows     LowRank  Affine
    Full      | = b    =        =        =         (a Full with b done to its values)
    Rows      | = b    ≈ (=¹)   ≈ Rows   refused
    LowRank   | = b    ≈ Rows   =        refused
    Affine    | = b    refused  refused  ≈

    ¹ bit-exact where no row is in both. Paths that are in one delta alone are taken over: =.

**Side by side**: `merge(a, b)` joins two deltas of one parent: what each does to w is added. `conflicts(a, b)` says where that
cannot be, and then the publisher must choose.

    a, b      | Full      Rows      LowRank   Affine
    Full      | if equal  conflict  conflict  conflict
    Rows      |           ≈         ≈         conflict
    LowRank   |                     ≈         conflict
    Affine    |                               ≈  (scales a + b − 1, shifts a + b)

It does not know whether a change does good, nor who made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import astuple, replace
from numpy.typing import NDArray

from edgewise.core.errors import ModelError

Array = NDArray[Any]
FLOAT = np.dtype(np.float32)
INTEGERS = tuple(np.dtype(t) for t in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"))


class _Change(Struct, frozen=True, eq=False):
    """Arrays, equal where dtype, shape and every bit are."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        pairs = zip(astuple(self), astuple(other))
        return all(x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in pairs)

    __hash__ = None  # type: ignore[assignment]


class Full(_Change, frozen=True, eq=False):
    """New values, of the parameter's shape and dtype."""

    values: Array


class Rows(_Change, frozen=True, eq=False):
    """`values` [k, …] (float32) added to the rows `indices` [k] (int64, ascending)."""

    indices: Array
    values: Array


class LowRank(_Change, frozen=True, eq=False):
    """`a` [m, r] and `b` [r, n] (float32): the sum of r outer products, added."""

    a: Array
    b: Array


class Affine(_Change, frozen=True, eq=False):
    """`scale` [m] and `shift` [m] (float32), one of each for a channel (axis 0)."""

    scale: Array
    shift: Array


Change = Full | Rows | LowRank | Affine
Parameters = Mapping[str, Array]


class Delta(Struct, frozen=True):
    """Changes by parameter path, made by `method` (`adapt`, `finetune`, `federate` …) to the version `parent`."""

    base: str
    parent: str
    method: str
    changes: dict[str, Change]
    result: str = ""


def apply(parameters: Parameters, delta: Delta) -> dict[str, Array]:
    """Every parameter after the delta; ModelError where it speaks of another model, or makes what is no number.

    >>> w = {"bias": np.zeros(2, np.float32)}
    >>> grow = Affine(np.ones(2, np.float32), np.full(2, 0.5, np.float32))
    >>> apply(w, Delta("b", "b", "adapt", {"bias": grow}))["bias"].tolist()
    [0.5, 0.5]
    """
    after = dict(parameters)
    for path, change in delta.changes.items():
        if path not in parameters:
            raise ModelError(
                "a delta changes a parameter that the model has not",
                got=repr(path),
                allowed=", ".join(list(parameters)[:5]) + " …",
                hint="It was made for another model.",
            )
        after[path] = changed(path, parameters[path], change)
    return after


def changed(path: str, value: Array, change: Change) -> Array:
    """One parameter after its change, as a new array."""
    check(path, change)
    _fits(path, value, change)
    with np.errstate(all="ignore"):
        match change:
            case Full(values):
                return values.copy()
            case Rows(indices, values):
                out = value.copy()
                out[indices] += values
            case LowRank(a, b):
                out = value.reshape(len(a), -1).copy()
                for k in range(a.shape[1]):
                    out += a[:, k, None] * b[k]
                out = out.reshape(value.shape)
            case Affine(scale, shift):
                channels = (-1, *(1,) * (value.ndim - 1))
                out = value * scale.reshape(channels) + shift.reshape(channels)
    if not np.isfinite(out).all():
        raise ModelError(f"a delta makes values of {path!r} that are no numbers", got="an overflow", allowed="finite values")
    return out


def check(path: str, change: Change) -> None:
    """ModelError where a change is not well formed by itself: dtypes, dimensions, order of rows, NaN."""
    match change:
        case Full(values):
            sound = values.dtype == FLOAT or values.dtype in INTEGERS
        case Rows(indices, values):
            sound = indices.dtype == np.int64 and indices.ndim == 1 and values.ndim >= 1 and len(indices) == len(values)
            sound = sound and values.dtype == FLOAT and bool((indices >= 0).all() and (np.diff(indices) > 0).all())
        case LowRank(a, b):
            sound = a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0] and a.dtype == b.dtype == FLOAT
        case Affine(scale, shift):
            sound = scale.ndim == 1 and scale.shape == shift.shape and scale.dtype == shift.dtype == FLOAT
    arrays: tuple[Array, ...] = astuple(change)
    if not sound:
        raise ModelError(
            f"the change of {path!r} is malformed",
            got=f"{type(change).__name__} of " + ", ".join(f"{x.dtype} {x.shape}" for x in arrays),
            allowed="float32 (Full: integers too); rows ascending; equal ranks; as many scales as shifts",
        )
    if not all(np.isfinite(x).all() for x in arrays):
        raise ModelError(f"the change of {path!r} holds what is no number", got="NaN or infinity", allowed="finite values")


def _fits(path: str, value: Array, change: Change) -> None:
    """ModelError where a well-formed change is not for a parameter of this dtype and shape."""
    match change:
        case Full(values):
            fits, wanted = values.dtype == value.dtype and values.shape == value.shape, f"{values.dtype} {values.shape}"
        case Rows(indices, values):
            inside = value.ndim >= 1 and (not len(indices) or int(indices[-1]) < len(value))
            fits = value.dtype == FLOAT and inside and values.shape[1:] == value.shape[1:]
            wanted = f"rows of {values.shape[1:]} up to row {indices[-1] if len(indices) else 0}"
        case LowRank(a, b):
            fits = value.dtype == FLOAT and value.ndim >= 2 and len(value) == len(a) and value.size == len(a) * b.shape[1]
            fits = fits and len(b) <= sum(a.shape[:1] + b.shape[1:])  # more ranks than that take longer than they can be worth
            wanted = f"{len(a)} rows of {b.shape[1]} values in {len(b)} ranks"
        case Affine(scale, _):
            fits, wanted = value.dtype == FLOAT and value.ndim >= 1 and len(value) == len(scale), f"{len(scale)} channels"
    if not fits:
        raise ModelError(
            f"the change of {path!r} is for another model",
            got=f"{type(change).__name__} for {wanted}",
            allowed=f"a change of {value.dtype} {value.shape}",
        )


def compose(a: Delta, b: Delta) -> Delta:
    """One delta that does a and then b; ModelError where b does not follow a, or no single change says both (table above)."""
    if b.base != a.base or not a.result or b.parent != a.result:
        raise ModelError(
            "two deltas do not follow each other",
            got=f"one makes {a.result[:12] or 'a version not yet written'}, the next changes {b.parent[:12]}",
            allowed="a second delta whose parent is the result of the first, of the same base",
        )
    changes = _both(a, b)
    with np.errstate(all="ignore"):  # what overflows is found when it is applied
        for path in a.changes.keys() & b.changes.keys():
            changes[path] = _after(path, a.changes[path], b.changes[path])
    return replace(b, parent=a.parent, method=_methods(a, b), changes=changes)


def conflicts(a: Delta, b: Delta) -> tuple[str, ...]:
    """Paths that two deltas of one parent change in ways that cannot be added; none where `merge` works."""
    both = sorted(a.changes.keys() & b.changes.keys())
    return tuple(path for path in both if _beside(path, a.changes[path], b.changes[path]) is None)


def merge(a: Delta, b: Delta) -> Delta:
    """One delta that makes both changes to their common parent; ModelError where they have none, or conflict."""
    if (a.base, a.parent) != (b.base, b.parent):
        raise ModelError("two deltas have not one parent", got=f"{a.parent[:12]} and {b.parent[:12]}", allowed="the same version")
    changes = _both(a, b)
    for path in a.changes.keys() & b.changes.keys():
        with np.errstate(all="ignore"):
            joined = _beside(path, a.changes[path], b.changes[path])
        if joined is None:
            raise ModelError(
                f"deltas of {a.method} and {b.method} conflict",
                got=", ".join(conflicts(a, b)),
                allowed="additions (rows, low rank) with additions, affine with affine, other paths",
                hint="Publish one of them, and make the other again from the version that comes of it.",
            )
        changes[path] = joined
    return replace(a, method=_methods(a, b), changes=changes, result="")


def _both(a: Delta, b: Delta) -> dict[str, Change]:
    for delta in (a, b):
        for path, change in delta.changes.items():
            check(path, change)
    return a.changes | b.changes


def _methods(a: Delta, b: Delta) -> str:
    return a.method if a.method == b.method else f"{a.method}+{b.method}"


def _after(path: str, a: Change, b: Change) -> Change:
    """b after a on one path."""
    match a, b:
        case _, Full():
            return b
        case Full(values), _:
            return Full(changed(path, values, b))
        case LowRank(), LowRank():
            _alike(path, (len(a.a), a.b.shape[1]), (len(b.a), b.b.shape[1]))
            return LowRank(np.hstack([a.a, b.a]), np.vstack([a.b, b.b]))
        case ((Rows() | LowRank()), (Rows() | LowRank())):
            return _added(path, a, b)
        case Affine(), Affine():
            _alike(path, a.scale.shape, b.scale.shape)
            return Affine(a.scale * b.scale, a.shift * b.scale + b.shift)
    raise ModelError(
        f"no single change does to {path!r} what two do",
        got=f"{type(a).__name__} and then {type(b).__name__}",
        allowed="two versions, one after the other",
    )


def _beside(path: str, a: Change, b: Change) -> Change | None:
    """a and b on one path of one parent: the sum of what they do; None where they conflict."""
    match a, b:
        case Full(), Full():
            return a if a == b else None
        case LowRank(), LowRank():
            return _after(path, a, b)
        case ((Rows() | LowRank()), (Rows() | LowRank())):
            return _added(path, a, b)
        case Affine(), Affine():
            _alike(path, a.scale.shape, b.scale.shape)
            return Affine((a.scale + b.scale) - np.float32(1), a.shift + b.shift)
    return None


def _added(path: str, a: Rows | LowRank, b: Rows | LowRank) -> Rows:
    """The sum of two additions, as rows. A low rank has all rows, in the shape that the other's rows have."""
    shape = next((c.values.shape[1:] for c in (a, b) if isinstance(c, Rows)), ())
    a, b = _rows(path, a, shape), _rows(path, b, shape)
    _alike(path, a.values.shape[1:], b.values.shape[1:])
    indices = np.union1d(a.indices, b.indices)
    values = np.full((len(indices), *a.values.shape[1:]), -0.0, np.float32)  # to which every x is added as x, -0 too
    values[np.searchsorted(indices, a.indices)] += a.values
    values[np.searchsorted(indices, b.indices)] += b.values
    return Rows(indices, values)


def _rows(path: str, change: Rows | LowRank, shape: tuple[int, ...]) -> Rows:
    if isinstance(change, Rows):
        return change
    count, wide = len(change.a), change.b.shape[1]
    _alike(path, (wide,), (int(np.prod(shape)),))
    zero = np.zeros((count, *shape), np.float32)
    return Rows(np.arange(count), changed(path, zero, change))


def _alike(path: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    if a != b:
        raise ModelError(f"two changes of {path!r} are for different models", got=f"shapes {a} and {b}", allowed="one shape")
