"""Bearer tokens for people: `Authorization: Bearer ew1_…`, with a role and an end.

A token is 256 random bits, shown once when it is made. The folder's file `people` keeps its SHA-256 alone. A slow hash (scrypt,
Argon2) makes guessing dear where what is hashed can be guessed; 2²⁵⁶ equally likely values cannot, at any price of a guess, and a
slow hash would let anybody keep the server busy with wrong tokens. Comparison takes the same time whatever differs.

It does not limit how often somebody may try (limits.py), and it is no use without TLS, or loopback, around it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edgewise.core.errors import IdentityError
from edgewise.core.release import Digest, Name, Time

PEOPLE = "people"
PREFIX = "ew1_"
DAYS = 90.0
LARGEST = 1 << 20
AHEAD = 300.0  # s by which the clock of who made a token may be ahead
MayBe = Literal["viewer", "operator"]
_ASK = "Ask who runs the server: edgewise keys token NAME."


class Person(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose token it is and what it is good for: a viewer looks, an operator rolls out and reverts."""

    name: Name
    role: MayBe
    sha256: Digest
    issued: Time
    expires: Time

    def may(self, role: MayBe) -> bool:
        return role == self.role or self.role == "operator"


People = Annotated[tuple[Person, ...], Meta(max_length=1024)]


class Tokens:
    """Who shows which token; the file is read anew when it changes. `on_refused` is told kind and sentence, never the token."""

    def __init__(
        self, folder: Path, clock: Callable[[], float] = time.time, on_refused: Callable[[str, str], None] | None = None
    ) -> None:
        self._folder, self._clock, self._on_refused = folder, clock, on_refused
        self._seen: object = None
        self._people: tuple[Person, ...] = ()

    def check(self, header: str | None) -> Person | None:
        """The person whose token stands in an `Authorization` header; None where there is none that is good now."""
        try:
            return self.need(header, "viewer")
        except IdentityError:
            return None

    def need(self, header: str | None, role: MayBe) -> Person:
        """The person whose token stands in an `Authorization` header; IdentityError where it is not good now or for `role`."""
        try:
            return self._need(header, role)
        except IdentityError as error:
            if self._on_refused is not None:
                self._on_refused("refused token", str(error))
            raise

    def _need(self, header: str | None, role: MayBe) -> Person:
        kind, _, token = (header or "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise IdentityError("no token is shown", allowed="Authorization: Bearer ew1_…", hint=_ASK)
        shown, found = _hash(token[:256]), None
        for person in self._all():
            if hmac.compare_digest(person.sha256, shown):
                found = person
        if found is None:
            raise IdentityError("a token is not known here", hint=_ASK)
        if not found.issued - AHEAD <= self._clock() < found.expires:
            raise IdentityError(f"the token of {found.name} has ended, or the clock is wrong", hint=_ASK)
        if not found.may(role):
            raise IdentityError(f"{found.name} may not do this", got=found.role, allowed=role)
        return found

    def _all(self) -> tuple[Person, ...]:
        try:
            status = (self._folder / PEOPLE).stat()
            stamp: object = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            stamp = None
        if stamp != self._seen:
            self._people, self._seen = people(self._folder), stamp
        return self._people


def make_token(folder: Path, name: str, role: MayBe, now: float, days: float = DAYS) -> str:
    """A new token for `name`; it is told here and nowhere else. IdentityError where the name has one that has not ended."""
    known = [p for p in people(folder) if p.expires > now]
    if any(p.name == name for p in known):
        raise IdentityError(f"{name} has a token already", hint=f"Take it back first: edgewise keys token {name} --revoke.")
    token = PREFIX + secrets.token_urlsafe(32)
    made = Person(name, role, _hash(token), now, now + days * 86400)
    try:
        msgspec.convert(msgspec.to_builtins(made), Person)
    except msgspec.ValidationError as error:
        raise IdentityError(
            "there can be no such token", got=error, allowed="a name of letters, digits, dots and dashes"
        ) from None
    _write(folder, (*known, made))
    return token


def revoke_token(folder: Path, name: str) -> None:
    """Take a token back; it is refused from the next request on."""
    known = people(folder)
    if not any(p.name == name for p in known):
        raise IdentityError("there is no token of this name", got=name, allowed=", ".join(p.name for p in known) or "none")
    _write(folder, tuple(p for p in known if p.name != name))


def people(folder: Path) -> tuple[Person, ...]:
    """Everybody who has a token."""
    path = folder / PEOPLE
    try:
        if path.stat().st_size > LARGEST:
            raise IdentityError("the file of tokens is too large", got=path, allowed=f"{LARGEST} bytes")
        return msgspec.json.decode(path.read_bytes(), type=People)
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IdentityError("the file of tokens cannot be read", got=f"{path}: {error}") from None


def _write(folder: Path, known: tuple[Person, ...]) -> None:
    beside = folder / f".{PEOPLE}"
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(known), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / PEOPLE)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
