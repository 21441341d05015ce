"""The bytes of an operating point mean one thing, whoever measured it: the mean payload; `--bytes` speaks of frames."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgewise.codec.select import codec_for
from edgewise.core.artifact import Grid
from edgewise.core.errors import BudgetError
from edgewise.core.placement import OperatingPoint
from edgewise.core.wire import FRAME_HEADER
from edgewise.data.preprocess import fit
from edgewise.runtime.bundle import Bundle
from edgewise.split import points, quick_points
from edgewise.split.gallery import Gallery
from edgewise.split.judged import Judge, Sessions
from edgewise.split.quick import Quick, quick
from edgewise.split.subject import prepared
from edgewise.training import validate
from edgewise.training.frames import rendered
from tests.split.quick_subject import classifier, folder

VEHICLES = Path(__file__).parents[2] / "edgewise" / "bundles" / "vehicles"


def test_quick_and_fit_say_the_same_bytes_of_the_same_pictures(tmp_path: Path) -> None:
    """The measurer of `split fit` on the bundle and the judged pictures of `split quick`."""
    (tmp_path / "stripes.onnx").write_bytes(classifier().SerializeToString())
    folder(tmp_path / "pictures", 90)
    config = Quick(
        model=tmp_path / "stripes.onnx", calibrate=tmp_path / "pictures", out=tmp_path / "a", samples=48, judged=40, rates=1
    )
    quick(config)
    bundle = Bundle.open(tmp_path / "a")
    samples = prepared(config, lambda what, share: None).samples
    head, tail, whole = (bundle.session(part) for part in ("head", "tail", "local"))
    judge = Judge(
        Sessions(head, tail, whole), Gallery(samples.values, samples.names), samples.judge, bundle.manifest.decoding, ()
    )
    (ours,) = (p for p in bundle.manifest.points if p.mode == "split")
    codec = codec_for(ours, bundle.manifest)
    again = judge.split(ours, codec)
    sent = [len(codec.encode(judge._sessions.features(samples.of([i])))) for i in samples.judge]
    assert ours.bytes_up == again.bytes_up == round(float(np.mean(sent)), 1)
    assert ours.frame_up == ours.bytes_up + FRAME_HEADER


def test_the_shipped_table_says_payloads_too() -> None:
    """What makes the manifest of `vehicles` counts the bytes that the codec gave."""
    bundle = Bundle.open(VEHICLES)
    frames = rendered(range(200, 201), 1, None)
    point = bundle.manifest.point("split-2")
    parts = validate.parts(bundle)
    found = validate.everything(parts, point, frames.pictures)
    assert isinstance(bundle.manifest.decoding, Grid)
    told = validate.measured(point, found, bundle.manifest.decoding, frames, validate.truth(frames))
    codec, look = codec_for(point, bundle.manifest), bundle.manifest.pictures["head"]
    sent = [len(codec.encode(parts.head.run({"picture": fit(image, look)})["bottleneck"])) for image in frames.pictures]
    assert told.bytes_up == round(float(np.mean(sent)), 1)


def test_a_wish_for_bytes_is_of_frames_in_both_verbs() -> None:
    made = [OperatingPoint("split-1", "split", "rans", 1, bytes_up=100.0)]
    for within in (points.within, quick_points.within):
        within(made, 100 + FRAME_HEADER)
        with pytest.raises(BudgetError, match="124 bytes and more"):
            within(made, 99 + FRAME_HEADER)


def test_what_sends_nothing_has_no_frame() -> None:
    for mode in ("local", "drop"):
        point = msgspec.structs.replace(OperatingPoint("x", mode), bytes_up=0.0)
        assert point.frame_up == point.frame_down == 0.0
