"""What happened in a schedule, line by line, and a hash over it: two runs of one seed give the same, or the simulator is broken.

Only what is the same in every process may be said here: no object's address, no random name that a machine draws for itself.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

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


class Heard(logging.Handler):
    """While it is entered, what the package logs becomes lines; an exception that a border caught is told to `caught`."""

    def __init__(self, trace: Trace, caught: Callable[[str, BaseException], None]) -> None:
        super().__init__(logging.WARNING)
        self._trace, self._caught = trace, caught
        self._logger = logging.getLogger("edgewise")
        self._before = True

    def emit(self, record: logging.LogRecord) -> None:
        self._trace.say("log", record.getMessage())
        if record.exc_info is not None and record.exc_info[1] is not None:
            self._caught(record.name, record.exc_info[1])

    def __enter__(self) -> Heard:
        self._before, self._logger.propagate = self._logger.propagate, False
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._before
