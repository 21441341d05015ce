"""What split brings to fuzzing: features in layers, packed tables, a manifest with a coding, what an answer holds.

A layer is sealed again in half of the cases, so that the coder itself reads what was changed and not its check sum alone.
"""

from __future__ import annotations

import contextlib
from random import Random

import msgspec
import numpy as np
from msgspec.structs import replace

from bench.document_targets import small_bundle
from bench.mutation import mutated
from bench.targets import Plain
from edgewise.codec import layers, tables
from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for
from edgewise.core.answer import Answer
from edgewise.core.artifact import MANIFEST, Bottleneck, Coding, Manifest, PartFile, TensorSpec
from edgewise.core.decoding import Raw, Regions
from edgewise.core.placement import OperatingPoint
from edgewise.data.decoding import answers, raw, regions
from edgewise.runtime.bundle import Bundle

BOTTLENECK = Bottleneck((3, 6, 7), (-3.0,) * 3, (3.0,) * 3)


def coding() -> Coding:
    drawn = np.random.default_rng(0).laplace(0, 1, (20, 3, 6, 7)).astype(np.float32)
    return coding_for(BOTTLENECK, [drawn], (16, 256, 3), (1, 0, 2), (1, 2), most=2000)


class Features(Plain):
    """0: a frame of features; 1: tables; 2: a manifest with a coding; 3: regions of an answer; 4: its raw outputs."""

    def __init__(self) -> None:
        self._codec = FeatureCodec(BOTTLENECK, coding())
        random = np.random.default_rng(1)
        spread = [random.laplace(0, s, (1, 3, 6, 7)).astype(np.float32) for s in (0.1, 1.0, 9.0)]
        self._frames = tuple(self._codec.encode(x) for x in spread)
        self._tables = self._codec.coding.tables
        self._manifest, self._model = _coded()
        maps = {"y": random.normal(size=(1, 4, 5, 5)).astype(np.float32)}
        self._regions = answers(maps, Regions("y", 5, 5), ())[0]
        self._raw = answers(maps, Raw(), ())[0]

    def draw(self, random: Random) -> tuple[int, bytes]:
        which = random.choice((0, 0, 0, 0, 1, 1, 2, 2, 3, 4))
        if which == 0:
            return 0, self._sealed(random) if random.random() < 0.5 else mutated(random, self._frames)
        if which == 2:
            data = mutated(random, (self._manifest,))
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                data = msgspec.json.encode(msgspec.json.decode(data), order="sorted")
            return 2, data
        return which, mutated(random, (self._tables, b"", self._regions.regions, self._raw.raw)[which - 1 : which])

    def feed(self, which: int, data: bytes) -> bool:
        if which == 0:
            values = self._codec.decode(data)
            if not np.isfinite(values).all() or len(data) < max(self._codec.prefixes(data), default=0):
                raise AssertionError("a frame was taken whose values are no numbers")
        elif which == 1:
            if tables.pack(tables.unpack(data)) != data:
                raise AssertionError("tables were taken that are not in their canonical form")
        elif which == 2:
            manifest = Bundle.load(data, lambda sha: self._model).manifest
            for one in manifest.codings.values():
                FeatureCodec(manifest.crossing, one)
        elif which == 3:
            regions.classes(replace(self._regions, regions=data))
        else:
            raw.outputs(Answer(raw=data))
        return True

    def _sealed(self, random: Random) -> bytes:
        """A frame one of whose layers says something else under a right check sum."""
        frame = memoryview(random.choice(self._frames))
        places = layers.places(frame, self._codec.total)
        number = random.randrange(len(places))
        bodies = [bytes(frame[p.body : p.end]) for p in places]
        bodies[number] = mutated(random, (bodies[number],))[: 1 << 16]
        seeds = [layer.seed for layer in self._codec._layers]
        stored = [p.stored != (random.random() < 0.2 and k == number) for k, p in enumerate(places)]
        written = (layers.written(body, kind, seed) for body, kind, seed in zip(bodies, stored, seeds, strict=True))
        return layers.header(len(places)) + b"".join(written)


def _coded() -> tuple[bytes, bytes]:
    """A manifest with a head, a tail and a coding, whose two parts are one small file twice; and that file."""
    files = small_bundle()
    model = files["local.onnx"]
    plain = msgspec.json.decode(files[MANIFEST], type=Manifest)
    spec, local = TensorSpec("x", "float32", (None, 3, 6, 7)), plain.parts["local"]
    parts = {name: PartFile(f"{name}.onnx", local.sha256, local.size, (spec,), (spec,)) for name in ("head", "tail")}
    made = replace(
        plain,
        parts=parts,
        pictures={},
        parameters={},
        bottleneck=BOTTLENECK,
        points=(OperatingPoint("rans", "split", "rans"),),
        codings={"rans": coding()},
    )
    return made.canonical, model
