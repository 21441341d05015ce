"""What control frames carry: small msgpack arrays of known types, with bounds on everything that has a length.

`pack` and `unpack` are the only way in and out. Bytes that are not the message that they should be end in a FrameError: an
unknown or missing field, a wrong type, a hostile length, broken UTF-8.

Telemetry travels as rows without field names (a FrameRecord as a map would be about three times a bottleneck).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import astuple, fields

from edgewise.core.answer import Answer, FrameRecord
from edgewise.core.errors import ConfigError, FrameError
from edgewise.core.learning import LARGEST_PICTURE, LARGEST_STATISTICS, Learning, Sample, checked

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Sentence = Annotated[str, Meta(max_length=500)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Count = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
RECORDS_A_FRAME = 64
LARGEST_SAMPLE = LARGEST_PICTURE + LARGEST_STATISTICS + 256  # bytes of one, packed
_SENTENCE = 500
_LARGEST_GRID = 1 << 24  # cells


class Stream(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """The constants of a stream: `address` of its bundle, operating `point`, codec and its level, shape and dtype.

    `shape` is that of the tensor that the codec takes: (1, …) of features, (height, width, 3) of a picture.
    """

    id: Annotated[int, Meta(ge=0, le=0xFFFF)]
    address: Annotated[str, Meta(max_length=64)]
    point: Name
    codec: Name
    level: Annotated[int, Meta(ge=0, le=100)]
    shape: Annotated[tuple[Annotated[int, Meta(ge=1, le=0xFFFF)], ...], Meta(min_length=1, max_length=5)]
    dtype: Name


class Hello(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """The first word of a device: its name, the package's version, the streams that it may send, its bundle's address, and the
    epoch of its outbox ("" where it has none). Said again on an open session, it renews the streams.
    """

    node: Name
    version: Name
    streams: Annotated[tuple[Stream, ...], Meta(max_length=64)]
    bundle: Annotated[str, Meta(max_length=64)] = ""
    outbox: Annotated[str, Meta(max_length=64)] = ""


class Welcome(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """The server's answer: session, window of frames in flight, and its limits; `refused` streams, each with a sentence.

    `item_window` is how many bytes of items may be without an acknowledgement. `learning` is what the server wants to learn from;
    it is said to devices that understand it alone, and left out where nothing is wanted, as an older server does.
    """

    session: Name
    credit: Annotated[int, Meta(ge=1, le=1024)]
    max_payload: Annotated[int, Meta(ge=1, le=1 << 30)]
    item_window: Annotated[int, Meta(ge=1, le=1 << 24)]
    refused: Annotated[dict[int, Sentence], Meta(max_length=64)] = {}
    learning: Learning | None = None


class Refusal(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Why something was not taken; `frame` is None where it belongs to no frame."""

    frame: Count | None
    sentence: Sentence


