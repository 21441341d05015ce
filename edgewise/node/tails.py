"""The models that an edge server holds: frames of many devices in, answers out, in one run of a tail.

Several bundles, and several versions of one, stand side by side, keyed by their content address, so that a device that has
not been updated yet is answered as before. Versions come (`add`, in a thread: it loads) and go (`drop`) while the others are
served. A frame that cannot be decoded is refused by itself; its batch goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgewise.codec.select import Codec, codec_for
from edgewise.codec.tensor import TensorCodec
from edgewise.core.answer import Answer
from edgewise.core.errors import EdgewiseError, ModelError
from edgewise.data.decoding import answers
from edgewise.data.preprocess import fit
from edgewise.net.messages import Stream
from edgewise.node.heads import WIDEST
from edgewise.runtime.bundle import Bundle, PartName


class Tails:
    """`accept` says which streams can be answered; `run` answers payloads of one key together."""

    def __init__(self, bundles: Sequence[Bundle], threads: int = 1) -> None:
        if not bundles:
            raise ModelError("an edge server has nothing to serve", got="no bundle", allowed="one or more")
        self._bundles: dict[str, Bundle] = {}
        self._codecs: dict[tuple[str, str, int], Codec] = {}
        self._batches: dict[tuple[str, bool], NDArray[Any]] = {}
        self._threads = threads
        for bundle in bundles:
            self.add(bundle)

    def add(self, bundle: Bundle) -> None:
        """Serve one more version. It is loaded first: a broken model shows itself now, not at the first frame."""
        for part in bundle.manifest.parts:
            if part != "local":
                bundle.session(cast(PartName, part), self._threads)
        self._bundles = {**self._bundles, bundle.address: bundle}  # others may be looking at the old one

    def drop(self, address: str) -> None:
        """Serve this version no more: its streams are refused from here on, and so are its frames that wait."""
        self._bundles = {a: b for a, b in self._bundles.items() if a != address}
        self._codecs = {key: c for key, c in list(self._codecs.items()) if key[0] != address}
        self._batches = {key: b for key, b in list(self._batches.items()) if key[0] != address}

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
        if point.mode == "split":
            shape = (1, *bundle.manifest.crossing.shape)
            if tuple(stream.shape) != shape or stream.dtype != "float32":
                return f"{stream.point} carries float32 {shape}; the stream says {stream.dtype} {tuple(stream.shape)}."
        if point.mode == "image" and not (len(stream.shape) == 3 and max(stream.shape) <= WIDEST and stream.dtype == "uint8"):
            said = f"{stream.dtype} {tuple(stream.shape)}"
            return f"{stream.point} carries uint8 pictures of {WIDEST} pixels a side at most; the stream says {said}."
        return None

    def key(self, stream: Stream) -> tuple[str, str]:
        """What can share a run: the model, and whether features or pictures come in."""
        return stream.address, "image" if len(stream.shape) == 3 else "split"

    def run(self, frames: Sequence[tuple[Stream, memoryview]]) -> list[Answer | str]:
        """An answer, or the sentence that refuses it, for each frame; all of one key."""
        bundle = self._bundles.get(frames[0][0].address)
        if bundle is None:  # dropped while they waited
            return [self._unknown(stream.address) for stream, _ in frames]
        pictures = bundle.manifest.point(frames[0][0].point).mode == "image"
        batch = self._batch(bundle, pictures, len(frames))
        outcome: list[Answer | str] = [""] * len(frames)
        places: list[int] = []
        for i, (stream, payload) in enumerate(frames):
            room = batch[len(places) : len(places) + 1]
            try:
                codec = self._codec(bundle, stream)
                if isinstance(codec, TensorCodec):
                    codec.decode(payload, room)
                else:
                    room[:] = fit(codec.decode(payload), bundle.manifest.pictures["head"])
                places.append(i)
            except EdgewiseError as error:
                outcome[i] = str(error)
        if places:
            outputs = self._look(bundle, batch[: len(places)], pictures)
            found = answers(outputs, bundle.manifest.decoding, bundle.manifest.labels)
            for place, answer in zip(places, found, strict=True):
                outcome[place] = answer
        return outcome

    def _batch(self, bundle: Bundle, pictures: bool, frames: int) -> NDArray[Any]:
        """Room for a batch, kept from run to run: fresh memory costs a page fault every 4 KB."""
        key = (bundle.address, pictures)
        if key not in self._batches or len(self._batches[key]) < frames:
            look = bundle.manifest.pictures["head"]
            shape = (look.height, look.width, 3) if pictures else bundle.manifest.crossing.shape
            self._batches[key] = np.empty((frames, *shape), np.uint8 if pictures else np.float32)
        return self._batches[key]

    def _look(self, bundle: Bundle, batch: NDArray[Any], pictures: bool) -> dict[str, NDArray[Any]]:
        """Pictures go through head and tail, features through the tail."""
        if pictures:
            batch = next(iter(self._run(bundle, "head", batch).values()))
        return self._run(bundle, "tail", batch)

    def _run(self, bundle: Bundle, part: PartName, batch: NDArray[Any]) -> dict[str, NDArray[Any]]:
        name = bundle.manifest.parts[part].inputs[0].name
        return bundle.session(part, self._threads).run({name: batch})

    def _unknown(self, address: str) -> str:
        held = ", ".join(f"{a[:12]} ({n})" for a, n in self.models.items())
        return f"this server does not hold the model {address[:12] or 'without address'}; it holds {held or 'none'}."

    def _codec(self, bundle: Bundle, stream: Stream) -> Codec:
        key = (stream.address, stream.codec, stream.level)
        if key not in self._codecs:
            self._codecs[key] = codec_for(bundle.manifest.point(stream.point), bundle.manifest, WIDEST**2)
        return self._codecs[key]
