"""A site's signing keys and its Trust, in the keys' folder. Which key may do what is said in `edgewise.core.release`.

    root.ed25519         signs the Trust and nothing else; may be kept elsewhere (`--root`) and brought when it is needed
    root.old.ed25519     the root before, which signs beside it, so that nodes that were away learn of the new one
    root.public          what nodes are given to begin with: 64 hex digits
    publisher.ed25519    signs releases; belongs on the machine of whoever publishes
    channel.ed25519      signs assignments; belongs on the edge server
    adapter.ed25519      signs releases of the models that this server adapts, and of no others; made where it is asked to adapt
    trust.envelope       the Trust of now, signed

A node that was away while the root changed twice must be given the new `root.public` by hand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from edgewise.core.errors import ConfigError, IdentityError
from edgewise.core.release import Assignment, Envelope, Key, Release, Trust, document, pack, unpack
from edgewise.net.certificates import DAY, standing
from edgewise.net.revocation import issued, read_revoked
from edgewise.net.signing import load_key, make_key, public, sign

ROOT, OLD, PUBLISHER, CHANNEL, ADAPTER = "root", "root.old", "publisher", "channel", "adapter"
ROOT_PUBLIC, ENVELOPE = "root.public", "trust.envelope"
TRUST_DAYS = 400.0
Change = Callable[[Trust], Trust]


def begin(folder: Path, now: float) -> None:
    """Make the signing keys and the first Trust, where the folder has none yet."""
    if (folder / ENVELOPE).exists():
        return
    for name in (ROOT, PUBLISHER, CHANNEL):
        if not key_path(folder, name).exists():
            make_key(key_path(folder, name))
    keys = {
        PUBLISHER: Key(public(load_key(key_path(folder, PUBLISHER))), "publisher"),
        CHANNEL: Key(public(load_key(key_path(folder, CHANNEL))), "channel"),
    }
    _write(folder, Trust(1, now, now + TRUST_DAYS * DAY, keys), {ROOT: load_key(key_path(folder, ROOT))})


def read(folder: Path) -> Trust:
    """The Trust of now."""
    return document(unpack(envelope(folder)), Trust)


def envelope(folder: Path) -> bytes:
    """The same, as nodes are sent it; IdentityError where there is none."""
    try:
        return (folder / ENVELOPE).read_bytes()
    except OSError as error:
        raise IdentityError("there is no trust here", got=error, hint=f"Make it: edgewise keys init --keys {folder}") from None


def root_public(folder: Path) -> str:
    """The root that nodes begin with; IdentityError where the folder does not say."""
    try:
        found = (folder / ROOT_PUBLIC).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        hint = "Copy root.public from the server's keys to this folder."
        raise IdentityError("the site's root is not known here", got=error, hint=hint) from None
    if len(found) != 64 or not set(found) <= set("0123456789abcdef"):
        raise IdentityError("the site's root cannot be read", got=f"{folder / ROOT_PUBLIC}", allowed="64 hex digits")
    return found


def renew(folder: Path, now: float, change: Change = lambda trust: trust, root: Path | None = None) -> Trust:
    """The next version of the Trust, changed and signed anew, with all certificates that were taken back."""
    trust = change(read(folder))
    keys = {ROOT: load_key(root or key_path(folder, ROOT))}
    if key_path(folder, OLD).exists():
        keys = {ROOT: load_key(key_path(folder, OLD)), "root.2": keys[ROOT]}
        trust = replace(trust, root=public(keys["root.2"]))
    ends = now + TRUST_DAYS * DAY
    trust = replace(trust, version=trust.version + 1, issued=now, expires=ends, revoked=_void(folder, trust, now))
    return _write(folder, trust, keys)


def keep(folder: Path, now: float) -> bytes:
    """The Trust for nodes; renewed where less than a third of its life is left and the root is at hand. For a server, daily.

    So is one of a day to come, which a clock that was ahead has signed.
    """
    trust = read(folder)
    due = trust.expires - now < TRUST_DAYS * DAY / 3 or trust.issued > now + DAY
    if due and key_path(folder, ROOT).exists():
        renew(folder, now)
    return envelope(folder)


def rotate(folder: Path, now: float, root: Path | None = None) -> Trust:
    """Make a new root in the folder; the old one signs beside it from now on, and alone is worth nothing to who saw this."""
    old = root or key_path(folder, ROOT)
    load_key(old)
    fresh = key_path(folder, "root.new")
    fresh.unlink(missing_ok=True)  # of a try that was cut short
    make_key(fresh)
    _save(key_path(folder, OLD), old.read_bytes())
    fresh.replace(key_path(folder, ROOT))
    return renew(folder, now)


def add_publisher(name: str, key: str, models: Sequence[str] = ()) -> Change:
    """One more key that may sign releases: of `models`, or of all where none are named."""

    def change(trust: Trust) -> Trust:
        if name in trust.keys or name.startswith(ROOT):
            raise ConfigError("a key cannot have this name", got=name, allowed=f"another than {', '.join(trust.keys)}, {ROOT}…")
        return replace(trust, keys={**trust.keys, name: Key(key, "publisher", tuple(models))})

    return change


def remove_key(name: str) -> Change:
    def change(trust: Trust) -> Trust:
        if name not in trust.keys:
            raise ConfigError("the trust has no such key", got=name, allowed=", ".join(trust.keys))
        return replace(trust, keys={n: k for n, k in trust.keys.items() if n != name})

    return change


def need(threshold: int) -> Change:
    return lambda trust: replace(trust, threshold=threshold)


def together(changes: Sequence[Change]) -> Change:
    """One change after the other, in one version."""
    return lambda trust: reduce(lambda done, change: change(done), changes, trust)


def _void(folder: Path, trust: Trust, now: float) -> tuple[str, ...]:
    """Serial numbers that must be told: those taken back whose certificates have not ended anyway."""
    over = {of.serial for of in issued(folder) if standing(of, now) == "ended"}
    return tuple(sorted({*trust.revoked, *read_revoked(folder)} - over))


def assigner(folder: Path) -> Callable[[Assignment], Envelope]:
    """What signs assignments with the channel's key."""
    key = load_key(key_path(folder, CHANNEL))
    return lambda assignment: sign(assignment, {CHANNEL: key})


