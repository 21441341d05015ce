"""Fields of a protobuf message, read and written without the protobuf package (protobuf.dev/programming-guides/encoding).

A device has onnxruntime but not onnx. An ONNX file is a protobuf message, and what a device does to one is little: find values,
and add nodes. A message is a list of fields, each a number, a wire type and a payload; what is not asked for is stepped over.

    >>> list(fields(number(1, 300) + text(2, "mean")))
    [(1, 0, 1, 3), (2, 2, 5, 9)]

It does not know what a field means, nor groups (wire types 3 and 4), which ONNX has none of.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from edgewise.core.errors import ModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def fields(message: bytes, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """(field, wire type, start, stop of its payload) of every field in a range; ModelError where they do not fill it exactly."""
    at, stop = start, len(message) if stop is None else stop
    while at < stop:
        tag, at = varint(message, at, stop)
        field, wire = tag >> 3, tag & 7
        if wire == BYTES:
            size, at = varint(message, at, stop)
        elif wire == VARINT:
            size = varint(message, at, stop)[1] - at
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise ModelError("a file is not an ONNX model", got=f"wire type {wire} at byte {at}", allowed="0, 1, 2, 5")
        if not field or at + size > stop:
            raise ModelError("a file is not an ONNX model", got=f"field {field} of {size} bytes at byte {at}, {stop} in all")
        yield field, wire, at, at + size
        at += size


def lengths(message: bytes, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int, int]]:
    """(field, start, stop) of every length-delimited field in a range."""
    return ((field, a, b) for field, wire, a, b in fields(message, start, stop) if wire == BYTES)


def varint(message: bytes, at: int, stop: int) -> tuple[int, int]:
    """The number at `at`, and where it ends: seven bits a byte, the lowest first; at most 64 bits."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= stop:
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
    raise ModelError("a file is not an ONNX model", got=f"a number that does not end at byte {at}")


def words(message: bytes, start: int, stop: int) -> str:
    """The text of a payload; ModelError where it is none."""
    try:
        return message[start:stop].decode()
    except UnicodeDecodeError:
        raise ModelError("a name in an ONNX file is no text", got=repr(message[start:stop][:40])) from None


def number(field: int, value: int) -> bytes:
    """A field with a whole number; one below 0 is written as 64 bits, as protobuf does."""
    return _varint(field << 3 | VARINT) + _varint(value % (1 << 64))


def single(field: int, value: float) -> bytes:
    """A field with a float32."""
    return _varint(field << 3 | FIXED32) + struct.pack("<f", value)


def piece(field: int, payload: bytes) -> bytes:
    """A field with bytes, or with a message."""
    return _varint(field << 3 | BYTES) + _varint(len(payload)) + payload


def text(field: int, value: str) -> bytes:
    """A field with text."""
    return piece(field, value.encode())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
