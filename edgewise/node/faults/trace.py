"""What happened in a schedule, line by line, and a hash over it: two runs of one seed are the same run, or the simulator is broken.

Only what is the same in every process may be said here: no object's address, no random name that a machine draws for itself.
"""

from __future__ import annotations

import hashlib

from edgewise.node.faults.clock import Timeline

SHOWN = 400  # characters of a line


class Trace:
    """`say` adds a line; the lines themselves are kept only where somebody will read them."""

    def __init__(self, timeline: Timeline, keep: bool = False) -> None:
        self.lines: list[str] = []
        self.count = 0
        self._timeline, self._keep = timeline, keep
        self._hash = hashlib.sha256()

    def say(self, who: str, what: str) -> None:
        line = f"{self._timeline.now:9.4f}  {who:<9} {what[:SHOWN]}"
        self.count += 1
        self._hash.update(line.encode() + b"\n")
        if self._keep:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
