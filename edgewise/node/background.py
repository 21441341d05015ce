"""Tasks that run beside the main one: whatever ends one of them is logged and told, never swallowed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

log = logging.getLogger("edgewise.background")


def background(work: Coroutine[Any, Any, None], name: str, died: Callable[[str], None]) -> asyncio.Task[None]:
    """Start `work`; when it ends by an error, log it and call `died` with a sentence."""
    task = asyncio.get_running_loop().create_task(work, name=name)

    def ended(task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log.error("%s ended by an error", name, exc_info=error)
            died(f"{name} ended by an error: {type(error).__name__}: {error}")

    task.add_done_callback(ended)
    return task


async def within(work: Awaitable[object], seconds: float | None) -> None:
    """Wait for `work`, for `seconds` at most (None: as long as it takes).

    Not `asyncio.wait_for`: before Python 3.12 that forgets a cancellation which comes in the moment the work is done, and a
    loop around it then never ends.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


async def cancel(*tasks: asyncio.Task[None]) -> None:
    """End tasks and wait until they have."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
