"""What a server and its adapting process say to each other, in frames on a pipe.

    server → process    Begin, then Seen for every sample, Outcome for every Version and Recall; the end of the pipe is the end
    process → server    Ready or Failed, then Wanted, Version, Recall and Standing, as they come

A frame is its length (u32, big-endian) and one packed value. Both ends are ours and of one version, yet what is too long or
cannot be read is refused: the process that trains holds torch and a stranger's model, and may break.

It does not know what adaptation is: that is `edgewise.adapt`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edgewise.adapt.recipe import Recipe
from edgewise.adapt.shipment import Report
from edgewise.core.errors import FrameError
from edgewise.core.learning import Learning, Sample

LENGTH = struct.Struct(">I")
LARGEST = 1 << 30  # bytes: a Version carries the files that changed


class Begin(Struct, frozen=True, tag=True):
    """Adapt the bundle in `source` (its files by name), of which devices have the version in `current`, by a teacher.

    `teacher` is as a user says it: a bundle's folder, a file `.onnx`, or
    `torch:MODULE:CALLABLE`. `home` is a folder of pictures on which nothing
    may be lost.
    """

    source: Mapping[str, bytes]
    current: Mapping[str, bytes]
    teacher: str
    recipe: Recipe
    threads: int = 1
    home: str = ""


class Seen(Struct, frozen=True, tag=True):
    """A sample of `node` that came at `at` (s since 1970) and took `size` bytes of the link."""

    node: str
    at: float
    sample: Sample
    size: int


class Outcome(Struct, frozen=True, tag=True):
    """What became of shipment `number`: it is in use everywhere as the version `address`, or (`why`) it was taken back."""

    number: int
    address: str
    why: str = ""


class Ready(Struct, frozen=True, tag=True):
    """The process has loaded model and teacher: `paths` parameters of normalisation with `values` values are adapted.

    `spoken` is a teacher in torch as an ONNX file, where it is to answer devices too.
    """

    model: str
    teacher: str
    paths: int
    values: int
    spoken: bytes = b""


class Failed(Struct, frozen=True, tag=True):
    """It cannot go on, for this reason."""

    sentence: str


class Wanted(Struct, frozen=True, tag=True):
    """What devices are to be told from now on."""

    learning: Learning


class Version(Struct, frozen=True, tag=True):
    """Shipment `number`: the version `address`, made of `parent`. `files` are those of it by name, `routes` shorter ways to it by
    the address that they begin at (see `edgewise.runtime.parcel`), and `why` is for people.
    """

    number: int
    address: str
    parent: str
    files: Mapping[str, bytes]
    routes: Mapping[str, bytes]
    why: str


class Recall(Struct, frozen=True, tag=True):
    """Shipment `number`: back to the version `address`, whose `files` are these, for it is the source or was shipped before."""

    number: int
    address: str
    files: Mapping[str, bytes]
    why: str


class Standing(Struct, frozen=True, tag=True):
    """How learning stands: what the Adapter reports, but `timeline` holds only what is new since the last one, and `refused`
    counts what the process left out too. `seconds` of CPU and `memory` (bytes) are the process's own.
    """

    report: Report
    seconds: float
    memory: Annotated[int, Meta(ge=0)]


Told = Begin | Seen | Outcome
Said = Ready | Failed | Wanted | Version | Recall | Standing
_ENCODER = msgspec.msgpack.Encoder()
_TOLD, _SAID = msgspec.msgpack.Decoder(Told), msgspec.msgpack.Decoder(Said)


def packed(word: Told | Said) -> bytes:
    """A word as a frame; FrameError where it is too long.

    >>> said(packed(Failed("no."))[LENGTH.size :])
    Failed(sentence='no.')
    """
    body = _ENCODER.encode(word)
    return LENGTH.pack(length(len(body))) + body


def told(body: bytes) -> Told:
    """What the server told its process; FrameError where it is nothing that it tells."""
    try:
        found: Told = _TOLD.decode(body)
        return found
    except msgspec.MsgspecError as error:
        raise FrameError("a word to the adapting process cannot be read", got=error) from None


def said(body: bytes) -> Said:
    """What the process said to its server; FrameError where it is nothing that it says."""
    try:
        found: Said = _SAID.decode(body)
        return found
    except msgspec.MsgspecError as error:
        raise FrameError("a word of the adapting process cannot be read", got=error) from None


def length(found: int) -> int:
    """A frame's length, where it may be so."""
    if found > LARGEST:
        raise FrameError("a word between server and adapting process is too long", got=f"{found} bytes", allowed=f"{LARGEST}")
    return found
