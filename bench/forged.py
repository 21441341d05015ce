"""Forged, expired, replayed and misplaced things as a table: each case is an attempt that must end in a sentence and an audit.

`cases()` is the whole table: signed documents here, certificates, requests and tokens in `impostors.py`. The tests and the
benchmark of faults walk it. An attempt raises an EdgewiseError where it was refused, and returns where somebody got in.

What is forged is signed with real keys wherever a forger could have one: a check that only ever sees noise proves little.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgewise.core.release import (
    DOMAIN,
    Assignment,
    Document,
    Envelope,
    FileEntry,
    Key,
    Release,
    Signature,
    Trust,
    canonical,
)
from edgewise.net.signing import Forgetful, Verifier, public, sign

NOW, DAY = 1.8e9, 86400.0
Entry = tuple[str, str]  # kind and sentence


@dataclass(frozen=True)
class Case:
    """One forgery: what it is, the attempt, and the audit that it must have left an entry in."""

    name: str
    attempt: Callable[[], None]
    audit: list[Entry] = field(repr=False)


def cases() -> list[Case]:
    """The table. Its files are in a temporary folder that lasts as long as the list."""
    from bench.impostors import impostors

    folder = Path(tempfile.mkdtemp(prefix="edgewise-forged-"))
    table = Table([*documents(), *impostors(folder)])
    weakref.finalize(table, shutil.rmtree, folder, ignore_errors=True)
    return table


class Table(list[Case]):
    """A list that can be watched for its end."""


class Site:
    """A root, publishers, channels, and a node that has run version 7 (floor 6) by assignment 10 under trust 5."""

    def __init__(self) -> None:
        names = ("root", "alice", "bob", "carol", "gone", "yard", "gate", "mallory", "next")
        self.keys = {name: Ed25519PrivateKey.generate() for name in names}
        self.audit: list[Entry] = []
        self.now = NOW
        self.node = self.fresh()
        self.trusted = self.trust()
        self.running = self.release()
        self.assigned = self.assignment(releases={"vehicles": self.signed(self.running, "alice", "bob").digest})
        self.node.trust(self.signed(self.trust(version=4, keys=self.roles(gone="publisher")), "root"), NOW)
        self.node.trust(self.signed(self.trusted, "root"), NOW)
        self.node.assignment(self.signed(self.assigned, "yard"), NOW)
        self.node.taken(self.signed(self.running, "alice", "bob"))

    def fresh(self) -> Verifier:
        """A node of this site that knows nothing yet."""
        tell = lambda kind, sentence: self.audit.append((kind, sentence))  # noqa: E731
        return Verifier(public(self.keys["root"]), "cam-1", Forgetful(), on_refused=tell)

    def roles(self, **more: Any) -> dict[str, Key]:
        keys = {n: Key(public(self.keys[n]), "publisher", ("vehicles",)) for n in ("alice", "bob")}
        keys |= {"carol": Key(public(self.keys["carol"]), "publisher", ("persons",))}
        keys |= {"alias": Key(public(self.keys["alice"]), "publisher", ("vehicles",))}
        keys |= {n: Key(public(self.keys[n]), "channel", (n,)) for n in ("yard", "gate")}
        return keys | {name: Key(public(self.keys[name]), role) for name, role in more.items()}

    def trust(self, **changed: Any) -> Trust:
        return msgspec.structs.replace(Trust(5, NOW, NOW + 400 * DAY, self.roles(), threshold=2), **changed)

    def release(self, **changed: Any) -> Release:
        files = {"manifest.json": FileEntry("a" * 64, 10)}
        whole = Release("vehicles", 7, "a" * 64, files, NOW, NOW + 30 * DAY, floor=6)
        return msgspec.structs.replace(whole, **changed)

    def assignment(self, **changed: Any) -> Assignment:
        return msgspec.structs.replace(Assignment("cam-1", "yard", 10, {"vehicles": "a" * 64}, NOW, NOW + DAY), **changed)

    def signed(self, document: Document, *by: str) -> Envelope:
        return sign(document, {name: self.keys[{"alias": "alice"}.get(name, name)] for name in by})

    def raw(self, payload: bytes, *by: str, domain: bytes = DOMAIN) -> Envelope:
        """Bytes of any form, truly signed."""
        return Envelope(payload, tuple(Signature(n, self.keys[n].sign(domain + payload)) for n in by))

    def altered(self, document: Document, *by: str, **changed: Any) -> Envelope:
        """A document with fields that its type would not let through, in canonical form and truly signed."""
        return self.raw(_dump({**json.loads(canonical(document)), **changed}), *by)

    # The ways in

    def take_trust(self, envelope: Envelope | bytes) -> None:
        self.node.trust(envelope, self.now)

    def take_assignment(self, envelope: Envelope | bytes) -> None:
        self.node.assignment(envelope, self.now)

    def take_release(self, envelope: Envelope | bytes) -> None:
        self.node.release(envelope, self.now)

    def take_assigned(self, envelope: Envelope) -> None:
        """With the help of a thief of the channel's key, who assigns whatever it is."""
        whole = self.assignment(sequence=11, releases={"vehicles": envelope.digest})
        self.node.assignment(self.signed(whole, "yard"), self.now)
        self.node.release(envelope, self.now)


Attempt = Callable[[Site], None]


def documents() -> list[Case]:
    """Forged trusts, releases and assignments; each case has a site of its own."""
    return [_case(f"{group}: {name}", attempt) for group, table in _groups().items() for name, attempt in table.items()]


def _case(name: str, attempt: Attempt) -> Case:
    audit: list[Entry] = []

    def run() -> None:
        site = Site()
        site.audit = audit  # a fresh node tells whatever list the site has
        attempt(site)

    return Case(name, run, audit)


def _groups() -> Mapping[str, Mapping[str, Attempt]]:
    from bench.forgeries import FORM, KEYS, NUMBERS, TIME

    return {"form": FORM, "keys": KEYS, "time": TIME, "numbers": NUMBERS}


def flipped(data: bytes, at: int = -1) -> bytes:
    """One bit of a byte turned over (the middle one unless said)."""
    at = len(data) // 2 if at < 0 else at
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def resigned(envelope: Envelope, **changed: Any) -> Envelope:
    return msgspec.structs.replace(envelope, **changed)


def _dump(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
