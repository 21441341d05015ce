"""Fuzzed: what delivery carries. Manifests and the bundles that they describe, signed documents, coded deltas."""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Callable
from random import Random

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.mutation import mutated
from bench.targets import Plain
from edgewise.codec import delta as coded
from edgewise.core import artifact, release
from edgewise.core.delta import Affine, Change, Delta, Full, LowRank, Rows
from edgewise.core.release import Assignment, FileEntry, Key, Release, Trust
from edgewise.net import signing
from edgewise.runtime.bundle import Bundle
from edgewise.runtime.initialisers import initialisers
from edgewise.runtime.update import rebuilt, updated

NOW = 1.5e9
FRONT = 13  # bytes before a delta's body


def small_model() -> bytes:
    """An ONNX file with a few initialisers, field by field as protobuf has them."""

    def field(number: int, body: bytes) -> bytes:
        return bytes([number << 3 | 2, len(body)]) + body

    def tensor(name: bytes, kind: int, shape: tuple[int, ...], raw: bytes) -> bytes:
        dims = b"".join(bytes([1 << 3, n]) for n in shape)
        return field(5, dims + bytes([2 << 3, kind]) + field(8, name) + field(9, raw))

    floats = np.arange(6, dtype="<f4").tobytes()
    graph = tensor(b"w", 1, (3, 2), floats) + tensor(b"s", 1, (3,), floats[:12]) + tensor(b"n", 7, (1,), bytes(8))
    return bytes([1 << 3, 9]) + field(7, graph)


def small_bundle() -> dict[str, bytes]:
    """The files of a bundle of one part, whose parameters a delta may change."""
    model = small_model()
    spec = artifact.TensorSpec("x", "float32", (None, 3))
    manifest = artifact.Manifest(
        name="small",
        task="detection",
        labels=("vehicle",),
        parts={"local": artifact.PartFile("local.onnx", digest(model), len(model), (spec,), (spec,))},
        pictures={"local": artifact.Picture(64, 36)},
        bottleneck=artifact.Bottleneck((1, 2, 2), (0.0,), (1.0,)),
        decoding=artifact.Grid(0.5, 0.5, 0.5, 2, 3),
        points=(),
        parameters={"local.w": artifact.Parameter("local", "w"), "local.s": artifact.Parameter("local", "s")},
        provenance={"made by": "fuzzing"},
    )
    return {artifact.MANIFEST: manifest.canonical, "local.onnx": model}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Manifests(Plain):
    """0: a manifest, and the bundle that it describes; 1: an ONNX file."""

    def __init__(self) -> None:
        files = small_bundle()
        self._manifest, self._model = files[artifact.MANIFEST], files["local.onnx"]

    def draw(self, random: Random) -> tuple[int, bytes]:
        if random.random() < 0.4:
            return 1, mutated(random, (self._model,))
        data = mutated(random, (self._manifest,))
        if random.random() < 0.7:  # in its canonical form again, to get past that
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                data = msgspec.json.encode(msgspec.json.decode(data), order="sorted")
        return 0, data

    def feed(self, which: int, data: bytes) -> bool:
        if which == 1:
            initialisers(data)
        else:
            Bundle.load(data, lambda sha: self._model)
        return True


class Releases(Plain):
    """0 to 2: a trust, a release, an assignment to a verifier; 3 to 5: each unverified. Some are signed after the change."""

    def __init__(self) -> None:
        names = ("root", "publisher", "channel")
        self._keys = {name: Ed25519PrivateKey.from_private_bytes(bytes([i] * 32)) for i, name in enumerate(names)}
        roles = {n: Key(signing.public(self._keys[n]), n) for n in ("publisher", "channel")}
        files = {"manifest.json": FileEntry("cd" * 32, 9), "local.onnx": FileEntry("ab" * 32, 100)}
        published = self._sign(Release("vehicles", 2, "cd" * 32, files, 1e9, 2e9), "publisher")
        assigned = Assignment("n", "yard", 3, {"vehicles": published.digest}, 1e9, 2e9)
        self._signers = ("root", "publisher", "channel")
        self._envelopes = (self._sign(Trust(1, 1e9, 2e9, roles), "root"), published, self._sign(assigned, "channel"))
        self._packed = tuple(release.pack(e) for e in self._envelopes)
        self._kinds = (Trust, Release, Assignment)

    def _sign(self, document: release.Document, by: str) -> release.Envelope:
        return signing.sign(document, {by: self._keys[by]})

    def begin(self) -> None:
        self._verifier = signing.Verifier(signing.public(self._keys["root"]), "n", signing.Forgetful())
        self._verifier.trust(self._envelopes[0], NOW)
        self._verifier.assignment(self._envelopes[2], NOW)

    def draw(self, random: Random) -> tuple[int, bytes]:
        number = random.randrange(3)
        if random.random() < 0.4:  # by a key that may, whatever it says; in its canonical form where it has one
            payload = mutated(random, (self._envelopes[number].payload,))
            if random.random() < 0.5:
                with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    payload = msgspec.json.encode(msgspec.json.decode(payload), order="sorted")
            value = self._keys[self._signers[number]].sign(release.DOMAIN + payload)
            return number, release.pack(release.Envelope(payload, (release.Signature(self._signers[number], value),)))
        return number + random.choice((0, 3)), mutated(random, self._packed)

    def feed(self, which: int, data: bytes) -> bool:
        if which >= 3:
            release.document(release.unpack(data), self._kinds[which - 3])  # type: ignore[type-var]
            return True
        judges: tuple[Callable[[bytes, float], object], ...]
        judges = (self._verifier.trust, self._verifier.release, self._verifier.assignment)
        judges[which](data, NOW)
        if which == 1:
            self._verifier.taken(data)
        return True


class Deltas(Plain):
    """0: decoded; 1: applied to the bundle it is for; 2: a bundle made anew from it under a signed manifest."""

    def __init__(self) -> None:
        self._files = small_bundle()
        address = digest(self._files[artifact.MANIFEST])
        rows: dict[str, Change] = {
            "local.w": Rows(np.array([0, 2]), np.ones((2, 2), np.float32)),
            "local.s": Full(np.full(3, 0.5, np.float32)),
        }
        low: dict[str, Change] = {"local.w": LowRank(np.ones((3, 1), np.float32), np.ones((1, 2), np.float32))}
        other: dict[str, Change] = {
            "a": Affine(np.ones(3, np.float32), np.zeros(3, np.float32)),
            "b": Full(np.arange(6, dtype=np.int64)),
        }
        deltas = [Delta(address, address, "fuzzing", changes, "") for changes in (rows, low, other)]
        self._seeds = tuple(
            coded.encode(delta, precision, compress)
            for delta in deltas
            for precision in ("float32", "float16", "int8")
            for compress in (True, False)
        )
        self._manifest = updated(self._files, deltas[0])[artifact.MANIFEST]

    def draw(self, random: Random) -> tuple[int, bytes]:
        data = mutated(random, self._seeds)
        if random.random() < 0.6 and len(data) > FRONT:  # its size told rightly, deflated or not
            body = data[FRONT:]
            deflated = random.random() < 0.3
            front = b"EWD1" + bytes([deflated]) + len(body).to_bytes(8, "little")
            data = front + (zlib.compress(body, 1) if deflated else body)
        return random.randrange(3), data

    def feed(self, which: int, data: bytes) -> bool:
        if which == 0:
            coded.decode(data, 1 << 24)
        elif which == 1:
            updated(self._files, data)
        else:
            rebuilt(self._files, data, self._manifest)
        return True
