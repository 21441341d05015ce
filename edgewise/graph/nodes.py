"""Nodes of an ONNX graph, read and written without the onnx package: enough to find a layer, and to put others before it.

    ModelProto.graph = 7, opset_import = 8         GraphProto.node = 1, input = 11, output = 12, initializer = 5
    NodeProto.input = 1, output = 2, op_type = 4, attribute = 5, domain = 7
    AttributeProto.name = 1, f = 2, i = 3, ints = 8, type = 20

It does not read what lies inside of nodes (bodies of loops and branches), nor does it check that a graph makes sense; onnxruntime
does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.errors import ModelError
from edgewise.graph.protobuf import BYTES, FIXED32, VARINT, fields, lengths, number, piece, single, text, varint, words

GRAPH, OPSET = 7, 8
NODE, INITIALIZER, INPUT, OUTPUT = 1, 5, 11, 12
FLOAT, INT64 = 1, 7
_TAKEN, _GIVEN, _KIND, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7
_FLOAT_ATTRIBUTE, _INT_ATTRIBUTE, _INTS_ATTRIBUTE = 1, 2, 7

Value = float | int | tuple[int, ...]


class Node(Struct, frozen=True):
    """One operator: its `kind`, the tensors that it takes and gives, its numeric attributes, and its bytes in the file."""

    kind: str
    taken: tuple[str, ...]
    given: tuple[str, ...]
    attributes: dict[str, Value]
    place: tuple[int, int]
    domain: str = ""


def graph_place(model: bytes) -> tuple[int, int]:
    """Where the graph lies in the bytes of a model; ModelError where there is not exactly one."""
    places = [(start, stop) for field, start, stop in lengths(model) if field == GRAPH]
    if len(places) != 1:
        raise ModelError("a file is not an ONNX model", got=f"{len(places)} graphs in {len(model)} bytes", allowed="one graph")
    return places[0]


def nodes(model: bytes) -> list[Node]:
    """The nodes of the main graph in their order."""
    return [_node(model, start, stop) for field, start, stop in lengths(model, *graph_place(model)) if field == NODE]


def shapes(model: bytes) -> dict[str, tuple[int, ...]]:
    """The shape of every float32 initialiser of the main graph by its name."""
    found: dict[str, tuple[int, ...]] = {}
    for field, start, stop in lengths(model, *graph_place(model)):
        if field == INITIALIZER:
            name, kind, dims = "", 0, []
            for inner, wire, a, b in fields(model, start, stop):
                if inner == 1:
                    dims += [varint(model, a, b)[0]] if wire == VARINT else _packed(model, a, b)
                elif inner == 2 and wire == VARINT:
                    kind = varint(model, a, b)[0]
                elif inner == 8 and wire == BYTES:
                    name = words(model, a, b)
            if kind == FLOAT:
                found[name] = tuple(dims)
    return found


def opset(model: bytes) -> int:
    """The version of ONNX's own operators that a model is written for; ModelError where it names none."""
    for field, start, stop in lengths(model):
        if field == OPSET:
            domain, version = "", 0
            for inner, wire, a, b in fields(model, start, stop):
                if inner == 1 and wire == BYTES:
                    domain = words(model, a, b)
                elif inner == 2 and wire == VARINT:
                    version = varint(model, a, b)[0]
            if domain in ("", "ai.onnx") and version:
                return version
    raise ModelError("a model does not say which ONNX operators it uses", got="no opset", allowed="an opset_import of ONNX")


def written(kind: str, taken: Iterable[str], given: Iterable[str], attributes: Mapping[str, Value] = {}) -> bytes:
    """A NodeProto of ONNX's own operators."""
    out = [text(_TAKEN, name) for name in taken] + [text(_GIVEN, name) for name in given] + [text(_KIND, kind)]
    return b"".join(out + [piece(_ATTRIBUTE, _attribute(name, value)) for name, value in attributes.items()])


def rewired(model: bytes, node: Node, taken: Sequence[str]) -> bytes:
    """The NodeProto of `node` with other inputs; all else as it was."""
    start, stop = node.place
    kept = [model[a:b] for field, a, b in _whole(model, start, stop) if field != _TAKEN]
    return b"".join([text(_TAKEN, name) for name in taken] + kept)


