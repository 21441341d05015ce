"""What must hold of a signed document by itself: size, form, canonical bytes, keys and roles, signatures, its end. No memory.

After TUF (theupdateframework.io, specification §5). A document that fails is an IdentityError whose sentence begins with one of
KINDS; the first check that fails is the one that is told. `signing.Verifier` adds what a node remembers.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edgewise.core.errors import ConfigError, IdentityError
from edgewise.core.release import (
    DOMAIN,
    LARGEST_ENVELOPE,
    Assignment,
    Document,
    Envelope,
    Key,
    Release,
    Trust,
    document,
    unpack,
)

ROOT = "root"
KINDS = (
    "too large",
    "unreadable",
    "not canonical",
    "no trust",
    "unknown key",
    "wrong role",
    "wrong name",
    "false signature",
    "too few signatures",
    "expired",
    "rolled back",
    "mixed",
    "another node",
    "not assigned",
    "below the floor",
)
Some = TypeVar("Some", Trust, Release, Assignment)


def refuse(kind: str, what: str, *, got: object = None, allowed: object = None, hint: str | None = None) -> IdentityError:
    """The error for a document that is not to be trusted; `kind` is one of KINDS and begins the sentence."""
    return IdentityError(f"{kind}: {what}", got=got, allowed=allowed, hint=hint)


def kind(error: IdentityError) -> str:
    """Which of KINDS an error of this file is ("" for others)."""
    head = error.what.partition(":")[0]
    return head if head in KINDS else ""


def opened(envelope: Envelope | bytes, want: type[Some]) -> tuple[Envelope, Some]:
    """Size, form, canonical bytes; nothing is believed yet."""
    word = want.__name__.lower()
    size = len(envelope) if isinstance(envelope, bytes) else len(envelope.payload)
    if size > LARGEST_ENVELOPE:
        raise refuse("too large", f"a {word} is too large", got=f"{size} bytes", allowed=f"{LARGEST_ENVELOPE}")
    try:
        given = unpack(envelope) if isinstance(envelope, bytes) else envelope
        if not 1 <= len(given.signatures) <= 16 or any(len(s.value) != 64 for s in given.signatures):
            raise ConfigError(f"a {word} has odd signatures", got=len(given.signatures), allowed="1 to 16 of 64 bytes")
        found = document(given, want)
    except ConfigError as error:
        said = "not canonical" if "canonical" in error.what else "unreadable"
        got = None if error.got is None else str(error.got)[:200]  # it may hold what was sent
        raise refuse(said, error.what, got=got, allowed=error.allowed) from None
    if found.issued > found.expires:
        raise refuse("unreadable", f"a {word} ends before it begins", got=f"{_day(found.issued)} to {_day(found.expires)}")
    if isinstance(found, Trust) and any(_of_root(name) for name in found.keys):
        raise refuse("unreadable", "a trust gives the root's name to another key", allowed="names that do not begin with root")
    return given, found


def signers(envelope: Envelope, keys: Mapping[str, Key], role: str, name: str) -> frozenset[str]:
    """Public keys of those who signed and may, as `role`, for `name`; a refusal where one is unknown, may not or did not.

    One key under two ids counts once. An envelope with a single false signature is refused whole.
    """
    valid: set[str] = set()
    for signature in envelope.signatures:
        key = keys.get(signature.key)
        if key is None:
            raise refuse("unknown key", "a signature is by a key that the trust does not name", got=signature.key)
        if key.role != role:
            raise refuse("wrong role", f"{signature.key} may not sign this", got=key.role, allowed=role)
        if key.names and name not in key.names:
            raise refuse("wrong name", f"{signature.key} may not sign for {name}", allowed=", ".join(key.names))
        if not _holds(key.public, signature.value, envelope.payload):
            raise refuse("false signature", f"the signature of {signature.key} does not hold", hint="The bytes were changed.")
        valid.add(key.public)
    return frozenset(valid)


def trusted(envelope: Envelope | bytes, root: str, now: float) -> tuple[Envelope, Trust]:
    """A Trust signed by `root` (and by its own new root, where it names one), not expired at `now`."""
    given, found = opened(envelope, Trust)
    need = {root, found.root or root}
    signatures = [s for s in given.signatures if _of_root(s.key)]
    if not signatures:
        raise refuse("unknown key", "a trust is not signed by the root", got=given.signatures[0].key, allowed=ROOT)
    signed = {key for key in need for s in signatures if _holds(key, s.value, given.payload)}
    if root not in signed:
        raise refuse("false signature", "a trust is not signed by this site's root", hint="It is another site's, or was changed.")
    if need - signed:
        raise refuse("too few signatures", "a trust names a new root that did not sign it", allowed="signatures of both roots")
    fresh(found, "trust", now)
    return given, found


def published(
    envelope: Envelope | bytes, trust: Trust, now: float, *, held: Collection[str] = ()
) -> tuple[Envelope, Release, frozenset[str]]:
    """A Release signed by enough publishers of its model, not expired at `now`: what a server asks of one that it takes in.

    The end of a release says until when it may be brought in: at one of the addresses `held` it is in already, and may be had
    again at any time.
    """
    given, found = opened(envelope, Release)
    by = signers(given, trust.keys, "publisher", found.name)
    if len(by) < trust.threshold:
        got = f"{len(by)} of distinct keys"
        raise refuse(
            "too few signatures", f"the release {found.name} {found.version}", got=got, allowed=f"{trust.threshold} or more"
        )
    fresh(trust, "trust", now)
    if found.address not in held:
        fresh(found, f"release {found.name} {found.version}", now)
    return given, found, by


def fresh(found: Document, name: str, now: float) -> None:
    """A refusal where a document has ended."""
    if now >= found.expires:
        raise refuse(
            "expired",
            f"the {name} has ended",
            got=f"{_day(found.expires)}, and it is {_day(now)} here",
            allowed="an end to come",
            hint="If that day is wrong, set the clock; else sign it anew.",
        )


def forward(word: str, got: int, known: int, same: bool) -> None:
    """A refusal where a number goes back, or comes a second time with other bytes."""
    if got < known:
        raise refuse("rolled back", f"the {word} is older than the one known", got=got, allowed=f"{known} or more")
    if got == known and not same:
        raise refuse("mixed", f"the {word} {got} is known with other bytes", allowed="one document a number")


def _holds(public: str, signature: bytes, payload: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, DOMAIN + payload)
    except (InvalidSignature, ValueError):
        return False
    return True


def _of_root(name: str) -> bool:
    return name.startswith(ROOT)


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
