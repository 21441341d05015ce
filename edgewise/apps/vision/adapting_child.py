"""The server's end of the pipe: the adapting process as a child, words to it and from it, and its end whatever happens.

Writing waits only in the task that writes: a process that trains reads slowly, and then what waits for it is held and counted in
the store, never in the loop that answers frames. It does not know what the words are about.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator

from edgewise.apps.vision.adapting_words import LENGTH, Begin, Said, Told, length, packed, said
from edgewise.core.errors import LinkError

MODULE = "edgewise.apps.vision.adapting_process"
PATIENCE = 5.0  # s to end by itself
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Child:
    """A running adapting process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @staticmethod
    async def start(threads: int = 1) -> Child:
        """Start one, with so many threads for its sums; in a session of its own, so that a terminal's Ctrl-C goes to the
        server.
        """
        return Child(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                MODULE,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
                env={**os.environ, **dict.fromkeys(POOLS, str(threads))},
            )
        )

    async def tell(self, word: Told) -> None:
        """Wait until the pipe has taken the word; LinkError where the process is gone."""
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(await asyncio.to_thread(packed, word) if isinstance(word, Begin) else packed(word))
            await pipe.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise LinkError("the adapting process is gone", got="a closed pipe") from None

    async def words(self) -> AsyncIterator[Said]:
        """What it says, until it ends; FrameError where it says what no process of ours says."""
        pipe = self._process.stdout
        assert pipe is not None
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                size = length(LENGTH.unpack(await pipe.readexactly(LENGTH.size))[0])
                yield said(await pipe.readexactly(size))

    async def end(self) -> int:
        """Close the pipe, which ends it; for good where it does not. Its exit status."""
        pipe = self._process.stdin
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            return await self._process.wait()
