"""The seam of every energy source: `start()`, then `stop() -> Measurement` in joules.

A source that is not there says so when it is opened (`MeterError`, a sentence), never by a figure of zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from edgewise.core.errors import MeterError
from edgewise.core.measurement import Measurement


class Meter(Protocol):
    """`covers` says in words what the joules are those of: the board, the processor package, one card, this process."""

    @property
    def covers(self) -> str: ...

    def start(self) -> None: ...

    def stop(self) -> Measurement: ...


def number(file: Path) -> int:
    """The whole number in a file of the kernel; MeterError where it cannot be read."""
    try:
        return int(file.read_text().strip())
    except PermissionError as error:
        raise MeterError(
            "an energy counter may not be read", got=file, hint="Run as root, or let root make the file readable for this user."
        ) from error
    except (OSError, ValueError) as error:
        raise MeterError("an energy counter cannot be read", got=f"{file}: {error}") from error


def not_started(name: str) -> MeterError:
    return MeterError(f"{name} was stopped before it was started", hint="Call start(), do the work, call stop().")
