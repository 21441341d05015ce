"""Edgewise commands as processes of this one: started, awaited until they announce themselves, ended by their own number."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from edgewise.core.errors import LinkError


class Child:
    """`edgewise WORDS` as a process; what it prints goes to `log`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process, self.log = process, log

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    def tell(self, how: signal.Signals) -> None:
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(how)

    async def end(self, how: signal.Signals, patience: float = 5.0) -> None:
        """Ask it to end, and end it for good where it does not."""
        self.tell(how)
        try:
            async with asyncio.timeout(patience):
                await self.process.wait()
        except TimeoutError:
            self.tell(signal.SIGKILL)
            await self.process.wait()

    async def announced(self, file: Path, patience: float) -> dict[str, int]:
        """What it wrote to its `--announce` file once it was ready; LinkError with its last words where it never was."""
        until = time.monotonic() + patience
        while not file.exists():
            if not self.running or time.monotonic() > until:
                raise LinkError(f"{self.log.stem} did not start", got=self.last_words())
            await asyncio.sleep(0.02)
        said: dict[str, int] = json.loads(file.read_text())
        return said

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return " / ".join(lines[-3:]) or "no word"


async def start(words: list[str], log: Path) -> Child:
    """Start a command in a session of its own, so that a terminal's Ctrl-C reaches the parent alone."""
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "edgewise",
            *words,
            stdout=out,
            stderr=out,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "COLUMNS": "160"},
        )
    return Child(process, log)


def announce(file: Path | None, said: dict[str, int]) -> None:
    """The child's side: say that it is ready, all at once."""
    if file is not None:
        part = file.with_name(file.name + ".part")
        part.write_text(json.dumps(said))
        part.replace(file)
