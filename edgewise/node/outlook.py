"""What the agent has put on the link and not seen answered, and what that says about the link.

TCP is first in, first out: an answer to one frame proves that everything sent before it has passed. A frame that was
given up at its deadline still lies in the buffers on the way, so it goes on counting until something behind it is answered.

The link's share of an answered frame is what remains of its time after the server's own seconds and the round trip, and
begins when the frame before it had passed.
"""

from __future__ import annotations

from edgewise.plan.online import OnlinePolicy


class Outlook:
    """Feeds the policy's link estimate; sizes in bytes, times in s."""

    def __init__(self, policy: OnlinePolicy) -> None:
        self._policy = policy
        self._sent: dict[int, tuple[int, float]] = {}  # frame -> size, when; in the order of sending
        self._passed = 0.0  # when the last known frame had left the link
        self._busy = 0.0  # when the link was last known to carry a frame

    def sent(self, frame: int, size: int, now: float) -> None:
        self._sent[frame] = (size, now)

    def shortened(self, frame: int, size: int) -> None:
        """Less of the frame goes than was handed over; it keeps its place."""
        if frame in self._sent:
            self._sent[frame] = (size, self._sent[frame][1])

    def answered(self, frame: int, server: float, now: float) -> None:
        """The server answered after `server` seconds of its own."""
        if frame not in self._sent:
            return
        self._busy = now
        link = self._policy.link
        size, began = self._sent.pop(frame)
        for other, (more, when) in list(self._sent.items()):
            if when > began:
                break
            size, began = size + more, min(began, when)
            del self._sent[other]
        passed = now - server - link.round_trip / 2
        begins = max(began + link.round_trip / 2, self._passed)
        link.observe(size, passed - begins, now)
        self._passed = passed

    def let_down(self, frame: int, still_queued: bool) -> None:
        """The frame will not be answered; one that was never sent, or whose connection is gone, weighs on nothing."""
        if not still_queued:
            self._sent.pop(frame, None)

    def pong(self, rtt: float, now: float) -> None:
        """A ping went there and back: what was sent before it has passed. One that met no frame tells the round trip."""
        before = now - rtt
        ahead = [frame for frame, (_, when) in self._sent.items() if when <= before]
        for frame in ahead:
            del self._sent[frame]
        if not ahead and before > self._busy:
            self._policy.link.trip(rtt)
        if ahead:
            self._busy = now

    def backlog(self, now: float, before: int | None = None) -> tuple[int, float]:
        """Bytes under way, and how long (s) the oldest of them has been; those ahead of the frame `before` where one is named."""
        ahead = [(size, when) for frame, (size, when) in self._sent.items() if before is None or frame < before]
        return (sum(size for size, _ in ahead), now - ahead[0][1]) if ahead else (0, 0.0)

    def clear(self) -> None:
        """The connection is new: nothing is under way."""
        self._sent.clear()
        self._passed = 0.0
