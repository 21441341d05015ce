"""A file on its way down: the rim's side of GET /files/<sha256> with a range, on the simulated network.

Pieces come in order or not at all, as over TCP; what may happen to them is a flipped bit, a cut, and a server that is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.node.delivery.ways import Fetch
from edgewise.node.faults.network import Lane

if TYPE_CHECKING:
    from edgewise.node.faults.device import Device
    from edgewise.node.faults.updates import Updates

PATIENCE = 4.0  # s without a byte
REQUEST = bytes(200)


class Download:
    """One request; it ends by `updates.piece` up to the last byte, or by `updates.broke_off`."""

    def __init__(self, device: Device, updates: Updates, fetch: Fetch) -> None:
        self.fetch, self.place = fetch, fetch.at
        self._device, self._updates, self._server = device, updates, device.server
        self._device_life, self._server_life = device.life, device.server.life
        self._down = Lane()
        self._heard = device.timeline.now
        self._over = False

    def begin(self) -> None:
        self._device.way.up.carry(Lane(), REQUEST, self._asked)
        self._device.later(PATIENCE, self._look)

    def give_up(self) -> None:
        self._over = True

    def send(self, at: int, data: bytes) -> None:
        """From the server; `at` travels beside the bytes, as TCP's own number does."""
        self._device.way.down.carry(self._down, data, lambda changed: self._arrive(at, changed))

    def refuse(self, sentence: str) -> None:
        """From the server: there is no such file, or it cannot be read."""
        self._device.way.down.carry(self._down, b"", lambda _: self._arrive(-1, sentence.encode()))

    def _asked(self, data: bytes) -> None:
        """At the server; a request that was changed on its way is no request."""
        server = self._server
        if data == REQUEST and server.alive and server.life == self._server_life:
            server.guarded(lambda: server.serve(self))

    def _arrive(self, at: int, data: bytes) -> None:
        device = self._device
        if device.life == self._device_life:
            device.guarded(lambda: self._came(at, data))

    def _came(self, at: int, data: bytes) -> None:
        if self._over:
            return
        if at < 0:
            self._end(data.decode())
        elif at == self.place:
            self._heard = self._device.timeline.now
            self.place += len(data)
            self._over = self.place >= self.fetch.size
            self._updates.piece(self, at, data, self._over)

    def _look(self) -> None:
        """Did nothing come for too long?"""
        left = self._heard + PATIENCE - self._device.timeline.now
        if self._over:
            return
        if left <= 1e-6:
            self._end(f"broke off at byte {self.place} of {self.fetch.size}")
        else:
            self._device.later(left, self._look)

    def _end(self, sentence: str) -> None:
        self._over = True
        self._updates.broke_off(self, sentence)
