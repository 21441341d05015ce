"""What a Disk promises while the power is on, on a folder and on the simulated one."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewise.core.errors import StoreError
from edgewise.node.store.disk import Disk, RealDisk
from edgewise.node.store.outbox import Bounds, Outbox
from edgewise.node.store.simulated import SimulatedDisk


@pytest.fixture(params=["real", "simulated"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return RealDisk(tmp_path / "new" / "store") if request.param == "real" else SimulatedDisk(random.Random(1))


def test_bytes_come_back_from_any_place(disk: Disk) -> None:
    disk.write("blobs/a", b"0123456789")
    disk.write("blobs/a", b"AB", 4)
    disk.write("blobs/a", b"xyz", 10)
    assert disk.read("blobs/a") == b"0123AB6789xyz"
    assert disk.read("blobs/a", 9, 2) == b"9x"
    assert disk.read("blobs/a", 12, 100) == b"z"
    assert disk.read("blobs/a", 100) == b""
    assert disk.size("blobs/a") == 13
    disk.write("blobs/a", b"new")
    assert disk.read("blobs/a") == b"new"


def test_a_name_takes_the_place_of_another(disk: Disk) -> None:
    disk.write("a", b"old")
    disk.write("b", b"new")
    disk.sync("b")
    disk.replace("b", "a")
    disk.write("folder/c", b"")
    assert (disk.read("a"), disk.size("b"), disk.names(""), disk.names("folder")) == (b"new", None, ["a"], ["c"])
    disk.remove("a")
    disk.remove("a")
    assert (disk.names(""), disk.names("nowhere")) == ([], [])


def test_a_hole_and_a_missing_file_are_sentences(disk: Disk) -> None:
    disk.write("a", b"four")
    with pytest.raises(StoreError, match="would leave a hole; got byte 5"):
        disk.write("a", b"x", 5)
    for call in (lambda: disk.read("b"), lambda: disk.sync("b"), lambda: disk.replace("b", "c")):
        with pytest.raises(StoreError, match="no such file"):
            call()


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../a", "a/../../b", "a//b", "./a", "a\\b", "a\0b", "C:/a", "a/"])
def test_no_path_leaves_the_folder(disk: Disk, path: str) -> None:
    for call in (
        lambda: disk.read(path),
        lambda: disk.write(path, b""),
        lambda: disk.remove(path),
        lambda: disk.size(path),
        lambda: disk.connect(path),
    ):
        with pytest.raises(StoreError, match="may not leave the store"):
            call()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", tmp_path], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_full_disk_is_a_sentence_and_all_goes_on_when_there_is_room(tiny: Path) -> None:
    disk = RealDisk(tiny)
    outbox = Outbox(disk.connect("state.db"))
    kept = outbox.put("rows", b"before", 0.0)
    disk.write("ballast", bytes(100_000))
    with pytest.raises(StoreError, match="disk is full"):
        disk.write("blob", bytes(4_000_000))
    disk.remove("blob")
    free = disk.free()
    assert free is not None
    with pytest.raises(StoreError, match=r"disk is full; got state\.db"):
        for _ in range(1000):
            outbox.put("rows", bytes(4000), 0.0)
    durable, held = outbox.last, len(outbox)
    disk.remove("ballast")
    assert outbox.put("report", b"after", 0.0) == durable + 1
    assert len(outbox) == held + 1
    assert outbox.waiting(0, 1)[0].seq == kept


def test_a_read_only_disk_is_a_sentence(tiny: Path) -> None:
    disk = RealDisk(tiny)
    database = disk.connect("state.db")
    Outbox(database).put("rows", b"kept", 0.0)
    database.close()
    disk.write("a", b"kept")
    subprocess.run(["mount", "-o", "remount,ro", tiny], check=True)
    for call in (
        lambda: disk.write("a", b"lost"),
        lambda: disk.write("b", b"lost"),
        lambda: disk.remove("a"),
        lambda: disk.replace("a", "b"),
        lambda: Outbox(disk.connect("state.db")).put("rows", b"lost", 0.0),
        lambda: disk.connect("other.db"),
    ):
        with pytest.raises(StoreError, match=r"cannot be written|cannot be opened|mounted read-only"):
            call()
    assert disk.read("a") == b"kept"
    subprocess.run(["mount", "-o", "remount,rw", tiny], check=True)
    assert len(Outbox(disk.connect("state.db"))) == 1


def test_an_outbox_at_its_bounds_goes_on_while_others_have_filled_the_disk(tiny: Path) -> None:
    disk = RealDisk(tiny)
    for life in (1, 2):
        database = disk.connect("state.db")
        outbox = Outbox(database, Bounds(bytes=40_000))
        for _ in range(20):
            outbox.put("rows", bytes(4000), 0.0)
        if life == 1:
            database.close()
    with pytest.raises(StoreError, match="disk is full"):
        disk.write("ballast", bytes(4 << 20))
    took = refused = 0
    for _ in range(60):
        try:
            outbox.put("rows", bytes(4000), 0.0)
            took += 1
        except StoreError:
            refused += 1
    assert refused, "the disk is full"
    assert took > 3 * refused, "what was refused made room for what came after"
    assert outbox.counts["rows"].put == 40 + took
