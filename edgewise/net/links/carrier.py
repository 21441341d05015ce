"""The process that carries packets between two TUN devices, as slow as a Link says: both directions, one loop.

It is a process of its own so that the programs on the link do not hold it up, and the guardian of the namespaces: when whoever
started it is gone, however that happened, its end of the control socket closes and the carrier removes them and ends.

Control, both ways: four bytes of length, then msgpack. A Link in: from now on this one. None in: tell the counts.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import time
from random import Random

import msgspec

from edgewise.core.link import Link
from edgewise.net.links.lane import Lane
from edgewise.net.links.namespaces import Pair

BURST = 32  # packets read at once before what has arrived is written
PACKET = 1 << 16
Counts = dict[str, dict[str, int]]
_ENCODER = msgspec.msgpack.Encoder()
_LINK = msgspec.msgpack.Decoder(Link | None)
_COUNTS = msgspec.msgpack.Decoder(Counts)


def tell(control: socket.socket, what: Link | Counts | None) -> None:
    body = _ENCODER.encode(what)
    control.sendall(len(body).to_bytes(4, "big") + body)


def hear(control: socket.socket) -> bytes | None:
    """One message's body; None where the other side is gone."""
    head = _exactly(control, 4)
    return _exactly(control, int.from_bytes(head, "big")) if head is not None else None


def hear_counts(control: socket.socket) -> Counts | None:
    body = hear(control)
    return None if body is None else _COUNTS.decode(body)


def _exactly(control: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        try:
            part = control.recv(size - len(data))
        except ConnectionError:
            return None
        if not part:
            return None
        data += part
    return bytes(data)


def carry(device: int, edge: int, control: socket.socket, up: Lane, down: Lane) -> None:
    """Until the other end of `control` closes. `device` and `edge` are the TUN devices' descriptors, not blocking."""
    ways = ((device, up, edge), (edge, down, device))
    while True:
        now = time.monotonic()
        for _, lane, out in ways:
            for packet in lane.take(now):
                with contextlib.suppress(OSError):  # the device is down, or its queue is full: a packet is lost there
                    os.write(out, packet)
        wake = min(up.next_wake(), down.next_wake())
        wait = min(max(0.0, wake - time.monotonic()), 3600.0)
        ready = select.select([control.fileno(), device, edge], [], [], wait)[0]
        for source, lane, _ in ways:
            if source in ready:
                _read(source, lane)
        if control.fileno() in ready:
            body = hear(control)
            if body is None:
                return
            link = _LINK.decode(body)
            if link is None:
                tell(control, {"up": dict(up.counts), "down": dict(down.counts)})
            else:
                up.set_link(link, time.monotonic())
                down.set_link(link, time.monotonic())


def _read(source: int, lane: Lane) -> None:
    now = time.monotonic()
    for _ in range(BURST):
        try:
            packet = os.read(source, PACKET)
        except BlockingIOError:
            return
        except OSError:  # the device went down: whoever took it down closes us as well
            time.sleep(0.01)
            return
        lane.put(packet, now)


def main() -> None:
    """Words: three descriptors (device, edge, control), the pair's owner and token, seed, queue (0: by the rate)."""
    device, edge, descriptor, owner, token, seed, queue = sys.argv[1:8]
    control = socket.socket(fileno=int(descriptor))
    with contextlib.suppress(OSError):
        os.nice(-10)  # a link is not held up by the programs that use it
    try:
        body = hear(control)
        link = None if body is None else _LINK.decode(body)
        if link is not None:
            now, bound = time.monotonic(), int(queue) or None
            lanes = [Lane(link, up, Random(f"{seed} {up}"), now, bound) for up in (True, False)]
            carry(int(device), int(edge), control, *lanes)
    finally:
        Pair(int(owner), token).remove()


if __name__ == "__main__":
    main()
