"""Parts of a bundle follow their stream when they are told to: on the device, on the server, and from one version to the next."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.core.artifact import Bottleneck, Classes
from edgewise.core.moments import unpacked, widths
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.node.heads import Heads
from edgewise.node.parts import Parts
from edgewise.node.tails import Tails
from edgewise.runtime.bundle import Bundle, write_bundle
from edgewise.runtime.initialisers import patched
from tests.normalised import CLASSES, dimmed, network, pictures

LABELS = tuple("abcd")


def bundle(folder: Path, **changes: NDArray[np.float32]) -> Bundle:
    """A local model, and one of the same form as a tail of features (3, 8, 8) behind a head that passes them on."""
    from onnx import TensorProto, helper

    told = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3, 8, 8]) for n in ("x", "y")]
    head = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "head", told[:1], told[1:])
    model = patched(network(), changes) if changes else network()
    worth = {"all": Quality(0.9, 0.9, 0.9, 9)}
    write_bundle(
        folder,
        name="followed",
        labels=LABELS,
        parts={
            "local": model,
            "head": helper.make_model(head, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString(),
            "tail": model,
        },
        pictures={},
        bottleneck=Bottleneck((3, 8, 8), (-8.0,) * 3, (8.0,) * 3),
        decoding=Classes("scores"),
        points=(OperatingPoint("local", "local", quality=worth), OperatingPoint("split", "split", "affine", 8, quality=worth)),
        provenance={},
        task="classification",
    )
    return Bundle.open(folder)


def built() -> None:
    """Wait for the sessions that are made aside."""
    for thread in threading.enumerate():
        if thread.name == "edgewise-statistics":
            thread.join()


def follow(parts: Parts, batch: NDArray[np.float32]) -> None:
    parts.tracking.turn(True, wait=True)
    for one in batch:
        parts.run("local", one[None])


def test_a_device_follows_when_it_is_told_and_runs_as_ever_when_not(tmp_path: Path) -> None:
    heads = Heads(bundle(tmp_path))
    sample = dimmed(pictures(0, 1))[0]
    before = heads.local(sample).answer
    assert heads.statistics() == b"" and not heads.following.tallies
    heads.following.turn(True, wait=True)
    for one in dimmed(pictures(1, 200)):
        heads.local(one)
    it = heads.following.of("local")
    assert it is not None and it.tally.runs == 200 and it.course.labels is not None
    found = unpacked(heads.statistics(), widths(it.source))
    assert set(found) == {"local.first", "local.second"}
    built()
    assert heads.local(sample).answer != before
    heads.follow(False)
    assert heads.local(sample).answer == before


def test_what_cannot_follow_says_so_and_runs(tmp_path: Path) -> None:
    heads = Heads(bundle(tmp_path))
    heads.following.turn(True, wait=True)
    assert heads.following.of("head") is None
    assert "no normalisation" in heads.following.refused["head"]
    assert heads.prepare(pictures(0, 1)[0], heads.manifest.point("split")).payload


def test_a_new_version_goes_on_with_the_statistics_of_the_last(tmp_path: Path) -> None:
    old = Heads(bundle(tmp_path / "old"))
    old.following.turn(True, wait=True)
    for one in dimmed(pictures(1, 200)):
        old.local(one)
    new = Heads(bundle(tmp_path / "new", **{"first.bias": np.full(6, 0.3, np.float32)}))
    new.succeed(old)
    assert new.statistics() == old.statistics() != b""
    untracked = Heads(bundle(tmp_path / "new"))
    untracked.succeed(Heads(bundle(tmp_path / "old")))
    assert untracked.statistics() == b""


def test_a_tail_follows_what_devices_send_as_features(tmp_path: Path) -> None:
    served = bundle(tmp_path)
    heads, tails, plain = Heads(served), Tails([served]), Tails([served])
    tails.follow("followed", True)
    (stream,) = heads.streams()
    point = heads.manifest.point("split")
    for start in range(0, 160, 8):
        payloads = [heads.prepare(one, point).payload for one in dimmed(pictures(start, 8))]
        tails.run([(stream, memoryview(payload)) for payload in payloads])
    built()
    one = [(stream, memoryview(heads.prepare(dimmed(pictures(999, 1))[0], point).payload))]
    assert tails.run(one) != plain.run(one)
    tails.follow("followed", False)
    assert tails.run(one) == plain.run(one)


@pytest.mark.parametrize("label", ["a", "nobody"])
def test_unknown_labels_are_not_told(tmp_path: Path, label: str) -> None:
    parts = Parts(bundle(tmp_path))
    follow(parts, pictures(0, 4))
    parts.tracking.told("local", label, LABELS)
    it = parts.tracking.of("local")
    assert it is not None and len(LABELS) == CLASSES
    assert (it.course.labels is None) == (label == "nobody")
