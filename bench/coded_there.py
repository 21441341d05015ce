"""Frames coded here and there: another interpreter (another processor, another NumPy) must give the same bytes and symbols.

    python -m bench.coded_there FILE      run there: prints {machine, numpy, frames, encoded, decoded}, the last two errors

The file holds symbols, indices, tables and payloads, so that nothing of it depends on generators of random numbers over there.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from edgewise.codec import tables
from edgewise.codec.check import Frame
from edgewise.codec.rans import Coder
from edgewise.core.errors import ConfigError, TensorError


class Coded(Struct, frozen=True):
    """A frame as a file holds it: int32 symbols, int64 index, packed tables, and its payload from here."""

    symbols: bytes
    index: bytes
    tables: bytes
    lanes: int | None
    payload: bytes


def write(frames: Iterable[Frame], path: Path) -> int:
    """Code frames here and write them for there; how many."""
    coded = [
        Coded(
            f.symbols.astype("<i4").tobytes(),
            f.index.astype("<i8").tobytes(),
            tables.pack(f.tables),
            f.lanes,
            Coder(f.tables, f.index, f.lanes).encode(f.symbols),
        )
        for f in frames
    ]
    path.write_bytes(msgspec.msgpack.encode(coded))
    return len(coded)


def compare(path: Path) -> dict[str, Any]:
    """Code and decode the frames of a file, and count those that differ."""
    frames = msgspec.msgpack.decode(path.read_bytes(), type=list[Coded])
    encoded = decoded = 0
    for frame in frames:
        symbols = np.frombuffer(frame.symbols, "<i4").astype(np.int32)
        coder = Coder(tables.unpack(frame.tables), np.frombuffer(frame.index, "<i8"), frame.lanes)
        encoded += coder.encode(symbols) != frame.payload
        try:
            decoded += not np.array_equal(coder.decode(frame.payload), symbols)
        except TensorError:
            decoded += 1
    where = {"machine": platform.machine(), "numpy": np.__version__}
    return {**where, "frames": len(frames), "encoded": encoded, "decoded": decoded}


def there(words: Sequence[str], environment: Mapping[str, str], path: Path, seconds: float = 600) -> dict[str, Any]:
    """What the interpreter that `words` start finds in a file; ConfigError with its words where it cannot run."""
    try:
        done = subprocess.run(
            [*words, "-m", "bench.coded_there", str(path)], env=dict(environment), capture_output=True, text=True, timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError("frames cannot be coded there", got=error) from None
    if done.returncode:
        raise ConfigError("frames cannot be coded there", got=done.stderr.strip()[-300:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(compare(Path(sys.argv[1]))))
