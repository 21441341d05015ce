"""The models that an edge server holds: frames of many devices in, answers out, in one run of a tail.

Several bundles, and several versions of one, stand side by side, keyed by their content address, so that a device that has
not been updated yet is answered as before. Versions come (`add`, in a thread: it loads) and go (`drop`) while the others are
served. A frame that cannot be decoded, or whose outputs are no answer, is refused by itself; its batch goes on.

Features go through the tail. Pictures go through the uncut model (`full`) where a bundle has it, else through what stands
before its head, head and tail. A `Teacher` may answer pictures in their place (`teach`), where it can be in time; what it has no
answer to goes to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edgewise.codec.features import FeatureCodec
from edgewise.codec.select import Codec, codec_for
from edgewise.codec.tensor import TensorCodec
from edgewise.core.answer import Answer
from edgewise.core.coherent import EARLY
from edgewise.core.errors import EdgewiseError, ModelError
from edgewise.core.placement import CROSSING
from edgewise.data.decoding import answers
from edgewise.data.preprocess import WIDEST
from edgewise.net.messages import Stream
from edgewise.node.codecs import Codecs
from edgewise.node.parts import Parts
from edgewise.runtime.bundle import Bundle, PartName

Frame = tuple[Stream, memoryview]
Picture = NDArray[np.uint8]


class Teacher(Protocol):
    """A stronger model of the same task. `outputs` of n pictures, each uint8 (height, width, 3), are those that the decoding of a
    bundle reads, n rows each (`edgewise.node.spoken` makes them from probabilities). All calls come from one thread.
    """

    def outputs(self, pictures: Sequence[Picture]) -> Mapping[str, NDArray[Any]]: ...


class Tails:
    """`accept` says which streams can be answered; `run` answers payloads of one key together. `tutor` gives a teacher."""

    def __init__(self, bundles: Sequence[Bundle], threads: int = 1) -> None:
        if not bundles:
            raise ModelError("an edge server has nothing to serve", got="no bundle", allowed="one or more")
        self._bundles: dict[str, Bundle] = {}
        self._parts: dict[str, Parts] = {}
        self._codecs = Codecs()
        self._batches: dict[tuple[str, bool], NDArray[Any]] = {}
        self._threads = threads
        self._teachers: dict[str, Teacher] = {}  # by name of a model
        for bundle in bundles:
            self.add(bundle)

    def add(self, bundle: Bundle) -> None:
        """Serve one more version. It is loaded first: a broken model shows itself now, not at the first frame."""
        parts = Parts(bundle, self._threads, ("tail",))
        for part in bundle.manifest.parts:
            if part != "local":
                parts.load(cast(PartName, part))
        before = [p for p in self._parts.values() if p.manifest.name == bundle.manifest.name]
        if before:
            parts.tracking.succeed(before[-1].tracking)
        self._parts = {**self._parts, bundle.address: parts}
        self._bundles = {**self._bundles, bundle.address: bundle}  # others may be looking at the old one

    def drop(self, address: str) -> None:
        """Serve this version no more: its streams are refused from here on, and so are its frames that wait."""
        self._bundles = {a: b for a, b in self._bundles.items() if a != address}
        self._parts = {a: p for a, p in self._parts.items() if a != address}
        self._codecs.drop(address)
        self._batches = {key: b for key, b in list(self._batches.items()) if key[0] != address}

    def follow(self, name: str, on: bool) -> None:
        """Whether the normalisation of the tails of the model `name` follows what its devices send as features, from now on.

        The statistics of a version are those of all its devices together: right where they see the same weather. Pictures, which
        no statistics of a device went over, are answered as ever. Loads models, so call it from a thread of your own.
        """
        for parts in self._parts.values():
            if parts.manifest.name == name:
                parts.tracking.turn(on, wait=True)

    def tutor(self, name: str, teacher: Teacher | None) -> None:
        """From now on this teacher answers pictures for all versions of the model `name`; None: nobody does but they."""
        others = {n: t for n, t in self._teachers.items() if n != name}
        self._teachers = others if teacher is None else {**others, name: teacher}

    @property
    def models(self) -> dict[str, str]:
        """Address → name of every bundle that is served."""
        return {address: b.manifest.name for address, b in self._bundles.items()}

    def accept(self, stream: Stream) -> str | None:
        """None where frames of this stream can be answered, else a sentence that says why not."""
        bundle = self._bundles.get(stream.address)
        if bundle is None:
            return self._unknown(stream.address)
        point = next((p for p in bundle.manifest.points if p.name == stream.point), None)
        if point is None:
            return f"model {bundle.manifest.name} has no operating point {stream.point!r}."
        if (point.codec, point.level) != (stream.codec, stream.level):
            return f"{stream.point} is {point.codec} at {point.level}; the stream says {stream.codec} at {stream.level}."
        if point.mode in CROSSING:
            shape = (1, *bundle.manifest.crossing.shape)
            if tuple(stream.shape) != shape or stream.dtype != "float32":
                return f"{stream.point} carries float32 {shape}; the stream says {stream.dtype} {tuple(stream.shape)}."
        if point.mode == "image" and not (len(stream.shape) == 3 and max(stream.shape) <= WIDEST and stream.dtype == "uint8"):
            said = f"{stream.dtype} {tuple(stream.shape)}"
            return f"{stream.point} carries uint8 pictures of {WIDEST} pixels a side at most; the stream says {said}."
        return None

    def key(self, stream: Stream) -> tuple[str, str]:
        """What can share a run: the model, and whether features or pictures come in."""
        return stream.address, "image" if stream.dtype == "uint8" else "split"

    def run(self, frames: Sequence[Frame]) -> list[Answer | str]:
        """An answer, or the sentence that refuses it, for each frame; all of one key."""
        address = frames[0][0].address
        bundle, parts = self._bundles.get(address), self._parts.get(address)
        if bundle is None or parts is None:  # dropped while they waited
            return [self._unknown(stream.address) for stream, _ in frames]
        pictures = bundle.manifest.point(frames[0][0].point).mode == "image"
        batch = self._batch(bundle, pictures, len(frames))
        decode = self._decode_pictures if pictures else self._decode_features
        outcome, places = decode(bundle, frames, batch)
        if places:
            outputs = self._look(parts, batch[: len(places)], pictures)
            for place, answer in zip(places, _answered(outputs, bundle, len(places)), strict=True):
                outcome[place] = answer
                if not pictures and isinstance(answer, Answer):
                    parts.answered("tail", answer)
        return outcome

    def teaches(self, stream: Stream) -> bool:
        """Whether a teacher may answer this stream."""
        bundle = self._bundles.get(stream.address)
        return stream.dtype == "uint8" and bundle is not None and bundle.manifest.name in self._teachers

    def teach(self, frames: Sequence[Frame]) -> list[Answer | str | None]:
        """As `run` for pictures, by the teacher: None for each that it has no answer to."""
        bundle = self._bundles.get(frames[0][0].address)
        teacher = self._teachers.get(bundle.manifest.name) if bundle is not None else None
        outcome: list[Answer | str | None] = [None] * len(frames)
        if bundle is None or teacher is None:  # dropped while they waited
            return outcome
        places, pictures = [], []
        for i, (stream, payload) in enumerate(frames):
            try:
                pictures.append(cast(Picture, self._codec(bundle, stream, "teacher").decode(payload)))
                places.append(i)
            except EdgewiseError as error:
                outcome[i] = str(error)
        if places:
            outputs = teacher.outputs(pictures)
            for place, answer in zip(places, _answered(outputs, bundle, len(places)), strict=True):
                outcome[place] = answer if isinstance(answer, Answer) else None
        return outcome

    def _decode_pictures(
        self, bundle: Bundle, frames: Sequence[Frame], batch: NDArray[Any]
    ) -> tuple[list[Answer | str], list[int]]:
        """Fill `batch` with the frames that can be read; their places, and the sentences of the others in theirs."""
        outcome: list[Answer | str] = [""] * len(frames)
        places: list[int] = []
        parts, eye = self._parts[bundle.address], _eye(bundle)
        for i, (stream, payload) in enumerate(frames):
            try:
                batch[len(places) : len(places) + 1] = parts.sample(eye, self._codec(bundle, stream).decode(payload))
                places.append(i)
            except EdgewiseError as error:
                outcome[i] = str(error)
        return outcome, places

    def _decode_features(
        self, bundle: Bundle, frames: Sequence[Frame], batch: NDArray[Any]
    ) -> tuple[list[Answer | str], list[int]]:
        """As for pictures; frames of one coding are decoded together."""
        outcome: list[Answer | str] = [""] * len(frames)
        places: list[int] = []
        alike: dict[str, list[int]] = {}
        for i, (stream, _) in enumerate(frames):
            alike.setdefault(stream.point, []).append(i)
        for several in alike.values():
            codec = self._codec(bundle, frames[several[0]][0])
            room = batch[len(places) : len(places) + len(several)]
            wrong = _decoded(codec, [frames[i][1] for i in several], room)
            good = [row for row, error in enumerate(wrong) if error is None]
            if len(good) < len(several):
                room[: len(good)] = room[good]
            places += [several[row] for row in good]
            for i, error in zip(several, wrong, strict=True):
                outcome[i] = str(error) if error is not None else ""
        return outcome, places

    def _batch(self, bundle: Bundle, pictures: bool, frames: int) -> NDArray[Any]:
        """Room for a batch, kept from run to run: fresh memory costs a page fault every 4 KB."""
        key = (bundle.address, pictures)
        if key not in self._batches or len(self._batches[key]) < frames:
            if pictures:
                look = bundle.manifest.pictures[_eye(bundle)]
                self._batches[key] = np.empty((frames, look.height, look.width, 3), np.uint8)
            else:
                self._batches[key] = np.empty((frames, *bundle.manifest.crossing.shape), np.float32)
        return self._batches[key]

    def _look(self, parts: Parts, batch: NDArray[Any], pictures: bool) -> Mapping[str, NDArray[Any]]:
        if pictures and "full" in parts.manifest.parts:
            return parts.run("full", batch)
        if pictures:
            if parts.manifest.first != "head":
                batch = parts.run(parts.manifest.first, batch)[EARLY]
            batch = parts.run("head", batch)[parts.manifest.parts["head"].outputs[0].name]
            return parts.unfollowed("tail", batch)
        return parts.run("tail", batch)

    def _unknown(self, address: str) -> str:
        held = ", ".join(f"{a[:12]} ({n})" for a, n in self.models.items())
        return f"this server does not hold the model {address[:12] or 'without address'}; it holds {held or 'none'}."

    def _codec(self, bundle: Bundle, stream: Stream, of: str = "") -> Codec:
        """The stream's codec; one `of` its own for each thread."""
        point, manifest = stream.point, bundle.manifest
        return self._codecs.of(stream.address, of + point, lambda: codec_for(manifest.point(point), manifest, WIDEST**2))


