"""Ways to have frames answered, each through a socket: by features and a tail, by JPEG and the whole model, by plain pictures.

What `split_ghnd` compares. The tail sees decoded bytes alone. A frame counts as the device's
socket carries it, with header, WebSocket and TLS (`edgewise.core.wire`).
"""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.report import ROOT
from edgewise.codec.features import FeatureCodec
from edgewise.codec.image import ImageCodec
from edgewise.core.answer import Answer
from edgewise.core.artifact import PartName
from edgewise.core.decoding import Things
from edgewise.core.errors import ConfigError
from edgewise.core.placement import Quality
from edgewise.core.wire import socket_bytes
from edgewise.data.decoding.things import answers
from edgewise.data.junction.footage import LABEL, Seen, footage
from edgewise.data.preprocess import fit
from edgewise.data.things import differences, intervals
from edgewise.net.frame import Header, Kind, decode, encode
from edgewise.runtime.bundle import Bundle

OURS = ROOT / "edgewise" / "bundles" / "things"
PUBLISHED = {name: ROOT / "bench" / "weights" / f"things-{name.lower()}" for name in ("GHND", "HND")}
DECODING = Things(threshold=0.05, overlap=0.6, keypoints=8, mask=28)
SIDES = ("384 px", "640 px")  # width of the picture that is compressed: the network's, the camera's
QUALITIES = (10, 20, 35, 50, 75, 90)
BATCH = 8
Floats = NDArray[np.float32]


class Way(Struct, frozen=True):
    """One way to answer frames: bytes of each on the socket, and the answers."""

    case: str
    bytes: tuple[int, ...]
    answers: tuple[Answer, ...]


class Set(Struct, frozen=True):
    """Frames with their truth, and the pictures at the size of the network."""

    seen: tuple[Seen, ...]
    small: NDArray[np.uint8]

    def differences(self, ours: Way, theirs: Way) -> dict[str, Quality]:
        return differences(ours.answers, theirs.answers, [f.truth for f in self.seen], [f.block for f in self.seen])

    def scores(self, way: Way) -> dict[str, Quality]:
        return intervals(way.answers, [f.truth for f in self.seen], [f.block for f in self.seen])


class Wire:
    """A pair of sockets: a payload goes over as a frame; back come the payload that was read and what its frame
    weighs on a device's socket, which has WebSocket and TLS too."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self._number = 0

    def carry(self, payload: bytes) -> tuple[bytes, int]:
        self._number += 1
        sent = encode(Header(Kind.DATA, self._number, 1), payload)
        came = bytearray()
        for start in range(0, len(sent), 1 << 15):  # less than a socket's buffer, so that one thread can do both ends
            piece = sent[start : start + (1 << 15)]
            self._here.sendall(piece)
            while len(came) < start + len(piece):
                came += self._there.recv(1 << 16)
        return bytes(decode(bytes(came), len(came))[1]), socket_bytes(len(payload))

    def close(self) -> None:
        self._here.close()
        self._there.close()


def opened(folder: Path) -> Bundle:
    if not (folder / "manifest.json").is_file():
        raise ConfigError(
            "a trained student is not here",
            got=folder.name,
            allowed="a bundle of edgewise.split.training.things",
            hint="Train it: python -m edgewise.split.training.things --work DIR --out BUNDLE.",
        )
    return Bundle.open(folder)


def frames(bundle: Bundle, first: int, scenes: int) -> Set:
    seen = tuple(footage(range(first, first + scenes)))
    return Set(seen, np.concatenate([fit(f.image, bundle.manifest.pictures["head"]) for f in seen]))


def answered(bundle: Bundle, part: PartName, batch: NDArray[np.generic]) -> list[Answer]:
    session = bundle.session(part)
    said: list[Answer] = []
    for first in range(0, len(batch), BATCH):
        said += answers(session.run({session.inputs[0].name: batch[first : first + BATCH]}), DECODING, (LABEL,))
    return said


def bottlenecks(bundle: Bundle, small: NDArray[np.uint8]) -> Floats:
    head = bundle.session("head")
    return np.concatenate([head.run({head.inputs[0].name: p[None]})[head.outputs[0].name] for p in small])


def whole(bundle: Bundle, at: Set) -> Way:
    sizes = tuple(socket_bytes(p.size) for p in at.small)
    return Way("teacher", sizes, tuple(answered(bundle, "full", at.small)))


def splits(name: str, bundle: Bundle, features: Floats, wire: Wire) -> dict[str, Way]:
    """Every point with a coding: features through coder, socket, decoder and tail."""
    found = {}
    for point in bundle.manifest.points:
        if point.codec != "rans":
            continue
        codec = FeatureCodec(bundle.manifest.crossing, bundle.manifest.codings[point.name])
        came = [wire.carry(codec.encode(one[None])) for one in features]
        seen = np.concatenate([codec.decode(payload) for payload, _ in came])
        case = f"{name}, 3 channels, {point.level} bits"
        found[point.name] = Way(case, tuple(size for _, size in came), tuple(answered(bundle, "tail", seen)))
    return found


def pictures(bundle: Bundle, at: Set, side: str, wire: Wire) -> dict[int, Way]:
    """JPEG of the network's size or of the camera's, answered by the teacher."""
    sources = list(at.small) if side == SIDES[0] else [f.image for f in at.seen]
    found = {}
    for quality in QUALITIES:
        codec = ImageCodec("jpeg", quality)
        came = [wire.carry(codec.encode(image)) for image in sources]
        shown = np.concatenate([fit(codec.decode(payload), bundle.manifest.pictures["head"]) for payload, _ in came])
        sizes = tuple(size for _, size in came)
        found[quality] = Way(f"JPEG q{quality} of {side}", sizes, tuple(answered(bundle, "full", shown)))
    return found
