"""Files that come in pieces and are kept elsewhere."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from edgewise.core.errors import ModelError, StoreError
from edgewise.node.store.blobs import Blobs, RemoteBlobs
from edgewise.node.store.disk import RealDisk
from edgewise.node.store.simulated import SimulatedDisk
from edgewise.node.store.staged import Staged

DATA = random.Random(1).randbytes(300_000)
SHA = hashlib.sha256(DATA).hexdigest()


def staged(folder: Path) -> Staged:
    return Staged(Blobs(RealDisk(folder / "here")), RemoteBlobs((folder / "there").as_uri()))


def test_pieces_wait_here_and_the_whole_is_there(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    blobs = staged(tmp_path)
    blobs.append(SHA, 0, DATA[:200_000])
    assert blobs.partial(SHA) == 200_000 and blobs.size(SHA) is None
    blobs.append(SHA, 200_000, DATA[200_000:])
    blobs.finish(SHA, len(DATA))
    assert blobs.read(SHA, 5, 10) == DATA[5:15]
    assert (tmp_path / "there" / SHA).read_bytes() == DATA
    assert blobs.names() == [SHA] and blobs.partial(SHA) == 0
    assert RealDisk(tmp_path / "here").names("blobs") == []


def test_another_file_is_refused_and_never_there(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    blobs = staged(tmp_path)
    blobs.append(SHA, 0, DATA[:-1] + b"x")
    with pytest.raises(ModelError):
        blobs.finish(SHA, len(DATA))
    assert blobs.names() == [] and not blobs.has(SHA)


def test_an_upload_that_fails_is_finished_by_the_next_try() -> None:
    pytest.importorskip("fsspec")
    remote = RemoteBlobs("memory://staged-fails")
    blobs = Staged(Blobs(SimulatedDisk(random.Random(0))), remote)
    blobs.append(SHA, 0, DATA)
    put = remote.put

    def away(data: bytes) -> str:
        raise StoreError("the store cannot be reached")

    remote.put = away  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        blobs.finish(SHA, len(DATA))
    assert not blobs.has(SHA)
    remote.put = put  # type: ignore[method-assign]
    blobs.finish(SHA, len(DATA))
    assert blobs.read(SHA) == DATA
