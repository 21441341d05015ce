"""Initialisers of an ONNX file: names, dtypes, shapes and where in the bytes their values lie, read without the onnx package.

A device has onnxruntime but not onnx, and a delta has to overwrite weights in place. An ONNX file is a protobuf message;
of its fields (`edgewise.graph.protobuf`) this takes what leads to the values:

    ModelProto.graph = 7   GraphProto.initializer = 5   TensorProto.dims = 1, data_type = 2, name = 8, raw_data = 9

Whatever else is there is stepped over and stays as it is, so a file with new values has the length, and the graph, of the old.

It does not know values that are kept field by field (`float_data` …) or in another file: they are listed without a place,
and asking for them is an error. It does not check that the graph makes sense; onnxruntime does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.errors import ModelError
from edgewise.graph.nodes import INITIALIZER, graph_place
from edgewise.graph.protobuf import BYTES, VARINT, fields, lengths, varint, words

_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9
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
    for field, start, stop in lengths(model, *graph_place(model)):
        if field == INITIALIZER:
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
    for field, wire, begin, end in fields(model, start, stop):
        if field == _DIMS and wire == VARINT:
            shape.append(varint(model, begin, end)[0])
        elif field == _DIMS and wire == BYTES:
            while begin < end:
                size, begin = varint(model, begin, end)
                shape.append(size)
                _possible(shape)
        elif field == _DATA_TYPE and wire == VARINT and kind is None:
            kind = varint(model, begin, end)[0]
        elif field == _NAME and wire == BYTES and name is None:
            name = words(model, begin, end)
        elif field == _RAW_DATA and wire == BYTES and raw is None:
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
