"""Frames in flight, and how many the server allows.

A place is held from DATA until the server's last word, also when the frame's deadline is over and its end was told: its bytes may
still fill the link, and more of them would only make the next frame later.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct


class Flight(Struct):
    """A frame on its way; `told` when its end was reported and only its place in the window is held."""

    frame: int
    deadline: float
    sent_at: float
    bytes_up: int
    told: bool = False


class Window:
    """`credit` places, one for each frame in flight."""

    def __init__(self) -> None:
        self.credit = 0
        self._flights: dict[int, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, frame: object) -> bool:
        return frame in self._flights

    def add(self, flight: Flight) -> None:
        self._flights[flight.frame] = flight

    def pop(self, frame: int) -> Flight | None:
        """The flight, whose place is free from now on; None where there is none."""
        return self._flights.pop(frame, None)

    def overdue(self, now: float) -> Iterator[Flight]:
        """Those whose deadline has come, each once; they keep their place."""
        for flight in self._flights.values():
            if flight.deadline <= now and not flight.told:
                flight.told = True
                yield flight

    def deadlines(self) -> Iterator[float]:
        """Deadlines (s) that are still to come."""
        return (flight.deadline for flight in self._flights.values() if not flight.told)

    def close(self) -> list[Flight]:
        """Free every place; the flights whose end was not told yet."""
        left = [flight for flight in self._flights.values() if not flight.told]
        self._flights.clear()
        self.credit = 0
        return left
