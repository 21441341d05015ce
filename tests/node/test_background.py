"""Waiting that can always be ended."""

from __future__ import annotations

import asyncio
import time

from edgewise.node.background import cancel, within


async def test_a_task_that_waits_in_a_loop_ends_even_if_what_it_waits_for_comes_in_the_same_moment() -> None:
    news, turns = asyncio.Event(), 0

    async def work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await within(news.wait(), 5.0)
            news.clear()

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    for _ in range(3):  # whatever stands between the news and the end of the wait
        news.set()
        await asyncio.sleep(0)
    turns = 0
    news.set()
    async with asyncio.timeout(2):
        await cancel(task)
    assert turns <= 1


async def test_waiting_ends_with_the_time() -> None:
    began = time.monotonic()
    await within(asyncio.Event().wait(), 0.05)
    assert time.monotonic() - began >= 0.05
