"""Two network namespaces of our own, the device's end and the edge's end of a packet link: made, entered, removed.

Names hold the number of the process that made them and something random, so that two links never meet and what a killed process
left behind is known (`remove_stale`). Needs Linux, root and iproute2. Entering is a matter of the calling thread alone: sockets
keep the namespace in which they were opened, whoever uses them later.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from edgewise.core.errors import LinkError

Side = Literal["device", "edge"]
SIDES: tuple[Side, Side] = ("device", "edge")
ADDRESSES: dict[Side, str] = {"device": "10.77.0.1", "edge": "10.77.0.2"}  # the same in every pair: nobody else is there
MTU = 1500
_RUN = Path("/run/netns")
_NAME = re.compile(r"edgewise-(\d+)-[0-9a-f]{8}-(device|edge)")
_CLONE_NEWNET = 0x4000_0000
SECONDS = 20.0  # that one command of iproute2 may take


def obstacle(*programs: str) -> str | None:
    """Why this machine cannot have namespaces of ours, as far as looking tells; None where it can."""
    if not sys.platform.startswith("linux"):
        return f"a packet link needs Linux; this is {sys.platform}."
    if os.geteuid() != 0:
        return "a packet link needs root, to make network namespaces; this process is not."
    missing = [p for p in ("ip", *programs) if shutil.which(p) is None]
    return f"a packet link needs iproute2; {' and '.join(missing)} cannot be found." if missing else None


def command(words: Sequence[str]) -> None:
    """Run one command of iproute2; LinkError with its own sentence where it fails."""
    try:
        done = subprocess.run(list(words), capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LinkError(f"`{' '.join(words)}` cannot be run", got=error) from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise LinkError(f"`{' '.join(words)}` failed", got=said[-1] if said else f"status {done.returncode}")


class Pair:
    """Names of a pair and of its two interfaces; a value, nothing is made by it."""

    def __init__(self, owner: int, token: str) -> None:
        self.device, self.edge = (f"edgewise-{owner}-{token}-{side}" for side in SIDES)
        self.interfaces: dict[Side, str] = {"device": f"ew{token}d", "edge": f"ew{token}e"}

    @staticmethod
    def new() -> Pair:
        return Pair(os.getpid(), secrets.token_hex(4))

    def name(self, side: Side) -> str:
        return self.device if side == "device" else self.edge

    def making(self) -> list[list[str]]:
        """Commands that make both namespaces, each with a loopback of its own."""
        made = [["ip", "netns", "add", name] for name in (self.device, self.edge)]
        return made + [["ip", "-n", name, "link", "set", "lo", "up"] for name in (self.device, self.edge)]

    def addressing(self) -> list[list[str]]:
        """Commands that give the interfaces, which are in their namespaces already, their addresses and set them up."""
        commands = []
        for side, address in ADDRESSES.items():
            inside, interface = ["ip", "-n", self.name(side)], self.interfaces[side]
            commands += [
                [*inside, "link", "set", interface, "addrgenmode", "none"],  # no IPv6 chatter among the packets
                [*inside, "address", "add", f"{address}/30", "dev", interface],
                [*inside, "link", "set", interface, "mtu", str(MTU), "up"],
            ]
        return commands

    def remove(self) -> None:
        """Both, with all that is in them; what is gone already is no error."""
        for name in (self.device, self.edge):
            if (_RUN / name).exists():
                with contextlib.suppress(LinkError):
                    command(["ip", "netns", "delete", name])

    @contextlib.contextmanager
    def inside(self, side: Side) -> Iterator[None]:
        """Sockets that this thread opens from here on are at that end."""
        with contextlib.ExitStack() as files:
            back = files.enter_context(Path("/proc/thread-self/ns/net").open("rb"))
            try:
                there = files.enter_context((_RUN / self.name(side)).open("rb"))
            except OSError as error:
                raise LinkError(f"the {side}'s end of the link is gone", got=error) from None
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(back.fileno())

    def words(self, side: Side, words: Sequence[str]) -> list[str]:
        """The command that runs `words` as a process at that end."""
        return ["ip", "netns", "exec", self.name(side), *words]


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns begins with Python 3.12
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise LinkError("a network namespace cannot be entered", got=os.strerror(ctypes.get_errno()))


def stale() -> list[str]:
    """Namespaces of links whose process is no longer there."""
    names = sorted(path.name for path in _RUN.iterdir()) if _RUN.is_dir() else []
    return [name for name in names if (match := _NAME.fullmatch(name)) and not _alive(int(match[1]))]


def remove_stale() -> list[str]:
    """Remove what killed processes left behind; the names that are gone."""
    gone = []
    for name in stale():
        with contextlib.suppress(LinkError):
            command(["ip", "netns", "delete", name])
            gone.append(name)
    return gone


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
