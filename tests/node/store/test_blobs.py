"""Blobs: the right bytes under their name or nothing, resumed after any break, on disks and at addresses."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.errors import ConfigError, ModelError, StoreError
from edgewise.node.store.blobs import STRIDE, Blobs, RemoteBlobs
from edgewise.node.store.disk import RealDisk
from edgewise.node.store.simulated import SimulatedDisk

DATA = random.Random(5).randbytes(3 * STRIDE + 1000)
NAME = hashlib.sha256(DATA).hexdigest()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 2 * STRIDE), st.integers(0, 500), st.booleans()), max_size=12), st.integers(0, 99))
def test_a_blob_is_resumed_after_any_break(pieces: list[tuple[int, int, bool]], seed: int) -> None:
    disk = SimulatedDisk(random.Random(seed))
    blobs, fetched = Blobs(disk), 0
    for size, again, cut in [*pieces, (len(DATA), 0, False)]:
        at = max(0, blobs.partial(NAME) - again)
        blobs.append(NAME, at, DATA[at : at + size])
        fetched += min(size, len(DATA) - at) - again
        if cut:
            before = blobs.partial(NAME)
            disk.cut()
            blobs = Blobs(disk)
            assert before - 2 * STRIDE <= blobs.partial(NAME) <= before
    blobs.finish(NAME, len(DATA))
    disk.cut()
    assert Blobs(disk).read(NAME) == DATA
    assert (Blobs(disk).names(), Blobs(disk).partials(), disk.names("blobs")) == ([NAME], {}, [NAME])


def test_another_file_is_refused_and_thrown_away(tmp_path: Path) -> None:
    blobs = Blobs(RealDisk(tmp_path))
    blobs.append(NAME, 0, DATA[:-1] + b"!")
    with pytest.raises(ModelError, match="not the one that was signed"):
        blobs.finish(NAME, len(DATA))
    assert (blobs.partial(NAME), blobs.has(NAME), blobs.partials()) == (0, False, {})
    blobs.append(NAME, 0, DATA + b"more")
    with pytest.raises(ModelError, match=f"allowed: {len(DATA)}"):
        blobs.finish(NAME, len(DATA))
    blobs.append(NAME, 0, DATA[:1000])
    with pytest.raises(StoreError, match="not all there"):
        blobs.finish(NAME, len(DATA))
    with pytest.raises(StoreError, match="hole; got byte 1001"):
        blobs.append(NAME, 1001, b"x")
    with pytest.raises(StoreError, match="no such name"):
        blobs.has("../../etc/passwd")
    assert blobs.partial(NAME) == 1000, "what was fetched stays"


def test_whole_blobs_empty_ones_and_removal(tmp_path: Path) -> None:
    blobs = Blobs(RealDisk(tmp_path))
    empty = hashlib.sha256(b"").hexdigest()
    blobs.finish(empty, 0)
    name = blobs.put(b"whole")
    assert blobs.put(b"whole") == name
    assert sorted([empty, name]) == blobs.names()
    assert (blobs.read(name), blobs.read(name, 1, 2), blobs.size(empty)) == (b"whole", b"ho", 0)
    blobs.append(NAME, 0, b"begun")
    blobs.remove(NAME)
    blobs.remove(name)
    blobs.remove(name)
    assert (blobs.names(), blobs.partials()) == ([empty], {})
    with pytest.raises(StoreError, match="no such file"):
        blobs.read(name)


def test_a_full_disk_keeps_what_there_is_and_goes_on() -> None:
    disk = SimulatedDisk(random.Random(2))
    disk.capacity = STRIDE + 100
    blobs = Blobs(disk)
    with pytest.raises(StoreError, match="disk is full"):
        blobs.append(NAME, 0, DATA)
    assert blobs.partial(NAME) == STRIDE
    disk.capacity = None
    blobs.append(NAME, STRIDE, DATA[STRIDE:])
    blobs.finish(NAME, len(DATA))
    assert blobs.read(NAME) == DATA


@pytest.fixture(params=["memory", "file"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> RemoteBlobs:
    pytest.importorskip("fsspec")
    return RemoteBlobs(f"memory://{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}/releases")


def test_an_address_holds_blobs_alike(remote: RemoteBlobs) -> None:
    assert (remote.has(NAME), remote.size(NAME), remote.names()) == (False, None, [])
    with pytest.raises(StoreError, match="no such file"):
        remote.read(NAME)
    assert remote.put(DATA) == remote.put(DATA) == NAME
    assert (remote.names(), remote.size(NAME), remote.has(NAME)) == ([NAME], len(DATA), True)
    assert remote.read(NAME) == DATA
    assert remote.read(NAME, 5, 7) == DATA[5:12]
    assert remote.read(NAME, len(DATA) - 3, 100) == DATA[-3:]
    assert remote.read(NAME, len(DATA) + 3, 100) == b""
    assert RemoteBlobs(remote.url).read(NAME) == DATA
    remote.remove(NAME)
    remote.remove(NAME)
    assert remote.names() == []


@pytest.mark.parametrize("fault", ["breaks", "short"])
def test_an_upload_that_is_torn_is_never_seen(remote: RemoteBlobs, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = remote._files
    whole = files.pipe_file

    def torn(path: str, data: bytes) -> None:
        whole(path, data[: len(data) // 2])
        if fault == "breaks":
            raise ConnectionResetError("the link is gone")

    with monkeypatch.context() as patch:
        patch.setattr(files, "pipe_file", torn)
        with pytest.raises(StoreError, match=r"cannot be reached|cut short"):
            remote.put(DATA)
    assert (remote.has(NAME), remote.names()) == (False, [])
    assert remote.swept() == (fault == "breaks")
    assert remote.put(DATA) == NAME
    assert remote.read(NAME) == DATA


def test_an_address_that_leads_nowhere_is_a_sentence() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(ConfigError, match="no way to this address"):
        RemoteBlobs("nowhere://bucket")
    with pytest.raises(StoreError, match="cannot be reached"):
        RemoteBlobs("file:///proc/nowhere/blobs")


def test_what_a_client_of_foreign_code_raises_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class HttpError(Exception):
        pass

    remote = RemoteBlobs((tmp_path / "there").as_uri())

    def cut(*args: object, **more: object) -> None:
        raise HttpError("503 SlowDown")

    for call, name in ((remote.size, "info"), (remote.read, "info"), (remote.remove, "rm_file")):
        with (
            monkeypatch.context() as patch,
            pytest.raises(StoreError, match=r"cannot be reached; got .* HttpError: 503 SlowDown"),
        ):
            patch.setattr(remote._files, name, cut)
            call(NAME)
