"""Initialisers of an ONNX file: names, dtypes, shapes and where in the bytes their values lie, read without the onnx package.

A device has onnxruntime but not onnx, and a delta has to overwrite weights in place. An ONNX file is a protobuf message;
of its wire format (protobuf.dev/programming-guides/encoding) this takes what leads to the values:

    ModelProto.graph = 7   GraphProto.initializer = 5   TensorProto.dims = 1, data_type = 2, name = 8, raw_data = 9

Whatever else is there is stepped over and stays as it is, so a file with new values has the length, and the graph, of the old.

It does not know values that are kept field by field (`float_data` …) or in another file: they are listed without a place,
and asking for them is an error. It does not check that the graph makes sense; onnxruntime does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.errors import ModelError

_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}
MOST_DIMENSIONS = 32
LARGEST_DIMENSION = 2**31 - 1


class Initialiser(Struct, frozen=True, forbid_unknown_fields=True):
    """`place` is the range of bytes of its values (little-endian) in the file; None where they are not kept in one piece.

    `dtype` is numpy's word, or `type N` for the ONNX types that numpy has no word for.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    place: tuple[int, int] | None


def initialisers(model: bytes) -> dict[str, Initialiser]:
    """Every initialiser of the main graph by its name; ModelError where `model` is not an ONNX file, or is ambiguous."""
    found: dict[str, Initialiser] = {}
    graphs = [(start, stop) for field, start, stop in _lengths(model, 0, len(model)) if field == _GRAPH]
    if len(graphs) != 1:
        raise ModelError("a file is not an ONNX model", got=f"{len(graphs)} graphs in {len(model)} bytes", allowed="one graph")
    for field, start, stop in _lengths(model, *graphs[0]):
        if field == _INITIALIZER:
            one = _initialiser(model, start, stop)
            if one.name in found:
                raise ModelError("an ONNX file has two initialisers of one name", got=repr(one.name))
            found[one.name] = one
    return found


def values(model: bytes, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """The values of these initialisers, as read-only views of `model`; ModelError where one is not there in one piece."""
    known = initialisers(model)
    return {name: _view(model, _placed(known, name)) for name in names}


def patched(model: bytes, values: Mapping[str, NDArray[Any]]) -> bytes:
    """`model` with these initialisers overwritten, same length; ModelError where a name, dtype or shape is not the model's."""
    known = initialisers(model)
    written = bytearray(model)
    for name, value in values.items():
        one, place = _placed(known, name)
        if value.dtype != one.dtype or value.shape != one.shape:
            raise ModelError(
                f"the new values of {name!r} are not like the old ones",
                got=f"{value.dtype} {value.shape}",
                allowed=f"{one.dtype} {one.shape}",
            )
        start, stop = place
        written[start:stop] = np.ascontiguousarray(value, dtype=np.dtype(one.dtype).newbyteorder("<")).tobytes()
    return bytes(written)


def _placed(known: Mapping[str, Initialiser], name: str) -> tuple[Initialiser, tuple[int, int]]:
    if name not in known:
        raise ModelError("a model has no such initialiser", got=repr(name), allowed=", ".join(list(known)[:5]) + " …")
    one = known[name]
    if one.place is None:
        raise ModelError(
            f"the values of initialiser {name!r} do not lie in the file in one piece",
            got=one.dtype,
            allowed="raw_data of a type that numpy knows",
            hint="Save the model with its weights inside, as raw data (onnx.numpy_helper.from_array does).",
        )
    return one, one.place


def _view(model: bytes, placed: tuple[Initialiser, tuple[int, int]]) -> NDArray[Any]:
    one, (start, stop) = placed
    kind = np.dtype(one.dtype).newbyteorder("<")
    return np.frombuffer(model, kind, (stop - start) // kind.itemsize, start).reshape(one.shape)


def _initialiser(model: bytes, start: int, stop: int) -> Initialiser:
    """One TensorProto. What protobuf would let a later field overwrite must stand there once."""
    name: str | None = None
    raw: tuple[int, int] | None = None
    kind: int | None = None
    shape: list[int] = []
    for field, wire, begin, end in _fields(model, start, stop):
        if field == _DIMS and wire == _VARINT:
            shape.append(_varint(model, begin, end)[0])
        elif field == _DIMS and wire == _BYTES:
            while begin < end:
                size, begin = _varint(model, begin, end)
                shape.append(size)
                _possible(shape)
        elif field == _DATA_TYPE and wire == _VARINT and kind is None:
            kind = _varint(model, begin, end)[0]
        elif field == _NAME and wire == _BYTES and name is None:
            name = _text(model, begin, end)
        elif field == _RAW_DATA and wire == _BYTES and raw is None:
            raw = begin, end
        elif field in (_DIMS, _DATA_TYPE, _NAME, _RAW_DATA):
            raise ModelError("an initialiser of an ONNX file is malformed", got=f"field {field} twice or of wire type {wire}")
        _possible(shape)
    dtype = _DTYPES.get(kind or 0, f"type {kind or 0}")
    if raw is not None and dtype in _DTYPES.values():
        wanted = math.prod(shape) * np.dtype(dtype).itemsize
        if wanted != raw[1] - raw[0]:
            raise ModelError(
                f"initialiser {name!r} has not the bytes of its shape", got=f"{raw[1] - raw[0]}", allowed=f"{wanted} for {shape}"
            )
        return Initialiser(name or "", dtype, tuple(shape), raw)
    return Initialiser(name or "", dtype, tuple(shape), None)


def _possible(shape: list[int]) -> None:
    if len(shape) > MOST_DIMENSIONS or (shape and shape[-1] > LARGEST_DIMENSION):
        raise ModelError(
            "an initialiser of an ONNX file has an impossible shape",
            got=f"{len(shape)} dimensions, the last of {shape[-1]}",
            allowed=f"{MOST_DIMENSIONS} dimensions of 0 to {LARGEST_DIMENSION}",
        )


def _text(model: bytes, start: int, stop: int) -> str:
    try:
        return model[start:stop].decode()
    except UnicodeDecodeError:
        raise ModelError("the name of an initialiser is no text", got=repr(model[start:stop][:40])) from None


def _lengths(model: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """(field, start, stop) of every length-delimited field in a range."""
    return ((field, a, b) for field, wire, a, b in _fields(model, start, stop) if wire == _BYTES)


def _fields(model: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """(field, wire type, start, stop of its payload) of every field in a range; ModelError where they do not fill it exactly."""
    at = start
    while at < stop:
        tag, at = _varint(model, at, stop)
        field, wire = tag >> 3, tag & 7
        if wire == _BYTES:
            size, at = _varint(model, at, stop)
        elif wire == _VARINT:
            size = _varint(model, at, stop)[1] - at
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ModelError("a file is not an ONNX model", got=f"wire type {wire} at byte {at}", allowed="0, 1, 2, 5")
        if not field or at + size > stop:
            raise ModelError("a file is not an ONNX model", got=f"field {field} of {size} bytes at byte {at}, {stop} in all")
        yield field, wire, at, at + size
        at += size


def _varint(model: bytes, at: int, stop: int) -> tuple[int, int]:
    """The number at `at`, and where it ends: seven bits a byte, the lowest first; at most 64 bits."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= stop:
            break
        byte = model[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
    raise ModelError("a file is not an ONNX model", got=f"a number that does not end at byte {at}")
