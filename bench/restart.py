"""The server dies under load and comes back: kill -9 in the middle of a run of real agents, the same port a few seconds later.

Asked of it: each agent is connected again within a second of the moment at which the server listens, answers by itself in
between, and every frame that its camera gave is answered, dropped or failed in the end, to the frame.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from msgspec import Struct

from bench.agents import AgentsJob, AgentsResult
from bench.processes import child
from bench.report import Row, summary
from bench.servers import Listening, ServerJob
from edgewise.core.errors import LinkError

DOWN = 2.0  # s between the kill and the new server's start


class Restart(Struct, frozen=True):
    """Times (s) from listening to an open session, one a device; `alone` are frames of the gap that were answered here."""

    reconnects: tuple[float, ...]
    missing: int
    gap: float
    in_gap: int
    alone: int
    unaccounted: int
    sent: int
    lost_answers: int


def restart(folder: Path, nodes: tuple[str, ...], rate: float, before: float, after: float) -> Restart:
    """`before` seconds of load, the kill, DOWN seconds of nothing, a new server, and `after` seconds more."""
    first = child("bench.servers", ServerJob("edge", str(folder)))
    with first as serving:
        port = serving.hear(Listening, 30).port
        seconds = before + DOWN + after
        with child("bench.agents", AgentsJob(port, str(folder), nodes, rate, seconds + 3.0)) as agents:
            agents.hear(dict, 30)
            time.sleep(before)
            killed = time.monotonic()
            serving.kill()
            time.sleep(DOWN)
            with child("bench.servers", ServerJob("edge", str(folder), port=port)):
                listening = asyncio.run(_listens(port))
                agents.hear(dict, seconds + 30)
                result = agents.hear(AgentsResult, 30)
    if not any(result.opened.values()):
        raise LinkError("no agent ever reached the server")
    return account(result, nodes, killed, listening)


def account(result: AgentsResult, nodes: tuple[str, ...], killed: float, listening: float) -> Restart:
    """What the agents' own records say of the gap."""
    again = {n: [t for t in result.opened.get(n, []) if t > killed] for n in nodes}
    gap = [e for e in result.ended if killed < e.captured < listening]
    return Restart(
        reconnects=tuple(max(0.0, min(times) - listening) for times in again.values() if times),
        missing=sum(not times for times in again.values()),
        gap=listening - killed,
        in_gap=len(gap),
        alone=sum(e.outcome == "answered" and e.mode == "local" for e in gap),
        unaccounted=abs(result.sent - result.answered - result.dropped - result.failed) + abs(result.sent - len(result.ended)),
        sent=result.sent,
        lost_answers=result.failed,
    )


async def _listens(port: int, seconds: float = 30.0) -> float:
    """The moment from which a TCP connection is taken, looked for each 5 ms."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.005)
            continue
        at = time.monotonic()
        writer.close()
        return at
    raise LinkError("the new server does not listen", got=f"nothing on port {port} after {seconds:g} s")


def rows(it: Restart) -> list[Row]:
    case = f"server killed under load, {len(it.reconnects) + it.missing} agents"
    out = [
        Row(case, "gap without a server", it.gap, "s"),
        Row(case, "frames captured in the gap", it.in_gap, "frames"),
        Row(case, "of these answered by the device itself", it.alone, "frames", it.in_gap),
        Row(case, "frames failed in all", it.lost_answers, "frames", it.sent),
        Row(case, "frames unaccounted for", it.unaccounted, "frames", it.sent),
        Row(case, "agents not connected again", it.missing, "frames", len(it.reconnects) + it.missing),
    ]
    if it.reconnects:
        out.insert(0, summary(case, "reconnect after it listens", it.reconnects, "s", 1.0))
    return out
