"""Certificates of one site: the authority, the server's and an operator's in one folder, and a folder a node to carry away.

The folder's other half, the signing keys and the trust, is in `trust.py`.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from msgspec import Struct

from edgewise.apps.vision import trust
from edgewise.core.errors import IdentityError
from edgewise.net.certificates import NODE_DAYS, Facts, Role, Standing, standing
from edgewise.net.identity import AUTHORITY, Identity, issue, load_identity, make_authority
from edgewise.net.renewal import renew_own
from edgewise.net.revocation import issued, read_revoked, revoke

SERVER, OPERATOR = "edge", "operator"
OURS = (AUTHORITY, SERVER, OPERATOR)


class Given(Struct, frozen=True):
    """A certificate that was given, and how it stands."""

    of: Facts
    standing: Standing
    revoked: bool


def init(folder: Path, hosts: tuple[str, ...] = (), now: float | None = None) -> str:
    """Make the authority, the server's and the operator's certificates, the signing keys and the first trust; what was done."""
    if (folder / f"{AUTHORITY}.pem").exists():
        raise IdentityError(
            "there is an authority already",
            got=folder,
            hint="Another one would lock out every device of this one; use it, or another folder.",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    make_authority(folder, now=now)
    issue(folder, SERVER, "edge", hosts, now=now)
    issue(folder, OPERATOR, "operator", now=now)
    trust.begin(folder, _now(now))
    return (
        f"{folder} holds a new authority, the certificates of the server and of an operator, and the keys that sign models. "
        f"Add a device: edgewise keys issue NAME --keys {folder}"
    )


def server_identity(folder: Path, hosts: tuple[str, ...] = (), now: float | None = None) -> Identity:
    """The server's identity, renewed where it is due; made, with all else, where the folder holds none."""
    if not (folder / f"{AUTHORITY}.pem").exists():
        init(folder, hosts, now)
    elif hosts:
        issue(folder, SERVER, "edge", hosts, now=now)
    if (folder / f"{AUTHORITY}.key").exists():  # a folder of an earlier version is completed
        trust.begin(folder, _now(now))
        if not (folder / f"{OPERATOR}.pem").exists():
            issue(folder, OPERATOR, "operator", now=now)
    for name in (SERVER, OPERATOR):
        if (folder / f"{name}.pem").exists():
            renew_own(folder, load_identity(folder, name), _now(now))
    return load_identity(folder, SERVER)


def operator_identity(folder: Path, name: str | None = None) -> Identity:
    """An operator's identity: that of `keys init`, or the only one in a folder that was carried away."""
    return device_identity(folder, name or (OPERATOR if (folder / f"{OPERATOR}.pem").exists() else None))


def issue_node(
    folder: Path, name: str, role: Role = "device", days: float = NODE_DAYS, hosts: tuple[str, ...] = (), now: float | None = None
) -> str:
    """Make a node's certificate and the folder that goes to the node; what to do next, for a person."""
    if not (folder / f"{AUTHORITY}.pem").exists():
        raise IdentityError(
            "there is no authority", got=folder, hint="Make one: edgewise keys init, or start edgewise serve once."
        )
    if name.casefold() in OURS:
        raise IdentityError("a node cannot have this name", got=name, allowed=f"another than {', '.join(OURS)}")
    if not days > 0:
        raise IdentityError("a certificate cannot live so long", got=f"{days:g} days", allowed="more than 0")
    holders = {g.of.node.casefold() for g in given(folder, now) if not g.revoked and g.standing != "ended"}
    if name.casefold() in holders or any((folder / f"{r}s" / name).exists() for r in ("device", "edge", "operator", "federator")):
        raise IdentityError(
            f"there is a {'device' if role == 'device' else 'node'} of this name",
            got=name,
            hint=f"Choose another name, or take the old one back: edgewise keys revoke {name}",
        )
    identity = issue(folder, name, role, hosts, days, now)
    carry = folder / f"{role}s" / name
    carry.mkdir(parents=True, mode=0o700)
    for file in (identity.certificate, identity.authority, folder / trust.ROOT_PUBLIC):
        if file.exists():
            shutil.copy(file, carry / file.name)
    identity.key.replace(carry / identity.key.name)
    if role == "device":
        return f"Copy {carry} to the device and call there: edgewise run --source … --server HOST --keys {carry.name}"
    return f"Copy {carry} to where {name} is, and say --keys {carry.name} there. It ends in {days:g} days unless it is renewed."


def revoke_node(folder: Path, name: str, root: Path | None = None, now: float | None = None) -> str:
    """Take back all certificates of a node, and say so in the trust; what was done, for a person."""
    serials = revoke(folder, name, _now(now))
    for role in ("device", "edge", "operator", "federator"):
        shutil.rmtree(folder / f"{role}s" / name, ignore_errors=True)  # a copy that was left here opens nothing now
    number = "its certificate is" if len(serials) == 1 else f"{len(serials)} certificates are"
    done = f"{name}: {number} taken back; a running server cuts it within a second."
    try:
        version = trust.renew(folder, _now(now), root=root).version
    except IdentityError as error:
        return (
            f"{done} The trust was not changed, since its root is not here ({error}) Say --root FILE with `edgewise keys trust`."
        )
    return f"{done} The trust is now version {version}."


def given(folder: Path, now: float | None = None) -> list[Given]:
    """Every certificate that was given, and how each stands."""
    void = read_revoked(folder)
    return [Given(of, standing(of, _now(now)), of.serial in void) for of in issued(folder)]


def device_identity(folder: Path, name: str | None) -> Identity:
    """The identity in a node's folder; its name is that of the only certificate there unless `name` says which."""
    if not folder.is_dir():
        raise IdentityError(
            "there are no keys here",
            got=folder,
            hint="On the server: edgewise keys init makes a site's, edgewise keys issue NAME a node's, in a folder to copy.",
        )
    found = sorted(p.stem for p in folder.glob("[!.]*.pem") if p.stem not in OURS and p.with_suffix(".key").exists())
    chosen = name or (found[0] if len(found) == 1 else None)
    if chosen is None:
        raise IdentityError(
            "it is not clear which device this is",
            got=", ".join(found) or "no certificate",
            allowed="one",
            hint="Say --name NAME.",
        )
    return load_identity(folder, chosen)


def _now(now: float | None) -> float:
    return time.time() if now is None else now
