"""The device's learner: it fits the node's seam, follows wishes that can be meant, and needs nothing that a device has not."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec.structs import replace

from edgewise.adapt.device import NOT_ASKED, DeviceLearner, seed_of
from edgewise.core.learning import Learning
from edgewise.data.doubt import Doubt
from edgewise.node.learning import Learner

ALL = Learning(samples=1e6, bytes=1e9, audit=1.0)
DOUBT = Doubt(0.5, np.full(10, 0.1, np.float32))


def frames(learner: Learner, n: int, start: int = 0) -> list[bool]:
    return [learner.consider(DOUBT, (start + i) / 30, 900.0).learn for i in range(n)]


def test_nothing_goes_before_anybody_asks_or_after() -> None:
    learner: Learner = DeviceLearner(10)
    assert not any(frames(learner, 20)) and learner.counts == {NOT_ASKED: 20}
    learner.wanted(ALL)
    assert sum(frames(learner, 20, 20)) >= 18
    learner.wanted(None)
    assert not any(frames(learner, 20, 40))
    assert learner.counts[NOT_ASKED] == 40 and sum(learner.counts.values()) == 60


def test_wishes_that_cannot_be_meant_leave_those_before() -> None:
    learner = DeviceLearner(10)
    learner.wanted(replace(ALL, floor=0.5, ceiling=0.4))
    assert "floor" in learner.refused and not any(frames(learner, 9))
    learner.wanted(ALL)
    assert not learner.refused
    learner.wanted(replace(ALL, floor=0.5, ceiling=0.4))
    assert "floor" in learner.refused and sum(frames(learner, 9, 9)) >= 7


def test_what_went_and_came_back_is_as_if_it_had_not_gone() -> None:
    learner = DeviceLearner(10)
    learner.wanted(replace(ALL, bytes=1000.0))
    went = next(c for i in range(90) if (c := learner.consider(DOUBT, i / 30, 900.0)).learn)
    assert learner.settle(went, 900.0, 700.0)
    selector = learner._selector
    assert selector is not None
    left = selector.state.bytes.left
    foreign = SimpleNamespace(learn=True, audit=True, cascade=False, why="audit")  # a node may keep a choice in its own form
    learner.withdraw(foreign, 700.0, "no link")
    assert selector.state.bytes.left == pytest.approx(left + 700) and learner.counts["no link"] == 1
    assert "audit" not in learner.counts


def test_devices_draw_apart() -> None:
    streams = []
    for name in ("cam1", "cam2", "cam1"):
        learner = DeviceLearner(10, seed_of(name))
        learner.wanted(replace(ALL, audit=0.3, samples=0.0))
        streams.append(frames(learner, 200))
    assert streams[0] == streams[2] != streams[1]


def test_it_needs_nothing_that_a_device_has_not() -> None:
    heavy = "{'torch', 'onnx', 'scipy', 'cv2', 'onnxruntime', 'edgewise.adapt.training'}"
    code = f"import sys, edgewise.adapt.device; found = {heavy} & set(sys.modules); assert not found, found"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
