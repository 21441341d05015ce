"""The way to a version: which files are missing, and whether a delta to what the device holds is shorter. Pure.

A route is a way, never another version: what it gives must have exactly the hashes that the release signs, and where it does
not, the whole files come. So the choice is one of bytes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal

from msgspec import Struct

from edgewise.core.release import FileEntry, Release
from edgewise.node.delivery.files import path

CHUNK = 256 << 10  # bytes that are written, and made durable, at once
AT_ONCE = 2  # files that are on their way
LARGEST = 4 << 30  # bytes of a version
SPARE = 4 << 20  # bytes that are left to the rest of the device; where there is less, what is half fetched goes


class Fetch(Struct, frozen=True):
    """Ask `path` for the bytes from `at` up to `size`, and give them to `Updater.fetched`: in order, CHUNK at most at once."""

    sha256: str
    at: int
    size: int
    path: str


class Way(Struct, frozen=True):
    """`files` to fetch; by `base` (an address) they are one delta, else whole files. No files: everything is held."""

    files: tuple[FileEntry, ...] = ()
    base: str = ""

    @property
    def kind(self) -> Literal["delta", "whole"]:
        return "delta" if self.base else "whole"

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.files)


def missing(files: Mapping[str, FileEntry], has: Callable[[str], bool]) -> tuple[FileEntry, ...]:
    """The files that are not held, each once, smallest first."""
    found = {entry.sha256: entry for entry in files.values() if not has(entry.sha256)}
    return tuple(sorted(found.values(), key=lambda entry: (entry.size, entry.sha256)))


def way(
    release: Release, has: Callable[[str], bool], partial: Callable[[str], int], bases: Collection[str], spoilt: Collection[str]
) -> Way:
    """The shortest way: a route from one of `bases` (addresses that are held whole) that did not fail, or the whole files.

    What counts is what is still to come: bytes that are here already of a half-fetched file are not asked for again.
    """
    whole = missing(release.files, has)
    left = sum(entry.size - partial(entry.sha256) for entry in whole)
    best, least = Way(whole), left
    for route in release.routes:
        if not whole or route.base not in bases or route.base in spoilt:
            continue
        delta = route.delta
        rest = 0 if has(delta.sha256) else delta.size - partial(delta.sha256)
        if delta.size < sum(entry.size for entry in whole) and rest < least:
            best, least = Way((delta,), route.base), rest
    return best


def need(release: Release, by: Way, has: Callable[[str], bool], partial: Callable[[str], int]) -> int:
    """Bytes that the disk will still be asked for: what is to come and, by a delta, the whole files that it gives."""
    coming = sum(entry.size - partial(entry.sha256) for entry in by.files if not has(entry.sha256))
    return coming + (sum(entry.size for entry in missing(release.files, has)) if by.base else 0)


def short(needed: int, reserve: int, free: int | None) -> str:
    """Why a disk has no room for `needed` bytes; empty where it has, or does not say.

    >>> short(3_000_000, 1_000_000, 2_500_000)
    'There is no room for it on the disk: it takes 3.0 MB and leaves 1.0 MB to the outbox, and 2.5 MB are free.'
    """
    if not needed or free is None or needed + reserve <= free:
        return ""
    figures = f"it takes {needed / 1e6:.1f} MB and leaves {reserve / 1e6:.1f} MB to the outbox, and {free / 1e6:.1f} MB are free"
    return f"There is no room for it on the disk: {figures}."


def fetches(files: Collection[FileEntry], has: Callable[[str], bool], partial: Callable[[str], int]) -> list[Fetch]:
    """At most AT_ONCE, each from where the bytes that are safely here end."""
    wanted = [entry for entry in files if not has(entry.sha256)]
    return [Fetch(entry.sha256, partial(entry.sha256), entry.size, path(entry.sha256)) for entry in wanted[:AT_ONCE]]
