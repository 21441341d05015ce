"""What is signed: who may sign (Trust), a version of a model (Release), and which version a node is to run (Assignment).

After the roles of TUF (theupdateframework.io, the specification's §2): Trust is its root, Release its targets, and an
Assignment its snapshot and timestamp in one, for one node: it names every model's release together, counts up and expires soon.

    Trust       signed by the site's root key        who may publish which models, who may assign, which certificates are void
    Release     signed by a publisher's key          content address, every file with hash and size, shorter ways there
    Assignment  signed by an edge server's key       node, sequence, model → release; good for hours

A document travels as an Envelope: its canonical bytes, and signatures over them. These are values; `edgewise.net.signing` signs
and verifies, and remembers what a node must not go back behind.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from edgewise.core.errors import ConfigError

Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
FileName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")]  # no separator: a path cannot leave its folder
Time = Annotated[float, Meta(ge=0, le=4e10)]  # s since 1970
Number = Annotated[int, Meta(ge=1, le=2**53)]
Size = Annotated[int, Meta(ge=0, le=1 << 40)]
DOMAIN = b"edgewise signed document 1\n"  # in front of what is signed: such a signature is good for nothing else
LARGEST_ENVELOPE = 256 << 10


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A file by what is in it."""

    sha256: Digest
    size: Size


class Route(Struct, frozen=True, forbid_unknown_fields=True):
    """A shorter way to a version for a node that holds `base` (a content address): a delta in one file."""

    base: Digest
    delta: FileEntry


class Release(Struct, frozen=True, forbid_unknown_fields=True, tag="release"):
    """Version `version` of model `name`: the artifact at `address`, whose canonical manifest is the file `manifest.json`.

    Who has taken this release never takes a version below `floor` again. A route gives the same bytes as the files.
    """

    name: Name
    version: Number
    address: Digest
    files: Annotated[dict[FileName, FileEntry], Meta(min_length=1, max_length=64)]
    issued: Time
    expires: Time
    floor: Number = 1
    routes: Annotated[tuple[Route, ...], Meta(max_length=64)] = ()
    about: Annotated[str, Meta(max_length=500)] = ""


class Key(Struct, frozen=True, forbid_unknown_fields=True):
    """An Ed25519 public key (64 hex digits), what it may sign, and for which models (publisher) or channels; empty for all."""

    public: Digest
    role: Literal["publisher", "channel"]
    names: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()


class Trust(Struct, frozen=True, forbid_unknown_fields=True, tag="trust"):
    """The site's rules: keys by id, `threshold` of publishers that a release needs, serial numbers (hex) of void certificates.

    `root` is the root's public key from this version on, where it is another than before: then both of them have signed.
    """

    version: Number
    issued: Time
    expires: Time
    keys: Annotated[dict[Name, Key], Meta(max_length=64)]
    threshold: Annotated[int, Meta(ge=1, le=8)] = 1
    revoked: Annotated[tuple[str, ...], Meta(max_length=4096)] = ()
    root: Digest | None = None


class Assignment(Struct, frozen=True, forbid_unknown_fields=True, tag="assignment"):
    """What `node` is to run: model → digest of its release. `sequence` counts up for each node; a lower one is refused.

    `kept` names models whose release the server has found good on this node: its trial is over. (That a release is assigned once
    more says nothing: an assignment is renewed before it ends.)
    """

    node: Name
    channel: Name
    sequence: Number
    releases: Annotated[dict[Name, Digest], Meta(max_length=16)]
    issued: Time
    expires: Time
    kept: Annotated[tuple[Name, ...], Meta(max_length=16)] = ()


Document = Trust | Release | Assignment
Some = TypeVar("Some", Trust, Release, Assignment)


class Signature(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """By the key of this id (`root` for the site's root key); 64 bytes of Ed25519 over DOMAIN and the payload."""

    key: Name
    value: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Envelope(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A document's canonical bytes and signatures over exactly these bytes."""

    payload: Annotated[bytes, Meta(min_length=2, max_length=LARGEST_ENVELOPE)]
    signatures: Annotated[tuple[Signature, ...], Meta(min_length=1, max_length=16)]

    @property
    def digest(self) -> str:
        """What an Assignment calls the document: SHA-256 of its payload, whoever signed it."""
        return hashlib.sha256(self.payload).hexdigest()


def canonical(document: Document) -> bytes:
    """The one way to write a document: JSON with sorted keys and no space."""
    return msgspec.json.encode(document, order="sorted")


def document(envelope: Envelope, kind: type[Some]) -> Some:
    """The document of type `kind` in an envelope, unverified; ConfigError where it is none, or not in its canonical form."""
    try:
        found = msgspec.json.decode(envelope.payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"a signed document is no {kind.__name__.lower()}", got=error) from None
    if canonical(found) != envelope.payload:
        raise ConfigError("a signed document is not in its canonical form", hint="Sign it with edgewise.")
    return found


def pack(envelope: Envelope) -> bytes:
    return msgspec.msgpack.encode(envelope)


def unpack(data: bytes | memoryview) -> Envelope:
    """The envelope in `data`, unverified; ConfigError where there is none."""
    if len(data) > LARGEST_ENVELOPE:
        raise ConfigError("an envelope is too large", got=f"{len(data)} bytes", allowed=f"{LARGEST_ENVELOPE}")
    try:
        return msgspec.msgpack.decode(data, type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError("an envelope cannot be read", got=error) from None
