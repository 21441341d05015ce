"""The TUN packet link: two namespaces, a TUN device in each, and a process that carries IP packets between them.

The programs on it speak through the kernel's own TCP, with its queues, losses and slow start; only the wire is ours. Rate, delay,
loss and traces are a `core.link.Link`'s, both directions; the queue is a router's, in bytes. Needs root and /dev/net/tun; `probe`
says in a sentence why not where it cannot. It falls behind above some 100 Mbit/s (Python reads and writes every packet).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import struct
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from edgewise.core.errors import LinkError
from edgewise.core.link import Link
from edgewise.net.links import namespaces
from edgewise.net.links.carrier import Counts, hear_counts, tell
from edgewise.net.links.namespaces import Pair

DEVICE = Path("/dev/net/tun")
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_ROOT = Path(__file__).resolve().parents[3]  # where the package stands


def probe() -> str | None:
    """Why there can be no TUN link here, as a sentence; None where there can. Tries it: makes a device and a namespace."""
    if (sentence := namespaces.obstacle()) is not None:
        return sentence
    if not DEVICE.exists():
        return f"a TUN link needs {DEVICE}, which is not there; is the kernel's module `tun` loaded?"
    pair = Pair.new()
    try:
        os.close(_device(f"ew{secrets.token_hex(4)}p"))
        for words in pair.making():
            namespaces.command(words)
    except LinkError as error:
        return f"a TUN link cannot be made: {error}"
    finally:
        pair.remove()
    return None


class TunLink:
    """A running link; `open` makes one, `close` (or leaving `with`) removes all of it.

    `at_device` and `at_edge` are contexts: sockets opened within are at that end. `device` and `edge` are the ends' addresses.
    """

    kind = "tun"

    def __init__(self, link: Link, pair: Pair, carrier: subprocess.Popen[bytes], control: socket.socket) -> None:
        self.link, self.pair = link, pair
        self.device, self.edge = (namespaces.ADDRESSES[side] for side in namespaces.SIDES)
        self._carrier, self._control = carrier, control

    @classmethod
    def open(cls, link: Link, *, queue: int | None = None, seed: int = 0) -> TunLink:
        """A link of its own; `queue` bounds the bytes that wait in each direction (None: 0.1 s of its rate, 48 KiB at least).

        LinkError where it cannot be. What killed processes left behind is removed on the way.
        """
        if (sentence := namespaces.obstacle()) is not None:
            raise LinkError("there can be no TUN link here", got=sentence)
        namespaces.remove_stale()
        pair = Pair.new()
        try:
            with contextlib.ExitStack() as ours:
                ends = []
                for side in namespaces.SIDES:
                    ends.append(_device(pair.interfaces[side]))
                    ours.callback(os.close, ends[-1])
                for words in pair.making():
                    namespaces.command(words)
                for side in namespaces.SIDES:
                    namespaces.command(["ip", "link", "set", pair.interfaces[side], "netns", pair.name(side)])
                for words in pair.addressing():
                    namespaces.command(words)
                carrier, control = _start(pair, ends, seed, queue or 0)
        except BaseException:
            pair.remove()
            raise
        made = cls(link, pair, carrier, control)
        try:
            tell(control, link)
            made.counts()  # its answer says that it carries
        except BaseException:
            made.close()
            raise
        return made

    def set_link(self, link: Link) -> None:
        """From now on this link, for what is on its way as well."""
        self.link = link
        self._ask(link)

    def counts(self) -> Counts:
        """For `up` and `down`: packets and bytes taken, packets lost as the link says, and overflowed at a full queue."""
        self._ask(None)
        counts = hear_counts(self._control)
        if counts is None:
            raise LinkError("the link's carrier is gone", got=f"status {self._carrier.poll()}")
        return counts

    def at_device(self) -> contextlib.AbstractContextManager[None]:
        return self.pair.inside("device")

    def at_edge(self) -> contextlib.AbstractContextManager[None]:
        return self.pair.inside("edge")

    def close(self) -> None:
        """End the carrier and remove the namespaces; a second call does nothing."""
        self._control.close()
        try:
            self._carrier.wait(5.0)
        except subprocess.TimeoutExpired:
            self._carrier.kill()
            self._carrier.wait()
        self.pair.remove()

    def _ask(self, what: Link | None) -> None:
        try:
            tell(self._control, what)
        except OSError as error:
            raise LinkError("the link's carrier is gone", got=error) from None

    def __enter__(self) -> TunLink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _device(name: str) -> int:
    """A TUN device in the caller's namespace; it lives as long as its descriptor is open somewhere."""
    try:
        end = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise LinkError(f"{DEVICE} cannot be opened", got=error) from None
    try:
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        os.close(end)
        raise LinkError("a TUN device cannot be made", got=error, allowed="a process with CAP_NET_ADMIN") from None
    return end


def _start(pair: Pair, ends: list[int], seed: int, queue: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10.0)
    _, owner, token, _ = pair.device.split("-")
    words = [str(w) for w in (*ends, theirs.fileno(), owner, token, seed, queue)]
    try:
        carrier = subprocess.Popen(
            [sys.executable, "-m", "edgewise.net.links.carrier", *words],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=(*ends, theirs.fileno()),
            start_new_session=True,  # a terminal's Ctrl-C reaches its parent alone
        )
    except OSError as error:
        ours.close()
        raise LinkError("the link's carrier cannot be started", got=error) from None
    finally:
        theirs.close()
    return carrier, ours
