"""What the tests of sweeps call in their children."""

import os
import time
from pathlib import Path
from typing import Any

from edgewise.core.errors import ModelError


def write(said: dict[str, Any], advance: Any) -> None:
    """When it began and ended, into a file."""
    begun = time.monotonic()
    print("a network that prints")
    for step in range(5):
        advance(said["name"], step / 4)
        time.sleep(0.02)
    Path(said["file"]).write_text(f"{begun} {time.monotonic()} {os.environ['OMP_NUM_THREADS']}")


def fail(said: dict[str, Any], advance: Any) -> None:
    raise ModelError("a β of 9 collapses the rate", hint="Take a lower one.")


def crash(said: dict[str, Any], advance: Any) -> None:
    raise ValueError("no such thing")


def wait(said: dict[str, Any], advance: Any) -> None:
    Path(said["file"]).write_text(str(os.getpid()))
    advance("waiting", 0.0)
    time.sleep(60)
