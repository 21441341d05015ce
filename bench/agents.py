"""Real device agents in one process: source, policy, codec, session, ledger and transport are the product's; the model is free.

Each agent sees the same picture at a steady rate and decides as it always does. What became of every frame, and when each session
was open, is reported at the end, with the clock that the parent shares.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from msgspec import Struct

from bench import standin
from bench.processes import job, say
from edgewise.core.answer import FrameRecord
from edgewise.data.sources.feed import Picture, Source
from edgewise.meter.energy import EnergyModel
from edgewise.net.connect import connect
from edgewise.net.identity import load_identity
from edgewise.net.messages import Hello
from edgewise.net.session import DeviceSession
from edgewise.node.agent import Agent, AgentConfig
from edgewise.node.device import DeviceNode
from edgewise.node.heads import Heads
from edgewise.node.rows import Rows
from edgewise.node.store.outbox import MemoryOutbox
from edgewise.plan.online import OnlinePolicy

LOOK = 0.005  # s between two looks at whether a session is open


class AgentsJob(Struct, frozen=True):
    """`nodes` are names of certificates in `folder`; each runs for `warm` + `seconds` at `rate` frames a second."""

    port: int
    folder: str
    nodes: tuple[str, ...]
    rate: float
    seconds: float
    warm: float = 1.0
    deadline: float = 0.2


class Ended(Struct, frozen=True, array_like=True):
    """One frame: when it was captured, what became of it, and its latency (s)."""

    captured: float
    outcome: str
    mode: str
    latency: float


class AgentsResult(Struct, frozen=True):
    """`cpu` (s) and `frames` are those of the time after the warm-up; `opened` are moments at which sessions opened, by node."""

    cpu: float
    frames: int
    sent: int
    answered: int
    dropped: int
    failed: int
    opened: dict[str, list[float]]
    closed: dict[str, list[float]]
    ended: list[Ended]


class Steady(Source):
    """One picture, again and again."""

    def pictures(self) -> Iterator[Picture]:
        picture = np.random.default_rng(2).integers(0, 255, (360, 640, 3), np.uint8)
        while not self._closing.is_set():
            yield "steady", picture


def device(it: AgentsJob, node: str, on_record: list[FrameRecord]) -> DeviceNode:
    """An agent as `edgewise run` wires it, around the prepared bundle."""
    heads = Heads(standin.bundle())
    streams = heads.streams()
    policy = OnlinePolicy(heads.manifest.points, 1 / it.rate)
    rows = Rows(MemoryOutbox(), time.time)
    session = DeviceSession(Hello(node, "bench", streams, heads.address), rows)
    settings = AgentConfig(node, it.deadline)
    agent = Agent(settings, policy, session, {s.point: s.id for s in streams}, EnergyModel(2.65, 5.6), rows)
    link = partial(connect, f"127.0.0.1:{it.port}", load_identity(Path(it.folder), node))
    return DeviceNode(agent, heads, Steady("steady", it.rate), link, on_record=on_record.append)


async def run(it: AgentsJob) -> AgentsResult:
    records: list[FrameRecord] = []
    devices = [device(it, node, records) for node in it.nodes]
    opened: dict[str, list[float]] = {node: [] for node in it.nodes}
    closed: dict[str, list[float]] = {node: [] for node in it.nodes}
    watch = asyncio.create_task(_watch(devices, opened, closed)) if len(devices) > 1 else None
    running = asyncio.gather(*(d.run(it.warm + it.seconds) for d in devices))
    await asyncio.sleep(it.warm)
    gc.collect()
    frames, cpu = len(records), time.process_time()
    say({"measuring": True})
    await asyncio.sleep(it.seconds - 0.2)  # before the agents settle
    frames, cpu = len(records) - frames, time.process_time() - cpu
    say({"measuring": False})
    await running
    if watch is not None:
        watch.cancel()
    tables = [d.agent.ledger.table() for d in devices]
    return AgentsResult(
        cpu=cpu,
        frames=frames,
        sent=sum(t.sent for t in tables),
        answered=sum(t.answered for t in tables),
        dropped=sum(sum(t.dropped.values()) for t in tables),
        failed=sum(sum(t.failed.values()) for t in tables),
        opened=opened,
        closed=closed,
        ended=[Ended(r.captured, r.outcome, r.mode, r.latency) for r in records],
    )


async def _watch(devices: list[DeviceNode], opened: dict[str, list[float]], closed: dict[str, list[float]]) -> None:
    """Note when each session opens and closes."""
    was = [False] * len(devices)
    while True:
        now = time.monotonic()
        for i, d in enumerate(devices):
            if d.agent.session.open != was[i]:
                was[i] = not was[i]
                (opened if was[i] else closed)[d.agent.config.node].append(now)
        await asyncio.sleep(LOOK)


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # a server that dies is part of the plan
    say(asyncio.run(run(job(AgentsJob))))
