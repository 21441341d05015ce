"""A real process with a real disk, killed with signal 9 in the middle of its work: what it told is there afterwards."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from edgewise.node.store.blobs import STRIDE, Blobs
from edgewise.node.store.disk import RealDisk
from edgewise.node.store.outbox import Outbox

PUTS = """
import sys
from edgewise.node.store.disk import RealDisk
from edgewise.node.store.outbox import Outbox

outbox = Outbox(RealDisk(sys.argv[1]).connect("state.db"))
while True:
    seq = outbox.put("rows", str(outbox.last + 1).encode() * 50, 0.0)
    print("put", seq, flush=True)
    if seq % 7 == 0:
        outbox.acked(seq - 5)
        print("acked", seq - 5, flush=True)
"""
APPENDS = """
import sys
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.disk import RealDisk

blobs = Blobs(RealDisk(sys.argv[1]))
name, size = sys.argv[2], int(sys.argv[3])
data = bytes(range(251)) * (size // 251 + 1)
while blobs.partial(name) < size:
    at = blobs.partial(name)
    blobs.append(name, at, data[at : min(at + 4096, size)])
    print("at", blobs.partial(name), flush=True)
"""


def killed(code: str, lines: int, *arguments: object) -> list[list[str]]:
    """What the process told until it was killed, which is some time after its line number `lines`."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = []
        for line in child.stdout:
            told.append(line.split())
            if len(told) == lines:
                child.kill()
        assert child.wait() == -9, "it was killed, and did not end by itself"
    return [words for words in told if len(words) == 2]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no signal 9 on Windows")
def test_each_number_that_was_told_is_there_after_kill_9(tmp_path: Path) -> None:
    draw = random.Random()
    last = acked = 0
    epoch = None
    for _ in range(5):
        for word, number in killed(PUTS, draw.randint(1, 120), tmp_path):
            last, acked = (int(number), acked) if word == "put" else (last, int(number))
        database = RealDisk(tmp_path).connect("state.db")
        outbox = Outbox(database)
        assert not database.damaged
        assert outbox.epoch == (epoch or outbox.epoch)
        epoch = outbox.epoch
        assert outbox.last >= last
        assert outbox.acknowledged >= acked
        waiting = outbox.waiting(0, 1 << 24)
        assert [i.seq for i in waiting] == list(range(outbox.acknowledged + 1, outbox.last + 1))
        assert all(i.body == str(i.seq).encode() * 50 for i in waiting)
        last = outbox.last
        database.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no signal 9 on Windows")
def test_a_download_goes_on_where_kill_9_left_it(tmp_path: Path) -> None:
    import hashlib

    size = 3 * STRIDE
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    name = hashlib.sha256(data).hexdigest()
    reached = 0
    for lines in (40, 60):
        told = killed(APPENDS, lines, tmp_path, name, size)
        reached = max(reached, int(told[-1][1]))
    blobs = Blobs(RealDisk(tmp_path))
    at = blobs.partial(name)
    assert at >= reached - STRIDE - 4096 > 0
    blobs.append(name, at, data[at:])
    blobs.finish(name, size)
    assert blobs.read(name) == data
