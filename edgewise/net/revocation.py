"""What an authority has given and what it took back: two files in the keys' folder.

    issued     one line of JSON a certificate: node, role, serial number, its life. Appended to, never rewritten
    revoked    one line a certificate that is void before its end: serial number (hex), node, day

A name is revoked by taking back every certificate that was ever issued for it, renewed ones too. A server reads `revoked` anew
whenever the file changes (`Revocations`); what cannot be read leaves the list as it was, and is said.

It does not cut connections: the Listener does.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from edgewise.core.errors import IdentityError
from edgewise.net.certificates import GRACE, Facts

log = logging.getLogger(__name__)
ISSUED, REVOKED = "issued", "revoked"
LARGEST = 4 << 20
_LINE = re.compile(r"([0-9a-f]{1,64})(?: .{0,200})?")


class Revocations:
    """Called, it gives the serial numbers that are void now."""

    def __init__(self, folder: Path) -> None:
        self._path, self._seen = folder / REVOKED, _stamp(folder / REVOKED)
        self._serials = read_revoked(folder)

    def __call__(self) -> frozenset[str]:
        stamp = _stamp(self._path)
        if stamp != self._seen:
            self._seen = stamp
            try:
                self._serials = read_revoked(self._path.parent)
            except IdentityError as error:
                log.error("the list of before stays in force: %s", error)
        return self._serials


def record(folder: Path, of: Facts) -> None:
    """Write down that a certificate was given."""
    line = msgspec.json.encode(of) + b"\n"
    handle = os.open(folder / ISSUED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)


def issued(folder: Path) -> list[Facts]:
    """Every certificate that was given, oldest first."""
    try:
        lines = (folder / ISSUED).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(msgspec.json.decode(line, type=Facts))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            if number == len(lines):
                break  # a power cut in the last line: its certificate was never written
            raise IdentityError(
                "the record of certificates is damaged", got=f"{folder / ISSUED}, line {number}: {error}"
            ) from None
    return found


def revoke(folder: Path, node: str, now: float) -> tuple[str, ...]:
    """Take back every certificate of `node` that could still be used; their serial numbers. IdentityError where there is none."""
    void = read_revoked(folder)
    living = [of for of in issued(folder) if of.node == node and of.ends + GRACE > now]
    fresh = [of for of in living if of.serial not in void]
    if not fresh:
        got = f"{node}, whose certificates are revoked already" if living else node
        raise IdentityError("there is no certificate to take back", got=got, hint="`edgewise keys list` shows who has one.")
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    _append(folder, [f"{of.serial} {of.node} {day}" for of in fresh])
    return tuple(of.serial for of in fresh)


def read_revoked(folder: Path) -> frozenset[str]:
    """The serial numbers in the list; none where there is no list."""
    path = folder / REVOKED
    try:
        if path.stat().st_size > LARGEST:
            raise IdentityError("the list of revoked certificates is too large", got=path, allowed=f"{LARGEST} bytes")
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return frozenset()
    except (OSError, UnicodeDecodeError) as error:
        raise IdentityError("the list of revoked certificates cannot be read", got=error) from None
    return frozenset(_serial(path, number, line) for number, line in enumerate(lines, 1) if line.strip() and line[0] != "#")


def _serial(path: Path, number: int, line: str) -> str:
    found = _LINE.fullmatch(line)
    if not found:
        got = f"{path}, line {number}"
        raise IdentityError("the list of revoked certificates is damaged", got=got, allowed="a serial number (hex) and a name")
    return found[1]


def _append(folder: Path, lines: Iterable[str]) -> None:
    path = folder / REVOKED
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    beside = folder / f".{REVOKED}"
    with beside.open("w", encoding="utf-8") as file:
        file.write("".join([before, *(f"{line}\n" for line in lines)]))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
