"""The bare client beside the bare echo: what aiohttp and TLS alone cost a device that sends 20 KB and waits for the answer.

The same rate, size and certificates as a device agent of ours in the same run; nothing else is in the process.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
from msgspec import Struct

from bench.processes import job, say
from bench.standin import payloads
from edgewise.net.connect import PATH
from edgewise.net.identity import client_context, load_identity


class EchoJob(Struct, frozen=True):
    port: int
    folder: str
    node: str
    rate: float
    seconds: float
    warm: float = 1.0


class EchoResult(Struct, frozen=True):
    """Of the time after the warm-up: CPU seconds, messages that came back, and their latencies (s)."""

    cpu: float
    frames: int
    latencies: list[float]


async def run(it: EchoJob) -> EchoResult:
    context = client_context(load_identity(Path(it.folder), it.node))
    messages = payloads()
    latencies: list[float] = []
    cpu, start = 0.0, time.perf_counter()
    warm, total = int(it.warm * it.rate), int((it.warm + it.seconds) * it.rate)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
        session.ws_connect(f"wss://127.0.0.1:{it.port}{PATH}", compress=0) as ws,
    ):
        for n in range(total):
            if n == warm:
                latencies.clear()
                cpu = time.process_time()
            await asyncio.sleep(max(0.0, start + n / it.rate - time.perf_counter()))
            sent = time.perf_counter()
            await ws.send_bytes(messages[n % len(messages)])
            await ws.receive_bytes(timeout=10)
            latencies.append(time.perf_counter() - sent)
        cpu = time.process_time() - cpu
    return EchoResult(cpu, len(latencies), latencies)


if __name__ == "__main__":
    say(asyncio.run(run(job(EchoJob))))
