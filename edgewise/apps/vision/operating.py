"""What the verbs of delivery do: read words of a person, ask the server as the operator of a keys' folder, give back values.

Everything that a person can get wrong ends here as a sentence, before the server is asked where that can be.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.live import Live

from edgewise.apps.vision.fleet import Fleet, ReleaseRow
from edgewise.apps.vision.keys import operator_identity
from edgewise.apps.vision.operator import Operator
from edgewise.apps.vision.publish import Published, prepare, publish
from edgewise.apps.vision.screens import fleet_screen
from edgewise.apps.vision.trust import sign_release
from edgewise.core.errors import ConfigError
from edgewise.core.rollout import Plan
from edgewise.node.delivery.audit import Entry
from edgewise.node.delivery.guard import parse

Kind = TypeVar("Kind")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SPANS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST = 1e6  # s


def publish_bundle(
    bundle: Path,
    channel: str,
    keys: Path,
    server: str,
    old: Sequence[Path],
    version: int | None,
    floor: int | None,
    days: float,
    about: str,
    own: bool,
    say: Callable[[str], None],
    beside: Sequence[Path] = (),
) -> Published:
    """Publish the bundle in a folder, signed with the keys in the files `beside` too.

    The files come first, so that the release names nothing that is not there.
    """
    named = checked(channel)
    signer = partial(sign_release, keys, beside=beside)

    async def ask(operator: Operator) -> Published:
        known = await operator.releases()
        release, blobs = prepare(bundle, old, version, known, time.time(), days, floor, about)
        return await publish(operator, release, blobs, signer, named, own, say)

    return _asked(keys, server, ask)


def start_rollout(channel: str, canary: str, guard: str, window: str, release: str, least: int, keys: Path, server: str) -> str:
    """Begin a rollout; the server's sentence."""
    named, part, held, seconds = checked(channel), share(canary), parse(guard), span(window)
    if least < 0:
        raise ConfigError("a node cannot answer so few frames", got=least, allowed="0 or more")

    async def ask(operator: Operator) -> str:
        row = chosen(await operator.releases(), named, release)
        return await operator.start(Plan(named, row.digest, part, seconds, held, least))

    return _asked(keys, server, ask)


def act(channel: str, deed: str, model: str, keys: Path, server: str) -> str:
    """Pause, resume or revert a channel; the server's sentence."""
    named = checked(channel)
    return _asked(keys, server, lambda operator: operator.act(named, deed, model))


def move_nodes(nodes: Sequence[str], channel: str, keys: Path, server: str) -> list[str]:
    """Put nodes into a channel; a sentence each."""
    named = checked(channel)

    async def ask(operator: Operator) -> list[str]:
        return [await operator.move(checked(node, "a node"), named) for node in nodes]

    return _asked(keys, server, ask)


def read_fleet(keys: Path, server: str) -> Fleet:
    return _asked(keys, server, lambda operator: operator.fleet())


def read_audit(keys: Path, server: str, most: int) -> tuple[Entry, ...]:
    if not 1 <= most <= 1000:
        raise ConfigError("so many lines are not told", got=most, allowed="1 to 1000")
    return _asked(keys, server, lambda operator: operator.audit(most))


def watch_fleet(keys: Path, server: str, console: Console) -> None:
    """Show the fleet, anew every second, until somebody has seen enough."""

    async def ask(operator: Operator) -> None:
        with Live(fleet_screen(await operator.fleet(), console.width), console=console, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(1.0)
                live.update(fleet_screen(await operator.fleet(), console.width), refresh=True)

    _asked(keys, server, ask)


def checked(name: str, what: str = "a channel") -> str:
    if not _NAME.fullmatch(name):
        allowed = "letters, digits, dot, dash and underscore, 64 at most"
        raise ConfigError(f"{what} cannot have this name", got=repr(name[:80]), allowed=allowed)
    return name


def share(text: str) -> float:
    """A share as a person writes it.

    >>> share("10%"), share("0.25")
    (0.1, 0.25)
    """
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*(%?)", text.strip())
    value = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0 < value <= 1:
        raise ConfigError("a share of nodes cannot be read", got=repr(text[:40]), allowed="such as 10%, up to 100%")
    return value


def span(text: str) -> float:
    """Seconds of a span as a person writes it.

    >>> span("90s"), span("10min"), span("1h")
    (90.0, 600.0, 3600.0)
    """
    found = re.fullmatch(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)\s*(s|min|h|d)?", text.strip())
    value = float(found[1]) * _SPANS[found[2] or "s"] if found else -1.0
    if not 0 <= value <= LONGEST:
        raise ConfigError("a span of time cannot be read", got=repr(text[:40]), allowed="such as 60s, 10min, 1h; 11 days at most")
    return value


def chosen(rows: Sequence[ReleaseRow], channel: str, word: str) -> ReleaseRow:
    """The release of a channel that `word` means: `latest`, a version's number, or the first digits of an address or digest."""
    there = [row for row in rows if not row.channels or channel in row.channels]
    if not there:
        hint = f"Publish one first: edgewise publish BUNDLE --channel {channel}."
        raise ConfigError("there is no release for this channel", got=channel, hint=hint)
    models = sorted({row.name for row in there})
    if word == "latest" and len(models) == 1:
        return max(there, key=lambda row: row.version)
    number = word.removeprefix("v")
    found = [row for row in there if number == str(row.version)]
    if not found and len(word) >= 4:
        found = [row for row in there if row.address.startswith(word) or row.digest.startswith(word)]
    if len({row.digest for row in found}) != 1:
        listed = ", ".join(f"{row.name} v{row.version} {row.address[:8]}" for row in sorted(there, key=lambda r: -r.version)[:8])
        what = "several releases are meant" if found or word == "latest" else "there is no such release"
        raise ConfigError(what, got=word[:80], allowed=f"one of {listed}", hint="Say --release with the digits of its address.")
    return found[0]


def _asked(keys: Path, server: str, ask: Callable[[Operator], Awaitable[Kind]]) -> Kind:
    async def run() -> Kind:
        async with Operator(server, operator_identity(keys)) as operator:
            return await ask(operator)

    return asyncio.run(run())
