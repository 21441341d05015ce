"""A simulated clock wakes its sleepers in order, each at its moment, and moves only when it is told to."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.meter.clock import Clock, RealClock, SimulatedClock


@given(st.lists(st.integers(1, 1000), max_size=20))
def test_sleepers_wake_in_order_and_at_their_moment(naps: list[int]) -> None:
    async def run() -> list[float]:
        clock, woken = SimulatedClock(), []

        async def nap(seconds: float) -> None:
            await clock.sleep(seconds)
            assert clock.now() == seconds
            woken.append(clock.now())

        tasks = [asyncio.create_task(nap(n)) for n in naps]
        await clock.advance(1000)
        await asyncio.gather(*tasks)
        assert clock.now() == 1000
        return woken

    assert asyncio.run(run()) == sorted(naps)


async def test_what_a_sleeper_starts_sleeps_and_wakes_within_the_same_advance() -> None:
    clock, ticks = SimulatedClock(), []

    async def beat() -> None:
        while True:
            await clock.sleep(0.25)
            ticks.append(clock.now())

    task = asyncio.create_task(beat())
    await clock.advance(1.0)
    assert ticks == [0.25, 0.5, 0.75, 1.0]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert clock.next_wake is None


async def test_nobody_wakes_before_time_passes() -> None:
    clock = SimulatedClock()
    task = asyncio.create_task(clock.sleep(1.0))
    await clock.advance(0.999)
    assert not task.done() and clock.next_wake == 1.0
    await clock.advance(0.001)
    assert task.done()


@pytest.mark.parametrize("clock", [RealClock(), SimulatedClock()])
async def test_time_never_goes_backwards(clock: Clock) -> None:
    before = clock.now()
    await clock.sleep(0.0)
    assert clock.now() >= before
