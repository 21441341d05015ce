"""Pictures as a codec gives them back: to judge a network on, and to tune one on.

A codec is anything that turns a picture into bytes and those into a picture again. Held-out pictures are coded once and their
files kept, so that a network tuned later is judged on the very bytes on which the untuned one was. A tail is tuned as the
students' second stage is: cross-entropy and the teacher's own answer in equal parts, stochastic gradient descent with one cycle,
as many epochs; the teacher sees the picture as it was, the tail as it came, and both the same crop, taken after decoding. Of an
offloaded picture the tail is the whole network, and all of it may learn.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.jobs import Size
from bench.rates.ground import Ground
from edgewise.training.classes import logits, tensor
from edgewise.training.course import Advance, Course, Pictures, Source, follow
from edgewise.training.distil import answering
from edgewise.training.fingerprint import fingerprint

EPOCHS: dict[Size, float] = {"quick": 1, "medium": 2, "full": 4}
TUNING = {size: Course(epochs=epochs, rate=1e-2, batch=64, warm=0.1) for size, epochs in EPOCHS.items()}
Through = Callable[[Pictures], Pictures]


class Codec(Protocol):
    """A picture (height, width, 3) uint8 to bytes and back."""

    def encode(self, image: NDArray[np.uint8], /) -> bytes: ...

    def decode(self, data: bytes, /) -> NDArray[np.uint8]: ...


class Files(Struct, frozen=True):
    """Files one after another: `data` bytes, `ends` (n,) where each ends."""

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i: int) -> bytes:
        return self.data[self.ends[i - 1] if i else 0 : self.ends[i]].tobytes()

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(n,) bytes of each."""
        return np.diff(self.ends, prepend=0)


class Decoded:
    """A Source: every file decoded when it is asked for."""

    def __init__(self, files: Files, codec: Codec) -> None:
        self.files, self.codec = files, codec

    def __len__(self) -> int:
        return len(self.files)

    def of(self, indices: list[int]) -> Pictures:
        return np.stack([self.codec.decode(self.files[i]) for i in indices])


class Beside:
    """A Source for tuning: `times` as many pictures as there are, each time through one of `ways` drawn from `seed`; six
    channels, as it came and as it was."""

    def __init__(self, source: Source, ways: Sequence[Through], times: int, seed: int) -> None:
        self.source, self.ways = source, tuple(ways)
        self.drawn = np.random.default_rng([seed, 23]).integers(len(self.ways), size=times * len(source))

    def __len__(self) -> int:
        return len(self.drawn)

    def of(self, indices: list[int]) -> Pictures:
        was = self.source.of([i % len(self.source) for i in indices])
        way, came = self.drawn[indices], np.empty_like(was)
        for number in np.unique(way).tolist():
            came[way == number] = self.ways[number](was[way == number])
        return np.concatenate([came, was], axis=3)


def files(source: Source, codec: Codec, path: Path, advance: Advance = lambda what, share: None) -> Files:
    """The pictures of `source` as files, those of `path` where they are there and as many."""
    if path.exists():
        with np.load(path) as kept:
            found = Files(kept["data"], kept["ends"])
        if len(found) == len(source):
            return found
    made = []
    for i in range(len(source)):
        made.append(codec.encode(source.of([i])[0]))
        if i % 64 == 0:
            advance(f"coding {path.stem}", i / len(source))
    found = Files(np.frombuffer(b"".join(made), np.uint8), np.cumsum([len(one) for one in made]))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(unfinished, data=found.data, ends=found.ends)
    unfinished.replace(path)
    return found


def answered(net: nn.Module, source: Source, ground: Ground) -> NDArray[np.float64]:
    """(n,) 1 where the network's first guess at a picture of `source` (the held-out ones, decoded) is its class."""
    right: NDArray[np.float64] = (logits(net, source, ground.look).argmax(1) == ground.held.labels).astype(np.float64)
    return right


def tuned(
    ground: Ground,
    ways: Sequence[Through],
    course: Course,
    seed: int,
    work: Path,
    advance: Advance = lambda what, share: None,
) -> nn.Module:
    """The whole teacher tuned on pictures that went through one of `ways`; what `work` holds is taken up."""
    teacher = ground.teacher
    net: nn.Module = copy.deepcopy(teacher).train().requires_grad_(True)
    true = torch.tensor(ground.train.labels)
    source = Beside(ground.train, ways, round(course.epochs), seed)
    whole = msgspec.structs.replace(course, epochs=1, crop=ground.crop, seed=seed)  # of all its times: each has its own way

    def lesson(pictures: Pictures, indices: list[int]) -> Tensor:
        with torch.no_grad():
            wanted = teacher(tensor(pictures[..., 3:], ground.look)).float()
        given = net(tensor(pictures[..., :3], ground.look)).float()
        return answering(given, wanted, true[[i % len(true) for i in indices]])

    follow(net, net.parameters(), source, lesson, whole, work, advance, about=_about(ground, ways))
    return net.eval().requires_grad_(False)


def _about(ground: Ground, ways: Sequence[Through]) -> str:
    """What a tuning begins from: teacher, pictures, and what each way (by its quality, its weights) makes of the first."""
    first = ground.train.of([0])
    facts = b"".join(hashlib.sha256(way(first).tobytes()).digest() for way in ways)
    return fingerprint(facts, ground.train, [ground.teacher])