def tensor(name: str, shape: Sequence[int]) -> bytes:
    """A ValueInfoProto of float32."""
    dims = b"".join(piece(1, number(1, size)) for size in shape)
    return text(1, name) + piece(2, piece(1, number(1, FLOAT) + piece(2, dims)))


def constant(name: str, value: NDArray[np.int64] | NDArray[np.float32]) -> bytes:
    """A TensorProto of float32 or int64 with raw data."""
    kind, order = (INT64, "<i8") if value.dtype == np.int64 else (FLOAT, "<f4")
    dims = b"".join(number(1, size) for size in value.shape)
    return dims + number(2, kind) + text(8, name) + piece(9, np.ascontiguousarray(value, order).tobytes())


def replaced(
    model: bytes, nodes: Iterable[bytes], initialisers: Iterable[bytes], inputs: Iterable[bytes], outputs: Iterable[bytes]
) -> bytes:
    """`model` with these nodes instead of its own, and these initialisers, inputs and outputs beside its own."""
    start, stop = graph_place(model)
    body = [model[a:b] for field, a, b in _whole(model, start, stop) if field != NODE]
    added = ((NODE, nodes), (INITIALIZER, initialisers), (INPUT, inputs), (OUTPUT, outputs))
    body += [piece(field, one) for field, several in added for one in several]
    rest = [model[a:b] for field, a, b in _whole(model, 0, len(model)) if field != GRAPH]
    return b"".join([*rest, piece(GRAPH, b"".join(body))])


def _whole(message: bytes, start: int, stop: int) -> Iterable[tuple[int, int, int]]:
    """(field, start, stop) of every field in a range, with its tag."""
    begin = start
    for field, _, _, end in fields(message, start, stop):
        yield field, begin, end
        begin = end


def _node(model: bytes, start: int, stop: int) -> Node:
    taken: list[str] = []
    given: list[str] = []
    kind = domain = ""
    attributes: dict[str, Value] = {}
    for field, a, b in lengths(model, start, stop):
        if field == _TAKEN:
            taken.append(words(model, a, b))
        elif field == _GIVEN:
            given.append(words(model, a, b))
        elif field == _KIND:
            kind = words(model, a, b)
        elif field == _DOMAIN:
            domain = words(model, a, b)
        elif field == _ATTRIBUTE:
            attributes |= _read(model, a, b)
    return Node(kind, tuple(taken), tuple(given), attributes, (start, stop), "" if domain == "ai.onnx" else domain)


def _read(model: bytes, start: int, stop: int) -> dict[str, Value]:
    """A numeric attribute by its name; nothing where it is of another kind."""
    name = ""
    value: Value | None = None
    several: list[int] = []
    for field, wire, a, b in fields(model, start, stop):
        if field == 1 and wire == BYTES:
            name = words(model, a, b)
        elif field == 2 and wire == FIXED32:
            value = struct.unpack_from("<f", model, a)[0]
        elif field == 3 and wire == VARINT:
            value = _signed(varint(model, a, b)[0])
        elif field == 8 and wire == VARINT:
            several.append(_signed(varint(model, a, b)[0]))
        elif field == 8 and wire == BYTES:
            several += [_signed(one) for one in _packed(model, a, b)]
    if several:
        value = tuple(several)
    return {} if value is None else {name: value}


def _packed(model: bytes, at: int, stop: int) -> list[int]:
    found: list[int] = []
    while at < stop:
        one, at = varint(model, at, stop)
        found.append(one)
    return found


def _attribute(name: str, value: Value) -> bytes:
    if isinstance(value, float):
        return text(1, name) + single(2, value) + number(20, _FLOAT_ATTRIBUTE)
    if isinstance(value, int):
        return text(1, name) + number(3, value) + number(20, _INT_ATTRIBUTE)
    return text(1, name) + b"".join(number(8, one) for one in value) + number(20, _INTS_ATTRIBUTE)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
