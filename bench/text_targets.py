"""Fuzzed: what a person writes. A line (a budget, a guard), or a file by its suffix (profiles, links, recorded traces)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from bench.mutation import mutated
from bench.targets import Plain
from edgewise.core.cost import Budget
from edgewise.node.delivery import guard
from edgewise.profiles import load

BUDGET = b"p95 latency<=80ms, device_energy<=0.5J/s, bytes_up<=20KB, quality>=0.8, miss_rate<=1%"
GUARD = b"quality>-0.5pt p95<120ms failed<1%"
DEVICE = b'{"name": "x", "memory": {"value": 1e9, "unit": "bytes", "provenance": "quoted", "source": "s"}}'
MAHIMAHI = b"".join(b"%d\n" % n for n in range(1, 400, 7))
TABLE = b"time_s,rate_mbit_s\n0,2.5\n1,0.5\n2.5,1e1\n# end\n"
MEMORY = Path("/dev/shm")  # where there is one: a file of a case is written and read once


class Configs(Plain):
    def __init__(self) -> None:
        devices = sorted((load.HERE / "devices").glob("*.toml"))[:1]
        links = sorted((load.HERE / "links").glob("*.toml"))[:2]
        self._lines: tuple[tuple[bytes, Callable[[str], object]], ...] = ((BUDGET, Budget.parse), (GUARD, guard.parse))
        self._files: list[tuple[bytes, str, Callable[[Path], object]]] = [
            *((file.read_bytes()[:2048], ".toml", load.read_device) for file in devices),
            *((file.read_bytes(), ".toml", load.load_link) for file in links),
            (DEVICE, ".json", load.read_device),
            (MAHIMAHI, ".up", load.load_link),
            (TABLE, ".csv", load.load_link),
        ]
        self._folder = tempfile.TemporaryDirectory(prefix="edgewise-fuzz-", dir=MEMORY if MEMORY.is_dir() else None)

    def draw(self, random: Random) -> tuple[int, bytes]:
        lines, files = len(self._lines), len(self._files)
        which = random.randrange(lines) if random.random() < 0.5 else lines + random.randrange(files)
        seed = self._lines[which][0] if which < lines else self._files[which - lines][0]
        return which, mutated(random, (seed,))

    def feed(self, which: int, data: bytes) -> bool:
        if which < len(self._lines):
            self._lines[which][1](data.decode("utf-8", "replace"))
            return True
        _, suffix, read = self._files[which - len(self._lines)]
        file = Path(self._folder.name) / f"case{suffix}"
        file.write_bytes(data)
        read(file)
        return True

    def close(self) -> None:
        self._folder.cleanup()