def _eye(bundle: Bundle) -> PartName:
    """The part that a picture is fitted to."""
    return "full" if "full" in bundle.manifest.parts else bundle.manifest.first


def _decoded(codec: Codec, payloads: Sequence[memoryview], room: NDArray[Any]) -> list[EdgewiseError | None]:
    """Payloads of one codec into `room` (payload, …); what is wrong with each that is none, and whose row means nothing."""
    if isinstance(codec, FeatureCodec):
        return [*codec.decode_many(payloads, room)]
    wrong: list[EdgewiseError | None] = [None] * len(payloads)
    for row, payload in enumerate(payloads):
        try:
            if isinstance(codec, TensorCodec):
                codec.decode(payload, room[row : row + 1])
            else:
                room[row] = codec.decode(payload)[0]
        except EdgewiseError as error:
            wrong[row] = error
    return wrong


def _answered(outputs: Mapping[str, NDArray[Any]], bundle: Bundle, rows: int) -> list[Answer | str]:
    """The answers of a batch; where it has none as a whole, each row is asked by itself."""
    decoding, labels = bundle.manifest.decoding, bundle.manifest.labels
    try:
        return [*answers(outputs, decoding, labels)]
    except EdgewiseError as error:
        if rows == 1:
            return [str(error)]
    one = ({name: value[row : row + 1] for name, value in outputs.items()} for row in range(rows))
    return [_answered(each, bundle, 1)[0] for each in one]
