"""Certificates of one site: an authority and the server's identity in one folder, and a folder a device to carry away."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgewise.core.errors import IdentityError
from edgewise.net.identity import AUTHORITY, Identity, issue, load_identity, make_authority

SERVER = "edge"


def init(folder: Path, hosts: tuple[str, ...] = ()) -> str:
    """Make the authority and the server's certificate; what was done, for a person."""
    if (folder / f"{AUTHORITY}.pem").exists():
        raise IdentityError(
            "there is an authority already",
            got=folder,
            hint="Another one would lock out every device of this one; use it, or another folder.",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    make_authority(folder)
    issue(folder, SERVER, "edge", hosts)
    return f"{folder} holds a new authority and the server's certificate. Add a device: edgewise keys issue NAME --keys {folder}"


def server_identity(folder: Path, hosts: tuple[str, ...] = ()) -> Identity:
    """The server's identity; made, with its authority, where the folder holds none."""
    if not (folder / f"{AUTHORITY}.pem").exists():
        init(folder, hosts)
    elif hosts:
        issue(folder, SERVER, "edge", hosts)
    return load_identity(folder, SERVER)


def issue_device(folder: Path, name: str) -> str:
    """Make a device's certificate and the folder that goes to the device; what to do next, for a person."""
    if not (folder / f"{AUTHORITY}.pem").exists():
        raise IdentityError(
            "there is no authority", got=folder, hint="Make one: edgewise keys init, or start edgewise serve once."
        )
    if name.casefold() == SERVER:
        raise IdentityError("a device cannot have the server's name", got=name, hint="Choose another name.")
    if (folder / "devices" / name).exists():
        raise IdentityError("there is a device of this name", got=name, hint="Choose another name, or delete its folder first.")
    identity = issue(folder, name, "device")
    carry = folder / "devices" / name
    carry.mkdir(parents=True, mode=0o700)
    for file in (identity.certificate, identity.authority):
        shutil.copy(file, carry / file.name)
    identity.key.replace(carry / identity.key.name)
    return f"Copy {carry} to the device and call there: edgewise run --source … --server HOST --keys {carry.name}"


def device_identity(folder: Path, name: str | None) -> Identity:
    """The identity in a device's folder; its name is that of the only certificate there unless `name` says which."""
    if not folder.is_dir():
        raise IdentityError(
            "there are no keys here", got=folder, hint="On the server: edgewise keys issue NAME; copy the folder that it names."
        )
    found = sorted(p.stem for p in folder.glob("*.pem") if p.stem not in (AUTHORITY, SERVER) and p.with_suffix(".key").exists())
    chosen = name or (found[0] if len(found) == 1 else None)
    if chosen is None:
        raise IdentityError(
            "it is not clear which device this is",
            got=", ".join(found) or "no certificate",
            allowed="one",
            hint="Say --name NAME.",
        )
    return load_identity(folder, chosen)
