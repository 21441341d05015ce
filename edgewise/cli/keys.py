"""Keys of a site: certificates of its nodes, signing keys and the trust, tokens of people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from edgewise.cli.screen import console

KEYS = Path("edgewise-keys")


def init(keys: Path = KEYS, names: list[str] = []) -> int:  # noqa: B006
    """Make a site's keys: its authority, the certificates of the edge server and of an operator, signing keys and the trust.

    Args:
        keys: folder for them; keep it on the server, and root.ed25519 and authority.key in a safer place if you can.
        names: further host names or addresses of the server.
    """
    from edgewise.apps.vision.keys import init

    console().print(init(keys, tuple(names)), highlight=False)
    return 0


def issue(
    name: tyro.conf.Positional[str],
    role: Literal["device", "edge", "operator", "federator"] = "device",
    days: float = 90.0,
    names: list[str] = [],  # noqa: B006
    keys: Path = KEYS,
) -> int:
    """Make a node's certificate, in a folder to carry there.

    Args:
        name: the node's name, as the page will show it.
        role: what it may do: device sends frames, edge serves, operator rolls out and reverts, federator joins a federation.
        days: its life; a node renews it by itself when less than a third is left.
        names: host names or addresses of a server.
        keys: folder of the authority.
    """
    from edgewise.apps.vision.keys import issue_node

    console().print(issue_node(keys, name, role, days, tuple(names)), highlight=False, soft_wrap=True)
    return 0


def revoke(
    name: tyro.conf.Positional[str],
    root: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    keys: Path = KEYS,
) -> int:
    """Take back every certificate of a node: a running server refuses it at once and cuts it within a second.

    Args:
        name: the node.
        root: the root's key, where it is kept elsewhere.
        keys: folder of the authority.
    """
    from edgewise.apps.vision.keys import revoke_node

    console().print(revoke_node(keys, name, root), highlight=False, soft_wrap=True)
    return 0


def token(
    name: tyro.conf.Positional[str],
    role: Literal["operator", "viewer"] = "viewer",
    days: float = 90.0,
    revoke: bool = False,
    keys: Path = KEYS,
) -> int:
    """Make a person's bearer token for the page and its interface; it is shown this once and kept nowhere.

    Args:
        name: the person.
        role: a viewer looks; an operator rolls out and reverts.
        days: its life.
        revoke: take it back instead.
        keys: folder of the server's keys.
    """
    import time

    from edgewise.net.tokens import make_token, revoke_token

    if revoke:
        revoke_token(keys, name)
        console().print(f"the token of {name} is taken back.", highlight=False)
        return 0
    made = make_token(keys, name, role, time.time(), days)
    console().print(made, highlight=False, soft_wrap=True)
    return 0


def trust(
    renew: bool = False,
    rotate: bool = False,
    threshold: int | None = None,
    add: Annotated[list[str], tyro.conf.arg(metavar="NAME=PUBLIC[:MODEL,…]")] = [],  # noqa: B006
    remove: Annotated[list[str], tyro.conf.arg(metavar="NAME")] = [],  # noqa: B006
    root: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    keys: Path = KEYS,
) -> int:
    """Show who may sign what, or change it; a change is a new version, which nodes take with their next news.

    Args:
        renew: sign it anew, which begins its life again.
        rotate: make a new root, handed over to by the old one.
        threshold: publishers that must have signed a release.
        add: a publisher's public key (`edgewise keys make FILE` prints it), and the models that it may sign (default: all).
        remove: a key that may sign no more.
        root: the root's key, where it is kept elsewhere.
        keys: folder of the server's keys.
    """
    import time

    from edgewise.apps.vision import trust as trusts
    from edgewise.core.errors import ConfigError

    changes = [trusts.remove_key(name) for name in remove]  # first, so that a name can get another key
    for word in add:
        name, equals, public = word.partition("=")
        if not equals:
            raise ConfigError("a publisher cannot be added", got=word, allowed="NAME=PUBLIC (64 hex digits), NAME=PUBLIC:MODEL,…")
        bare, _, models = public.partition(":")
        changes.append(trusts.add_publisher(name, bare, [model for model in models.split(",") if model]))
    if threshold is not None:
        changes.append(trusts.need(threshold))
    now = time.time()
    if rotate:
        trusts.rotate(keys, now, root)
        root = None
    if renew or changes:
        trusts.renew(keys, now, trusts.together(changes), root)
    shown, screen = trusts.read(keys), console()
    ends = time.strftime("%Y-%m-%d", time.gmtime(shown.expires))
    screen.print(f"trust version {shown.version}, until {ends}; root {trusts.root_public(keys)}", highlight=False, soft_wrap=True)
    for name, key in shown.keys.items():
        scope = f" for {', '.join(key.names)}" if key.names else ""
        screen.print(f"  {name}: {key.role}{scope}, {key.public}", highlight=False, soft_wrap=True)
    screen.print(f"  a release needs {shown.threshold}; {len(shown.revoked)} certificates are void", highlight=False)
    return 0


def make(file: tyro.conf.Positional[Path]) -> int:
    """Make a signing key for a publisher, and print its public half.

    Args:
        file: where the private half goes (mode 0600); it need not leave this machine.
    """
    from edgewise.net.signing import make_key, public

    console().print(public(make_key(file)), highlight=False, soft_wrap=True)
    return 0


def list_(keys: Path = KEYS) -> int:
    """Show every certificate that was given and how it stands, and who has a token.

    Args:
        keys: folder of the authority.
    """
    import time

    from rich.table import Table

    from edgewise.apps.vision.keys import given
    from edgewise.net.tokens import people

    table = Table("name", "role", "number", "until", "", box=None)
    for one in given(keys):
        state = "taken back" if one.revoked else one.standing
        table.add_row(one.of.node, one.of.role, one.of.serial[:12], time.strftime("%Y-%m-%d", time.gmtime(one.of.ends)), state)
    for person in people(keys):
        ends = time.strftime("%Y-%m-%d", time.gmtime(person.expires))
        table.add_row(person.name, person.role, "token", ends, "good" if person.expires > time.time() else "ended")
    console().print(table)
    return 0
