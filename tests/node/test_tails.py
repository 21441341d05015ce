"""Versions come and go at a server that is working: nobody else's frame is refused, and a version that is gone says so."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgewise.apps.vision.bundles import find
from edgewise.core.answer import Answer
from edgewise.core.artifact import MANIFEST
from edgewise.core.errors import ModelError
from edgewise.net.messages import Stream
from edgewise.node.heads import Heads
from edgewise.node.tails import Tails
from edgewise.runtime.bundle import Bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    old, new = Bundle.open(find("vehicles")), tmp_path_factory.mktemp("new")
    for file in find("vehicles").iterdir():
        if file.is_file():
            (new / file.name).write_bytes(file.read_bytes())
    changed = msgspec.structs.replace(old.manifest, provenance={"version": "another"})
    (new / MANIFEST).write_bytes(changed.canonical)
    return old, Bundle.open(new)


def frame(bundle: Bundle, point: str = "split-4") -> tuple[Stream, memoryview]:
    heads = Heads(bundle)
    picture = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    payload = heads.prepare(picture, bundle.manifest.point(point)).payload
    return next(s for s in heads.streams() if s.point == point), memoryview(payload)


def test_a_version_comes_and_goes_while_the_other_is_answered(bundles: tuple[Bundle, Bundle]) -> None:
    old, new = bundles
    tails = Tails([old])
    before, after = frame(old), frame(new)
    assert "does not hold" in str(tails.accept(after[0]))
    done, refused = threading.Event(), []

    def come_and_go() -> None:
        for _ in range(20):
            tails.add(new)
            tails.drop(new.address)
        done.set()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    while not done.is_set():
        refused += [a for a in tails.run([before]) if isinstance(a, str)]
        assert old.address in tails.models
    thread.join()
    assert refused == []
    tails.add(new)
    assert tails.accept(after[0]) is None
    assert isinstance(tails.run([after])[0], Answer)


def test_frames_of_a_version_that_was_dropped_meanwhile_are_refused_with_a_sentence(bundles: tuple[Bundle, Bundle]) -> None:
    old, new = bundles
    tails = Tails([old, new])
    waiting = frame(new)
    assert tails.run([waiting, waiting]) == tails.run([frame(old)]) * 2, "one model under two names"
    tails.drop(new.address)
    assert tails.key(waiting[0]) != tails.key(frame(old)[0])
    says = tails.run([waiting, waiting])
    assert all(isinstance(s, str) and new.address[:12] in s and old.address[:12] in s for s in says)
    assert len(says) == 2


def test_a_key_tells_features_from_pictures(bundles: tuple[Bundle, Bundle]) -> None:
    tails = Tails([bundles[0]])
    assert tails.key(frame(bundles[0])[0]) != tails.key(frame(bundles[0], "jpeg-75")[0])


def test_a_broken_version_is_not_served(bundles: tuple[Bundle, Bundle], tmp_path: Path) -> None:
    class Broken:
        address, manifest = "0" * 64, bundles[0].manifest

        def session(self, part: str, threads: int = 1) -> object:
            raise ModelError("a part is none")

    tails = Tails([bundles[0]])
    with pytest.raises(ModelError, match="a part is none"):
        tails.add(Broken())  # type: ignore[arg-type]
    assert list(tails.models) == [bundles[0].address]
