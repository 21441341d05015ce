"""Who makes versions: a site's keys, small artifacts with real manifests, signed releases, and the truth that is checked against.

A part is some KB of random bytes in place of an ONNX file, and a delta a list of byte ranges in place of initialisers; hashes,
manifests, signatures and trust are real. A bad version says so in its part, where only the simulated inference looks.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from edgewise.core.artifact import MANIFEST
from edgewise.core.errors import ModelError
from edgewise.core.release import Envelope, FileEntry, Key, Release, Route, Trust
from edgewise.net.signing import public, sign
from edgewise.node.faults.clock import DAY, EPOCH
from edgewise.node.faults.schedule import Bad

MODEL = "eye"
CHANNEL = "yard"
PARTS = ("head.onnx", "local.onnx", "tail.onnx")
PART = 20_000  # bytes of a part
QUALITY = 0.8
WORSE = 0.1  # of quality, where a version is bad so
GOOD, SLOW = 0.02, 0.15  # s that an answer of this version takes on a device


class Version(Struct, frozen=True):
    """One version as its publisher knows it: every file, and what is wrong with it."""

    number: int
    release: Release
    envelope: Envelope
    files: Mapping[str, bytes]
    blobs: Mapping[str, bytes]  # by hash: files and deltas
    bad: Bad

    @property
    def address(self) -> str:
        return self.release.address

    @property
    def digest(self) -> str:
        return self.envelope.digest


class Patch(Struct, frozen=True, array_like=True):
    """The delta of this simulation: per file, bytes that go to an offset."""

    changes: dict[str, tuple[tuple[int, bytes], ...]]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def patched(base: Mapping[str, bytes], delta: bytes) -> dict[str, bytes]:
    """The files that `delta` makes of `base`; ModelError where it does not fit."""
    try:
        patch = msgspec.msgpack.decode(delta, type=Patch)
    except msgspec.MsgspecError as error:
        raise ModelError("a delta cannot be read", got=error) from None
    files = {name: bytearray(data) for name, data in base.items()}
    for name, changes in patch.changes.items():
        for at, data in changes:
            if name not in files or at + len(data) > max(len(files[name]), len(data)):
                raise ModelError("a delta is for another model", got=name)
            files[name][at : at + len(data)] = data
    return {name: bytes(data) for name, data in files.items()}


class Publisher:
    """The site's keys and everything ever published; `versions` by content address."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(f"edgewise publisher {seed}")
        self.root, self.key, self.channel, self.stranger = (
            Ed25519PrivateKey.from_private_bytes(self._draw.randbytes(32)) for _ in range(4)
        )
        keys = {
            "publisher": Key(public(self.key), "publisher", (MODEL,)),
            "channel": Key(public(self.channel), "channel", (CHANNEL,)),
        }
        self.trust = sign(Trust(1, EPOCH - DAY, EPOCH + 300 * DAY, keys), {"root": self.root})
        self.versions: dict[str, Version] = {}
        self.numbers: dict[int, Version] = {}
        self._parts = {name: self._draw.randbytes(PART) for name in PARTS}
        self.first = self.make(1, "")

    def make(self, number: int, bad: Bad) -> Version:
        """Version `number`: a little of one part is other than in the version before, and there is a delta from that one."""
        before = self.numbers.get(number - 1)
        changed = self._draw.choice(PARTS)
        place, what = self._draw.randrange(PART - 600), self._draw.randbytes(500)
        part = bytearray(self._parts[changed])
        part[place : place + 500] = what
        self._parts[changed] = bytes(part)
        manifest = self._manifest(number)
        files = {**self._parts, MANIFEST: manifest}
        blobs = {sha(data): data for data in files.values()}
        routes: tuple[Route, ...] = ()
        if before is not None and self._draw.random() < 0.6:  # else there is no shorter way than the files
            patch = Patch({changed: ((place, what),), MANIFEST: ((0, manifest),)})
            delta = msgspec.msgpack.encode(patch)
            blobs[sha(delta)] = delta
            routes = (Route(before.address, FileEntry(sha(delta), len(delta))),)
        entries = {name: FileEntry(sha(data), len(data)) for name, data in files.items()}
        release = Release(MODEL, number, sha(manifest), entries, EPOCH - DAY + number, EPOCH + 100 * DAY, 1, routes)
        version = Version(number, release, sign(release, {"publisher": self.key}), files, blobs, bad)
        self.versions[version.address] = self.numbers[number] = version
        return version

    def _manifest(self, number: int) -> bytes:
        """Stands for the canonical manifest: names every part by its hash, as the real one does."""
        about = {"name": MODEL, "version": f"{number:08d}", "parts": {n: sha(d) for n, d in sorted(self._parts.items())}}
        return msgspec.json.encode(about, order="sorted")