class Reply(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """An answer and the server's own seconds: `wait` for the batch, `tail` for its run of `batch` items; `queue` left behind.

    What remains of the round trip is the link's share.
    """

    answer: Answer
    wait: Seconds = 0.0
    tail: Seconds = 0.0
    batch: Annotated[int, Meta(ge=1, le=4096)] = 1
    queue: Count = 0


class Learn(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """What the server wants to learn from, from now on; None: nothing."""

    learning: Learning | None


class Piece(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Bytes of a packed Sample of `total` bytes, from `offset` on; its number is the frame's."""

    offset: Annotated[int, Meta(ge=0, le=LARGEST_SAMPLE)]
    total: Annotated[int, Meta(ge=1, le=LARGEST_SAMPLE)]
    body: Annotated[bytes, Meta(min_length=1, max_length=LARGEST_SAMPLE)]


class Credit(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """The window of frames in flight from now on."""

    credit: Annotated[int, Meta(ge=1, le=1024)]


Message = TypeVar("Message", bound=Struct)
_ENCODER = msgspec.msgpack.Encoder()
_OLDEST = 18  # fields that every row has; one without those after them is of an older device, or lay in an outbox since
_FIELDS: Any = [(f.name, f.type) if i < _OLDEST else (f.name, f.type, f.default) for i, f in enumerate(fields(FrameRecord))]
_NEWER = tuple(f.default for f in fields(FrameRecord)[_OLDEST:])
_ROW: Any = msgspec.defstruct("Row", _FIELDS, frozen=True, forbid_unknown_fields=True, array_like=True)
_ROWS: msgspec.msgpack.Decoder[list[Any]] = msgspec.msgpack.Decoder(Annotated[list[_ROW], Meta(max_length=RECORDS_A_FRAME)])
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError)


@cache
def _decoder(kind: type[Struct]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def pack(message: Struct) -> bytes:
    if isinstance(message, Welcome) and message.learning is None:
        return _ENCODER.encode(astuple(message)[:-1])
    return _ENCODER.encode(message)


def unpack(kind: type[Message], payload: bytes | memoryview) -> Message:
    """The message of type `kind` in `payload`, or a FrameError."""
    try:
        message: Message = _decoder(kind).decode(payload)
    except _BROKEN as error:
        raise FrameError(f"a {kind.__name__} cannot be read", got=error, hint="Do both sides run the same version?") from None
    if isinstance(message, Reply):
        _check(message.answer)
    elif isinstance(message, Welcome | Learn) and message.learning is not None:
        _check_learning(message.learning)
    elif isinstance(message, Sample) and not (math.isfinite(message.captured) and math.isfinite(message.doubt or 0.0)):
        raise FrameError("a sample holds an impossible figure", got=f"frame {message.frame}", allowed="finite, 0 or more")
    return message


def _check_learning(learning: Learning) -> None:
    try:
        checked(learning)
    except ConfigError as error:
        raise FrameError(error.what, got=error.got, allowed=error.allowed) from None


def _check(answer: Answer) -> None:
    """The cells of a lying grid would crash whoever draws them; regions are counted where they are inflated."""
    cells = 8 * len(answer.cells) if answer.cells or not answer.regions else _LARGEST_GRID
    if not 0 <= answer.rows * answer.columns <= cells or min(answer.rows, answer.columns) < 0:
        raise FrameError(
            "an answer lies about its grid",
            got=f"{answer.rows} × {answer.columns} cells in {len(answer.cells)} bytes",
            allowed="one bit a cell",
        )
    if not all(math.isfinite(b.x0 + b.y0 + b.x1 + b.y1 + b.score + sum(b.points)) for b in answer.boxes):
        raise FrameError("an answer holds a box that is not a number")
    if not all(math.isfinite(c.score) for c in answer.classes):
        raise FrameError("an answer holds a class whose score is not a number")


def refusal(frame: int | None, sentence: str) -> bytes:
    """A packed Refusal; a sentence that is too long for the wire is cut."""
    return pack(Refusal(frame, sentence if len(sentence) <= _SENTENCE else sentence[: _SENTENCE - 1] + "…"))


def pack_records(records: Iterable[FrameRecord]) -> bytes:
    """Rows without the last fields where these say nothing, so that they cost nothing."""
    rows = (astuple(record) for record in records)
    return _ENCODER.encode([row if row[_OLDEST:] != _NEWER else row[:_OLDEST] for row in rows])


def unpack_records(payload: bytes | memoryview) -> Sequence[FrameRecord]:
    """The rows in `payload`, none of them with a figure that is not a number."""
    try:
        records = [FrameRecord(*astuple(row)) for row in _ROWS.decode(payload)]
    except _BROKEN as error:
        raise FrameError("telemetry cannot be read", got=error, hint="Do both sides run the same version?") from None
    for r in records:
        sizes = (r.bytes_up, r.bytes_down, r.layers, r.cut, r.guarded)
        figures = (r.captured, r.latency, r.deadline, r.energy, r.link_rate, *sizes, *r.parts.values())
        if not all(0 <= f < math.inf for f in figures):
            raise FrameError(
                "a record holds an impossible figure", got=f"frame {r.frame} of {r.node[:64]}", allowed="finite, 0 or more"
            )
        _check(r.answer)
    return records
