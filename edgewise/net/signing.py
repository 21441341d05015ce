"""Signed documents: making Ed25519 keys, signing, and a node's judgement of what it is sent.

A `Verifier` checks in this order, and the first that fails is the sentence: size, form, canonical bytes, a known key of the right
role and for this name, enough valid signatures of distinct keys, expiry, version or sequence not below what is remembered, the
node's name, the digest that the assignment names, the floor. (`checks.py` has those that need no memory.)

**Time.** A document's end is compared with the latest of the wall clock, the `issued` of the trust and assignment in force,
and a floor given at construction. So a clock in 1970 neither brings an expired release back nor stops the node. A new trust is
judged without the times of the documents that it may replace, and so is a new assignment: their numbers keep old ones out, and
a server whose clock was wrong for an hour is forgiven with its next assignment. A trust that was signed on such a day is of no
day at all once an assignment is of the wall clock's own hour (DRIFT): two clocks that agree show the third to be wrong, and a
clock in 1970 agrees with nobody. No assignment is believed to be of a time beyond the trust's end. A clock far in the future
expires everything: each document is refused with a sentence that names both times, the version that runs goes on, and since
the wall clock is never remembered all is well again once the clock is set.

**Numbers** are forgotten with the keys that taught them: whoever stole a key can push its sequence or a floor to the end
("fast forward"), and a new trust without that key heals it.

It does not know which certificate somebody showed (identity.py), nor what is in the files that a release names.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from msgspec import Struct

from edgewise.core.errors import IdentityError, StoreError
from edgewise.core.release import (
    DOMAIN,
    Assignment,
    Document,
    Envelope,
    Release,
    Signature,
    Trust,
    canonical,
    document,
    pack,
    unpack,
)
from edgewise.net.checks import forward, fresh, kind, opened, published, refuse, signers, trusted

DRIFT = 3600.0  # s by which the clocks of a device and its server may differ and still be one day's

__all__ = ["Forgetful", "Memory", "Verifier", "kind", "load_key", "make_key", "public", "published", "sign"]


class Memory(Protocol):
    """What must outlive a restart. Who wants several documents to count together brings a transaction around the calls."""

    def get(self, key: str) -> bytes | None: ...
    def put(self, key: str, value: bytes) -> None: ...


class Forgetful(dict[str, bytes]):
    """A Memory for tests, and for a node without a store."""

    def put(self, key: str, value: bytes) -> None:
        self[key] = value


# Keys


def make_key(path: Path) -> Ed25519PrivateKey:
    """A new key, written to `path` with mode 0600; IdentityError where a file is there already."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except FileExistsError:
        raise IdentityError("there is a key already", got=path, hint="Choose another file; nothing was changed.") from None
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """The key that `make_key` wrote."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__  # never the file's text
        raise IdentityError(
            "a signing key cannot be read", got=f"{path}: {reason}", hint="Make one: edgewise keys init."
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise IdentityError("a signing key is of another kind", got=f"{path}: {type(key).__name__}", allowed="Ed25519")
    return key


def public(key: Ed25519PrivateKey) -> str:
    """The public half, as 64 hex digits."""
    return key.public_key().public_bytes_raw().hex()


def sign(document: Document, keys: Mapping[str, Ed25519PrivateKey]) -> Envelope:
    """`document` in its canonical form, signed by each of `keys` under its id (`root` for the site's root)."""
    payload = canonical(document)
    return Envelope(payload, tuple(Signature(name, key.sign(DOMAIN + payload)) for name, key in keys.items()))


# Judging


class _Trusted(Struct, frozen=True, array_like=True):
    began: str  # the root that this memory began with
    root: str  # the root of now
    envelope: bytes


class _Assigned(Struct, frozen=True, array_like=True):
    by: frozenset[str]
    envelope: bytes


class _Floor(Struct, frozen=True, array_like=True):
    taught: dict[str, int]  # public key -> the floor that it signed


_Kept = TypeVar("_Kept", _Trusted, _Assigned, _Floor)


class Verifier:
    """A node's judgement of signed documents, by its site's root and what it remembers; each refusal is told to `on_refused`.

    Nothing changes in `memory` by a document that is refused, and the same document may come any number of times.
    """

    def __init__(
        self,
        root_public: str,
        node: str,
        memory: Memory,
        *,
        not_before: float = 0.0,
        on_refused: Callable[[str, str], None] | None = None,
    ) -> None:
        self.node = node
        self._began, self._memory, self._not_before, self._on_refused = root_public, memory, not_before, on_refused

    @property
    def known(self) -> Trust | None:
        """The trust in force; it may have ended since."""
        held = self._trusted()
        return document(unpack(held.envelope), Trust) if held is not None else None

    @property
    def assigned(self) -> Assignment | None:
        """The assignment accepted last, while a key that signed it is still trusted."""
        held = self._assigned()
        return document(unpack(held.envelope), Assignment) if held is not None else None

    def time(self, now: float) -> float:
        """The wall clock's `now`, or what the documents in force show to be later."""
        trust, assigned = self.known, self.assigned
        at = max(now, self._not_before)
        if trust is not None:
            at = max(at, _shown(trust, assigned, now))
        return max(at, assigned.issued) if assigned is not None else at

    def trust(self, envelope: Envelope | bytes, now: float) -> Trust:
        """Take a Trust: signed by the root, not older than the one known. A new root takes over with it, where it names one."""
        with self._telling():
            held = self._trusted()
            root = held.root if held is not None else self._began
            given, found = trusted(envelope, root, max(now, self._not_before))
            if held is not None:
                was = unpack(held.envelope)
                forward("trust", found.version, document(was, Trust).version, given.digest == was.digest)
            self._put("trust", _Trusted(self._began, found.root or root, pack(given)))
            return found

    def assignment(self, envelope: Envelope | bytes, now: float) -> Assignment:
        """Take an Assignment: signed by a channel's key, of now, not before the last one, for this node."""
        with self._telling():
            given, found = opened(envelope, Assignment)
            trust = self._needed()
            by = signers(given, trust.keys, "channel", found.channel)
            fresh(trust, "trust", max(now, self._not_before, trust.issued, found.issued))
            fresh(found, "assignment", max(now, self._not_before, _shown(trust, found, now)))
            held = self._assigned()
            if held is not None:
                was = unpack(held.envelope)
                forward("assignment", found.sequence, document(was, Assignment).sequence, given.digest == was.digest)
            if found.node != self.node:
                raise refuse("another node", "an assignment is for another node", got=found.node, allowed=self.node)
            self._put("assignment", _Assigned(by, pack(given)))
            return found

    def release(self, envelope: Envelope | bytes, now: float, held: Collection[str] = ()) -> Release:
        """Believe a Release: signed by enough publishers, named by the assignment in force, not below the model's floor.

        At an address that is `held` (in use, or proved and standing by) its end does not count: the way back stays open.
        """
        with self._telling():
            opened(envelope, Release)
            given, found, _ = published(envelope, self._needed(), self.time(now), held=held)
            assigned = self.assigned
            if assigned is None or assigned.releases.get(found.name) != given.digest:
                got = f"{found.name} {found.version} ({given.digest[:12]})"
                raise refuse("not assigned", "a release is not the one that this node is to run", got=got)
            fresh(assigned, "assignment", self.time(now))
            floor = self.floor(found.name)
            if found.version < floor:
                raise refuse("below the floor", f"{found.name} {found.version} is too old", allowed=f"{floor} or more")
            return found

    def taken(self, envelope: Envelope | bytes) -> None:
        """Raise the model's floor to that of a release which this node has found good: there is no way back below it.

        That is no part of `release`: while a version is on trial the node must be free to go back to the one before.
        """
        with self._telling():
            given, found = opened(envelope, Release)
            trust = self.known
            by = signers(given, trust.keys, "publisher", found.name) if trust is not None else ()
            held = self._get(f"floor/{found.name}", _Floor)
            taught = held.taught if held is not None else {}
            self._put(f"floor/{found.name}", _Floor(taught | {key: max(found.floor, taught.get(key, 1)) for key in by}))

    def floor(self, model: str) -> int:
        """The lowest version of `model` that this node takes: what as many trusted keys as a release needs have signed."""
        trust, held = self.known, self._get(f"floor/{model}", _Floor)
        if trust is None or held is None:
            return 1
        living = {key.public for key in trust.keys.values()}
        heights = sorted((height for key, height in held.taught.items() if key in living), reverse=True)
        return heights[trust.threshold - 1] if len(heights) >= trust.threshold else 1

    def _needed(self) -> Trust:
        trust = self.known
        if trust is None:
            raise refuse("no trust", "this node has no trust yet", hint="The server sends it with its first news.")
        return trust

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except IdentityError as error:
            if self._on_refused is not None:
                self._on_refused(kind(error), str(error))
            raise

    def _trusted(self) -> _Trusted | None:
        held = self._get("trust", _Trusted)
        return held if held is not None and held.began == self._began else None  # a node may be given to another site

    def _assigned(self) -> _Assigned | None:
        held, trust = self._get("assignment", _Assigned), self.known
        if held is None or trust is None or not held.by & {key.public for key in trust.keys.values()}:
            return None
        return held

    def _get(self, key: str, kind: type[_Kept]) -> _Kept | None:
        data = self._memory.get(key)
        try:
            return msgspec.msgpack.decode(data, type=kind) if data is not None else None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreError("what this node remembers of trust is damaged", got=f"{key}: {error}") from None

    def _put(self, key: str, value: Struct) -> None:
        data = msgspec.msgpack.encode(value)
        if self._memory.get(key) != data:
            self._memory.put(key, data)


def _shown(trust: Trust, assignment: Assignment | None, now: float) -> float:
    """The time that a trust shows to be past: none where an assignment is of the wall clock's hour, which is before it."""
    return 0.0 if assignment is not None and assignment.issued <= now + DRIFT else trust.issued