def sign_release(folder: Path, release: Release, beside: Sequence[Path] = ()) -> Envelope:
    """A release, signed with the publisher's key of the folder and those in the files `beside`, each under its id in the Trust.

    Beside others the folder's own key may be missing, or one that the Trust names no more. Without a Trust in the folder, as on
    the machine of a publisher alone, an id is the file's name without its ending.
    """
    trust = read(folder) if (folder / ENVELOPE).exists() else None
    own = key_path(folder, PUBLISHER)
    keys: dict[str, Ed25519PrivateKey] = {}
    for path in (own, *beside):
        if path == own and beside and not own.exists():
            continue
        key = load_key(path)
        name = path.stem if trust is None else _publisher(trust, public(key), release.name)
        if name:
            keys[name] = key
        elif path != own or not beside:
            hint = (
                f"Let the root name it: edgewise keys trust --add NAME={public(key)}; then bring the new {ENVELOPE} to {folder}."
            )
            raise IdentityError(f"the trust lets no such key sign {release.name}", got=path, hint=hint)
    return sign(release, keys)


def _publisher(trust: Trust, key: str, model: str) -> str:
    """The id of a publisher of a model by its public key; "" where there is none."""
    ids = (
        name for name, of in trust.keys.items() if of.public == key and of.role == "publisher" and model in (of.names or (model,))
    )
    return next(ids, "")


def admit_adapter(folder: Path, models: Sequence[str], now: float) -> bool:
    """Let a key of this server sign releases of `models`, and of nothing else; whether the Trust was changed for it.

    The key is made where there is none. IdentityError where the Trust would have to change and the root is not here: its hint
    says what to call where it is. IdentityError too where a release needs more than one signature, for a server has one key.
    """
    file, wanted = key_path(folder, ADAPTER), tuple(sorted(models))
    key = load_key(file) if file.exists() else make_key(file)
    said = read(folder)
    if said.threshold > 1:
        raise IdentityError(
            "a server cannot release what it learned",
            got=f"a trust by which a release needs {said.threshold} signatures",
            allowed="1",
            hint="Serve without --adapt, or say edgewise keys trust --threshold 1.",
        )
    if said.keys.get(ADAPTER) == Key(public(key), "publisher", wanted):
        return False
    if not key_path(folder, ROOT).exists():
        words = f"--remove {ADAPTER} " if ADAPTER in said.keys else ""
        raise IdentityError(
            f"the trust does not let this server release {', '.join(wanted)}",
            got="a root that is kept elsewhere",
            hint=f"Call there: edgewise keys trust {words}--add {ADAPTER}={public(key)}:{','.join(wanted)} --root FILE",
        )
    change = add_publisher(ADAPTER, public(key), wanted)
    renew(folder, now, together([remove_key(ADAPTER), change]) if ADAPTER in said.keys else change)
    return True


def sign_adapted(folder: Path, release: Release) -> Envelope:
    """A release, signed with the key of `admit_adapter`; IdentityError where the Trust lets it not sign this model."""
    key = load_key(key_path(folder, ADAPTER))
    if not _publisher(read(folder), public(key), release.name):
        raise IdentityError(
            f"the trust does not let this server release {release.name}", got=ADAPTER, hint="Serve with --adapt again."
        )
    return sign(release, {ADAPTER: key})


def key_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.ed25519"


def _write(folder: Path, trust: Trust, keys: Mapping[str, Ed25519PrivateKey]) -> Trust:
    signed = sign(trust, keys)
    document(signed, Trust)  # what a node would refuse is not written
    newest = list(keys.values())[-1]
    _save(folder / ENVELOPE, pack(signed))
    _save(folder / ROOT_PUBLIC, public(newest).encode() + b"\n")
    return trust


def _save(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
