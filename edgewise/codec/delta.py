"""A Delta as bytes: safetensors with a JSON header in its metadata, deflated where that is smaller.

    file   = "EWD1" · deflated (1 byte, 0 or 1) · size of the body before (8 bytes, little-endian) · body
    body   = safetensors; tensor "3.b" is array b of the header's fourth change
    header = base, parent, method, result, changes: path, kind, and how each array is coded

Codings of float32 arrays: `float32` as it is; `float16` times a power of two by which the largest value fills its range, so
that an update of 1e-7 keeps its 11 bits; `int8` with a float32 step for each row (one for a vector). The lossy two code an
affine scale as its distance from 1. Row indices are kept as gaps and, like integers, never lose a bit. Decoding is exact float32
arithmetic: everybody who decodes a file has the same delta, and a publisher makes its version of the decoded one.

At int8 a delta of vectors alone, many small ones of normalisation, has a shorter form (`edgewise.codec.narrow`).

Bytes come from elsewhere: sizes are checked before anything is unpacked or allocated, every offset, dtype and shape before an
array is made, and what is wrong in any way is a ModelError. Only numbers are in it; nothing is executed.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from safetensors.numpy import save

from edgewise.codec import narrow
from edgewise.core.delta import FLOAT, INTEGERS, Affine, Change, Delta, Full, LowRank, Rows, check
from edgewise.core.errors import ModelError

Precision = Literal["float32", "float16", "int8"]
Array = NDArray[Any]
MAGIC = b"EWD1"
LARGEST = 1 << 30  # bytes of a body
_FRONT = struct.Struct("<4sBQ")
_KINDS: dict[str, type[Change]] = {"full": Full, "rows": Rows, "low_rank": LowRank, "affine": Affine}
_WORDS = {
    "F32": "<f4", "F16": "<f2", "I8": "|i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
    "U8": "|u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
}  # fmt: skip
_HALF_TOP = 15  # the largest value of a float16 array comes to lie in 2**14 … 2**15


class _Coded(Struct, frozen=True, forbid_unknown_fields=True):
    """How one array is coded: as it is, as float16 · 2**`power`, int8 · step of its row, or the gaps between indices."""

    coding: Literal["plain", "float16", "int8", "gaps"] = "plain"
    power: int = 0
    one: bool = False  # 1 is added after decoding


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    kind: Literal["full", "rows", "low_rank", "affine"]
    arrays: dict[str, _Coded]


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    base: str
    parent: str
    method: str
    result: str
    changes: list[_Entry]


class _Tensor(Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def encode(delta: Delta, precision: Precision = "float16", compress: bool = True) -> bytes:
    """The delta as bytes; float32 arrays at `precision`, integers exactly."""
    tensors: dict[str, Array] = {}
    entries = []
    for number, (path, change) in enumerate(delta.changes.items()):
        check(path, change)
        kind = next(word for word, kind in _KINDS.items() if isinstance(change, kind))
        coded = {}
        for field in change.__struct_fields__:
            coded[field] = _code(tensors, f"{number}.{field}", getattr(change, field), field, precision)
        entries.append(_Entry(path, kind, coded))  # type: ignore[arg-type]
    header = msgspec.json.encode(_Header(delta.base, delta.parent, delta.method, delta.result, entries))
    body = save(tensors, {"edgewise": header.decode()})
    small = zlib.compress(body, 9) if compress else body
    deflated = len(small) < len(body)
    terse = narrow.encode(delta) if precision == "int8" and compress else None
    if terse is not None and len(terse) < _FRONT.size + len(small):
        return terse
    return _FRONT.pack(MAGIC, deflated, len(body)) + (small if deflated else body)


def decode(data: bytes, largest: int = LARGEST) -> Delta:
    """The delta in `data`; ModelError where there is none, or where it would unpack to more than `largest` bytes."""
    if data[:4] == narrow.MAGIC:
        return narrow.decode(bytes(data), largest)
    body = memoryview(_body(data, largest))
    header, tensors, start = _contents(body)
    changes: dict[str, Change] = {}
    used = 0
    for number, entry in enumerate(header.changes):
        kind = _KINDS[entry.kind]
        if set(entry.arrays) != set(kind.__struct_fields__) or entry.path in changes:
            raise ModelError("a delta names its arrays wrongly", got=f"{entry.kind} of {', '.join(entry.arrays)}")
        arrays = []
        for field in kind.__struct_fields__:
            plain = _take(body, tensors, start, f"{number}.{field}")
            step = _take(body, tensors, start, f"{number}.{field}.step") if entry.arrays[field].coding == "int8" else None
            used += 1 + (step is not None)
            arrays.append(_decoded(entry.path, plain, step, entry.arrays[field]))
        changes[entry.path] = kind(*arrays)
        check(entry.path, changes[entry.path])
    if used != len(tensors):
        raise ModelError("a delta holds arrays that belong to no change", got=f"{len(tensors)}", allowed=f"{used}")
    return Delta(header.base, header.parent, header.method, changes, header.result)


def _code(tensors: dict[str, Array], name: str, array: Array, field: str, precision: Precision) -> _Coded:
    """Put an array, coded, into `tensors`."""
    if field == "indices":
        gaps = np.diff(array, prepend=0)
        widest = int(gaps.max(initial=0))
        tensors[name] = gaps.astype(next(t for t in ("u1", "u2", "u4", "u8") if widest <= np.iinfo(t).max))
        return _Coded("gaps")
    if array.dtype != FLOAT or precision == "float32" or not array.size:
        tensors[name] = np.asarray(array, order="C")
        return _Coded()
    one = field == "scale"
    value = array - np.float32(1) if one else array
    if precision == "float16":
        top = float(np.abs(value).max(initial=0.0))
        power = math.frexp(top)[1] - _HALF_TOP
        with np.errstate(under="ignore"):
            tensors[name] = np.asarray(np.ldexp(value, -power), np.float16)
        return _Coded("float16", power, one)
    rows = value.reshape(len(value), -1) if value.ndim > 1 else value.reshape(1, -1)
    with np.errstate(all="ignore"):
        step = (np.abs(rows).max(axis=1, initial=0.0) / np.float32(127)).astype(np.float32)
        codes = np.rint(rows / np.where(step > 0, step, 1)[:, None]).clip(-127, 127)
    tensors[name], tensors[f"{name}.step"] = codes.astype(np.int8).reshape(array.shape), step
    return _Coded("int8", 0, one)


def _decoded(path: str, plain: Array, step: Array | None, how: _Coded) -> Array:
    """The mirror of `_code`."""
    wanted = {"plain": (FLOAT, *INTEGERS), "float16": (np.dtype("f2"),), "int8": (np.dtype("i1"),), "gaps": INTEGERS}[how.coding]
    rows = (1 if plain.ndim < 2 else len(plain),)
    if (
        plain.dtype not in wanted
        or (how.coding == "int8" and not plain.size)
        or (step is not None and (step.dtype != FLOAT or step.shape != rows))
    ):
        raise ModelError(f"an array of {path!r} is not coded as its delta says", got=plain.dtype, allowed=how.coding)
    with np.errstate(all="ignore"):
        if how.coding == "gaps":
            return np.cumsum(plain, dtype=np.int64)
        if how.coding == "plain":
            return plain
        if how.coding == "float16":
            if not -400 <= how.power <= 400:
                raise ModelError(f"an array of {path!r} has an impossible power", got=how.power, allowed="-400 to 400")
            value = np.ldexp(plain.astype(np.float32), how.power)
        else:
            assert step is not None
            value = (plain.reshape(len(step), -1).astype(np.float32) * step[:, None]).reshape(plain.shape)
        return np.asarray(value + np.float32(1) if how.one else value, np.float32)


def _body(data: bytes, largest: int) -> bytes:
    """The safetensors inside, unpacked no further than `largest`."""
    if len(data) < _FRONT.size or data[:4] != MAGIC:
        raise ModelError("a file is not a delta", got=f"{len(data)} bytes that begin {bytes(data[:4])!r}", allowed=MAGIC.decode())
    _, deflated, size = _FRONT.unpack_from(data)
    if size > largest:
        raise ModelError("a delta is too large", got=f"{size} bytes when unpacked", allowed=f"{largest} bytes")
    body = data[_FRONT.size :]
    if deflated == 1:
        unpack = zlib.decompressobj()
        try:
            body = unpack.decompress(body, size + 1)
        except zlib.error as error:
            raise ModelError("a delta cannot be unpacked", got=error) from None
        if not unpack.eof or unpack.unused_data:
            raise ModelError("a delta cannot be unpacked", got="more or less than it says", allowed=f"{size} bytes")
    if deflated > 1 or len(body) != size:
        raise ModelError("a delta has another size than it says", got=f"{len(body)} bytes", allowed=f"{size} bytes")
    return body


def _contents(body: memoryview) -> tuple[_Header, dict[str, _Tensor], int]:
    """Our header, the tensors by name, and where their bytes begin."""
    size = int.from_bytes(body[:8], "little")
    if len(body) < 8 or size > min(len(body) - 8, narrow.LARGEST_HEAD):
        raise ModelError("a delta's header does not fit", got=f"{size} bytes of {len(body)}", allowed=f"{narrow.LARGEST_HEAD}")
    try:
        raw = msgspec.json.decode(body[8 : 8 + size], type=dict[str, msgspec.Raw])
        metadata = msgspec.json.decode(raw.pop("__metadata__", b"{}"), type=dict[str, str])
        header = msgspec.json.decode(metadata.get("edgewise", ""), type=_Header)
        tensors = {name: msgspec.json.decode(value, type=_Tensor) for name, value in raw.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError("a delta's header cannot be read", got=error) from None
    if len(header.changes) > narrow.MOST_CHANGES:
        raise ModelError("a delta has too many changes", got=len(header.changes), allowed=narrow.MOST_CHANGES)
    return header, tensors, 8 + size


def _take(body: memoryview, tensors: dict[str, _Tensor], start: int, name: str) -> Array:
    """One array, as a view of the body; its dtype, shape and place are checked first."""
    tensor = tensors.get(name)
    if tensor is None or tensor.dtype not in _WORDS:
        raise ModelError(
            "a delta lacks an array", got=f"{name} {tensor.dtype if tensor else 'nowhere'}", allowed=", ".join(_WORDS)
        )
    begin, end = tensor.data_offsets
    kind = np.dtype(_WORDS[tensor.dtype])
    whole = len(tensor.shape) <= 32 and all(0 <= n < 1 << 31 for n in tensor.shape)
    if not whole or not 0 <= begin <= end <= len(body) - start or math.prod(tensor.shape) * kind.itemsize != end - begin:
        raise ModelError(
            "an array of a delta does not fit", got=f"{name} {tensor.shape} at {begin} to {end} of {len(body) - start}"
        )
    if (start + begin) % kind.itemsize:
        return np.frombuffer(bytes(body[start + begin : start + end]), kind).reshape(tensor.shape)
    return np.frombuffer(body[start + begin : start + end], kind).reshape(tensor.shape)
