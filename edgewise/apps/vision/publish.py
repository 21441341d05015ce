"""Publishing: a bundle becomes a signed Release, with shorter ways from older ones, and what the server lacks is brought there.

The publisher's key signs here, on the operator's machine: a server holds no key that could make it, so one that is taken over
can hold a version back but never make one. It does not know who may publish; the server and every node judge that by the trust.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from edgewise.apps.vision.fleet import ReleaseRow
from edgewise.apps.vision.operator import Operator
from edgewise.core.artifact import MANIFEST, parse
from edgewise.core.errors import ConfigError, ModelError
from edgewise.core.release import Envelope, FileEntry, Release, Route
from edgewise.node.delivery.words import digest
from edgewise.runtime.bundle import bundle_files
from edgewise.runtime.parcel import parcel

DAY = 86400.0
MOST_DAYS = 3650.0
Say = Callable[[str], None]


class Published(Struct, frozen=True):
    """What became of a bundle: its release, what it would take by whole files and by each route, and what was sent (bytes)."""

    release: Release
    digest: str
    whole: int
    shorter: dict[str, int]
    sent: int
    sentence: str


def prepare(
    bundle: Path,
    old: Sequence[Path],
    version: int | None,
    known: Sequence[ReleaseRow],
    now: float,
    days: float,
    floor: int | None,
    about: str = "",
) -> tuple[Release, dict[str, bytes]]:
    """The release of a bundle, and every file that it names by its hash.

    Without a `version` it is the next after those that are known; without a `floor` the one of the newest known stays.
    """
    if not 0 < days <= MOST_DAYS:
        raise ConfigError("a release cannot live so long", got=f"{days:g} days", allowed=f"above 0, up to {MOST_DAYS:g}")
    files = bundle_files(bundle)
    return release_of(files, (_way(folder, files) for folder in old), version, known, now, days, floor, about)


def release_of(
    files: Mapping[str, bytes],
    routes: Iterable[tuple[str, bytes]],
    version: int | None,
    known: Sequence[ReleaseRow],
    now: float,
    days: float,
    floor: int | None,
    about: str = "",
) -> tuple[Release, dict[str, bytes]]:
    """The same of a bundle's `files` by name, with `routes`: the address that each begins at, and its delta."""
    name = parse(files[MANIFEST]).name
    before = [row for row in known if row.name == name]
    newest = max(before, key=lambda row: row.version, default=None)
    number = version if version is not None else (newest.version if newest else 0) + 1
    lowest = floor if floor is not None else (newest.floor if newest else 1)
    if not 1 <= lowest <= number:
        raise ConfigError("a floor is above the version itself", got=lowest, allowed=f"1 to {number}")
    entries = {file: FileEntry(digest(data), len(data)) for file, data in files.items()}
    shorter = list(routes)
    ways = tuple(Route(base, FileEntry(digest(delta), len(delta))) for base, delta in shorter)
    release = Release(name, number, entries[MANIFEST].sha256, entries, now, now + days * DAY, lowest, ways, about)
    return release, {digest(data): data for data in (*files.values(), *(delta for _, delta in shorter))}


def _way(folder: Path, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """The address of an old bundle, and the delta that leads from it to the new one."""
    base = bundle_files(folder)
    if base[MANIFEST] == files[MANIFEST]:
        raise ModelError("a route would lead from a bundle to itself", got=folder, allowed="an older bundle of the same model")
    return digest(base[MANIFEST]), parcel(base, files)


async def publish(
    operator: Operator,
    release: Release,
    blobs: Mapping[str, bytes],
    sign: Callable[[Release], Envelope],
    channel: str,
    own: bool,
    say: Say,
) -> Published:
    """Sign, bring the files that the server lacks, and publish; files first, so that no release names what is not there."""
    envelope = sign(release)
    sent = 0
    for sha, data in blobs.items():
        say(f"{sha[:8]}, {len(data):,} bytes")
        sent += await operator.upload(data)
    sentence = await operator.publish(envelope, channel, own)
    whole = sum({entry.sha256: entry.size for entry in release.files.values()}.values())
    shorter = {way.base: way.delta.size for way in release.routes}
    return Published(release, envelope.digest, whole, shorter, sent, sentence)
