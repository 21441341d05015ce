"""The models that a device holds: a picture in; out comes the payload of an operating point, or the local answer.

The mirror of `edgewise.node.tails`. Each call says what it took, step by step, in seconds.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from edgewise.codec.select import Codec, codec_for
from edgewise.core.answer import Answer
from edgewise.core.artifact import Picture
from edgewise.core.placement import OperatingPoint
from edgewise.data.decoding import answers
from edgewise.data.preprocess import fit
from edgewise.net.messages import Stream
from edgewise.runtime.bundle import Bundle

WIDEST = 640  # pixels of the longer side; a larger picture is scaled down before it is sent as one


class Heads:
    """`prepare` and `local` are what an agent's worker runs; both are safe in one thread at a time."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.manifest, self.address = bundle.manifest, bundle.address
        self._bundle, self._threads = bundle, threads
        self._codecs: dict[str, Codec] = {}

    def warm(self) -> None:
        """Load the models and run each once, so that the first frame finds them ready."""
        head = self.manifest.pictures["head"]
        blank = np.zeros((head.height, head.width, 3), np.uint8)
        for mode in ("split", "image"):
            point = next((p for p in self.manifest.points if p.mode == mode), None)
            if point:
                self.prepare(blank, point)
        if "local" in self.manifest.parts:
            self.local(blank)

    def streams(self, first: int = 1) -> tuple[Stream, ...]:
        """What the device may send: one stream for each operating point that goes over the link, numbered from `first`."""
        remote = [p for p in self.manifest.points if p.mode in ("split", "image")]
        return tuple(
            Stream(
                id=i,
                address=self.address,
                point=p.name,
                codec=p.codec,
                level=p.level,
                shape=(1, *self.manifest.crossing.shape) if p.mode == "split" else (WIDEST, WIDEST, 3),
                dtype="float32" if p.mode == "split" else "uint8",
            )
            for i, p in enumerate(remote, start=first)
        )

    def prepare(self, image: NDArray[np.uint8], point: OperatingPoint) -> tuple[bytes, dict[str, float]]:
        """The payload of `image` (height, width, 3) at `point`, and seconds by step."""
        start = perf_counter()
        if point.mode == "image":
            small = narrow(image)
            fitted = perf_counter()
            payload = self._codec(point).encode(small)
            return payload, {"fit": fitted - start, "encode": perf_counter() - fitted}
        part = self.manifest.parts["head"]
        picture = fit(image, self.manifest.pictures["head"])
        fitted = perf_counter()
        features = self._bundle.session("head", self._threads).run({part.inputs[0].name: picture})[part.outputs[0].name]
        headed = perf_counter()
        payload = self._codec(point).encode(features)
        return payload, {"fit": fitted - start, "head": headed - fitted, "encode": perf_counter() - headed}

    def local(self, image: NDArray[np.uint8]) -> tuple[Answer, dict[str, float]]:
        """The answer of the local model, and seconds by step."""
        start = perf_counter()
        part = self.manifest.parts["local"]
        picture = fit(image, self.manifest.pictures["local"])
        outputs = self._bundle.session("local", self._threads).run({part.inputs[0].name: picture})
        answer = answers(outputs, self.manifest.decoding, self.manifest.labels)[0]
        return answer, {"local": perf_counter() - start}

    def _codec(self, point: OperatingPoint) -> Codec:
        if point.name not in self._codecs:
            self._codecs[point.name] = codec_for(point, self.manifest)
        return self._codecs[point.name]


def narrow(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture, scaled down to `WIDEST` where it is larger."""
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer <= WIDEST:
        return image
    small = Picture(max(1, round(width * WIDEST / longer)), max(1, round(height * WIDEST / longer)))
    scaled: NDArray[np.uint8] = fit(image, small)[0]
    return scaled
