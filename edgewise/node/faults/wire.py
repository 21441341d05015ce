"""A connection between a device's process and a server's, and a file on its way down: what the rims see of the network.

An empty message is the end of a connection. A process that is killed leaves its system to say so; one that loses power says
nothing, and whoever talks to it later is told that there is no such connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.node.faults.network import Lane, Way

if TYPE_CHECKING:
    from edgewise.node.faults.device import Device
    from edgewise.node.faults.server import Server

END = b""


class Connection:
    """One connection; `number` is what the server calls it. Each end belongs to one life of its machine."""

    def __init__(self, device: Device, server: Server, way: Way, number: int) -> None:
        self.device, self.server, self.way, self.number = device, server, way, number
        self.device_life, self.server_life = device.life, server.life
        self._up, self._down = Lane(self._torn if device.draw.random() < 0.5 else None), Lane(self._torn)

    def send_up(self, data: bytes) -> None:
        self.way.up.carry(self._up, data, self._at_server)

    def send_down(self, data: bytes) -> None:
        self.way.down.carry(self._down, data, self._at_device)

    def _torn(self) -> None:
        """Both systems will find out, each by itself."""
        draw, timeline = self.device.draw, self.device.timeline
        timeline.at(timeline.now + draw.uniform(0.0, 2.0), lambda: self._at_server(END))
        timeline.at(timeline.now + draw.uniform(0.0, 2.0), lambda: self._at_device(END))

    def end_of_device(self) -> None:
        self.send_up(END)

    def end_of_server(self) -> None:
        self.send_down(END)

    def _at_server(self, data: bytes) -> None:
        server = self.server
        if server.alive and server.life == self.server_life and server.knows(self):
            server.guarded(lambda: server.arrived(self, data))
        elif server.alive and data:
            self.end_of_server()  # no such connection here

    def _at_device(self, data: bytes) -> None:
        device = self.device
        if device.alive and device.life == self.device_life and device.connection is self:
            device.guarded(lambda: device.arrived(data))
        elif device.alive and data:
            self.end_of_device()
