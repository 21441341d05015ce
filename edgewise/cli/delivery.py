"""Delivery: publish, rollout, pause, resume, revert, nodes, move, audit. All of them ask an edge server, as its operator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from edgewise.cli.screen import console, write_json

KEYS = Path("edgewise-keys")
SERVER = "127.0.0.1:8765"
Server = Annotated[str, tyro.conf.arg(metavar="HOST[:PORT]")]


def publish(
    bundle: tyro.conf.Positional[Path],
    channel: str,
    keys: Path = KEYS,
    server: Server = SERVER,
    from_: Annotated[list[Path], tyro.conf.arg(name="from", metavar="OLD_BUNDLE")] = [],  # noqa: B006 (read, never changed)
    version: int | None = None,
    floor: int | None = None,
    days: float = 30.0,
    about: str = "",
    own: bool = False,
    key: Annotated[list[Path], tyro.conf.arg(metavar="FILE")] = [],  # noqa: B006
    json: Path | None = None,
) -> int:
    """Sign a bundle as the next version of its model, and bring what the server lacks of it there.

    No node runs it before `edgewise rollout CHANNEL`. The publisher's key in KEYS signs here and never leaves this machine.

    Args:
        bundle: the bundle folder.
        channel: the channel that it is for: a name for nodes that get the same versions.
        keys: folder with the publisher's key and an operator's certificate, as `edgewise keys init` makes it.
        server: the edge server.
        from_: an older bundle that nodes may hold: they are offered the difference to it, often a hundredth of the bytes.
        version: its number (default: the next one of this model on the server).
        floor: nodes that have taken it never go below this version again (default: as before).
        days: after so many days nobody begins to use it any more.
        about: a sentence for people, shown beside it.
        own: the channel's nodes came with this bundle. It becomes the channel's own, so that a first rollout has a way back.
        key: further publishers' keys that sign it too, as `edgewise keys make FILE` made them, where the trust needs several.
        json: write what became of it there.
    """
    from edgewise.apps.vision.operating import publish_bundle

    screen = console()
    with screen.status("publishing") as status:
        done = publish_bundle(bundle, channel, keys, server, from_, version, floor, days, about, own, status.update, key)
    _say(done.sentence)
    for base, size in done.shorter.items():
        _say(f"from {base[:8]}: {size:,} bytes instead of {done.whole:,}")
    _say(f"{done.sent:,} bytes were brought to the server. Next: edgewise rollout {channel} --canary 10%")
    write_json(json, done)
    return 0


def rollout(
    channel: tyro.conf.Positional[str],
    canary: str = "10%",
    guard: str = "",
    window: str = "60s",
    release: str = "latest",
    least: int = 1,
    keys: Path = KEYS,
    server: Server = SERVER,
) -> int:
    """Let a share of a channel's nodes try a release; the rest follow when it has held, and all go back when it has not.

    Every canary uses the version for the window. Where a condition of the guard breaks on one of them, they return to the version
    before, by themselves, and nobody else gets it. `edgewise nodes` and the page show how far it is, and why it waits.

    Args:
        channel: the channel, as said to `edgewise publish`.
        canary: the share that tries it first; one node at least.
        guard: what must hold, such as "quality>-0.5pt p95<120ms failed<1%". Quality is the difference to the version before, in
            points, by the probe that the bundle brings.
        window: how long each node tries it: 90s, 10min, 1h.
        release: the version, such as 12, or the first digits of its address; `latest` is the newest of the channel.
        least: frames that a node must have answered before it is judged.
        keys: folder with an operator's certificate.
        server: the edge server.
    """
    from edgewise.apps.vision.operating import start_rollout

    _say(start_rollout(channel, canary, guard, window, release, least, keys, server))
    return 0


def pause(channel: tyro.conf.Positional[str], model: str = "", keys: Path = KEYS, server: Server = SERVER) -> int:
    """Hold a rollout: no further node takes the version, and those that run it keep it.

    Args:
        channel: the channel.
        model: which one, where the channel has rollouts of several models.
        keys: folder with an operator's certificate.
        server: the edge server.
    """
    return _act(channel, "pause", model, keys, server)


def resume(channel: tyro.conf.Positional[str], model: str = "", keys: Path = KEYS, server: Server = SERVER) -> int:
    """Let a paused rollout go on, under the same guard.

    Args:
        channel: the channel.
        model: which one, where the channel has rollouts of several models.
        keys: folder with an operator's certificate.
        server: the edge server.
    """
    return _act(channel, "resume", model, keys, server)


def revert(channel: tyro.conf.Positional[str], model: str = "", keys: Path = KEYS, server: Server = SERVER) -> int:
    """Take a rollout back: every node that took the version returns to the one before, which it still holds.

    Args:
        channel: the channel.
        model: which one, where the channel has rollouts of several models.
        keys: folder with an operator's certificate.
        server: the edge server.
    """
    return _act(channel, "revert", model, keys, server)


def nodes(watch: bool = False, json: Path | None = None, keys: Path = KEYS, server: Server = SERVER) -> int:
    """Who the nodes are, what they run and want, how they are, and where rollouts stand.

    Args:
        watch: show it anew every second until Ctrl-C.
        json: write it there.
        keys: folder with an operator's certificate.
        server: the edge server.
    """
    from edgewise.apps.vision.operating import read_fleet, watch_fleet
    from edgewise.apps.vision.screens import fleet_screen

    screen = console()
    if watch:
        watch_fleet(keys, server, screen)
        return 0
    fleet = read_fleet(keys, server)
    screen.print(fleet_screen(fleet, screen.width))
    write_json(json, fleet)
    return 0


def move(nodes: tyro.conf.Positional[list[str]], channel: str, keys: Path = KEYS, server: Server = SERVER) -> int:
    """Put nodes into a channel; each gets what that channel runs. A node that is new is in the channel `main`.

    Args:
        nodes: names of nodes, as `edgewise nodes` shows them.
        channel: the channel; a new name makes a new one.
        keys: folder with an operator's certificate.
        server: the edge server.
    """
    from edgewise.apps.vision.operating import move_nodes

    for sentence in move_nodes(nodes, channel, keys, server):
        _say(sentence)
    return 0


def audit(most: int = 20, json: Path | None = None, keys: Path = KEYS, server: Server = SERVER) -> int:
    """The newest lines of the server's audit log: who published, rolled out and reverted what, and what was refused.

    Args:
        most: so many lines.
        json: write them there.
        keys: folder with an operator's certificate.
        server: the edge server.
    """
    from edgewise.apps.vision.operating import read_audit
    from edgewise.apps.vision.screens import audit_screen

    entries = read_audit(keys, server, most)
    console().print(audit_screen(entries))
    write_json(json, entries)
    return 0


def _act(channel: str, deed: str, model: str, keys: Path, server: str) -> int:
    from edgewise.apps.vision.operating import act

    _say(act(channel, deed, model, keys, server))
    return 0


def _say(sentence: str) -> None:
    """A sentence of the server as it is: nothing in it is markup."""
    console().print(sentence, markup=False, highlight=False, soft_wrap=True)
