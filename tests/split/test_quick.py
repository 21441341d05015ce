"""`split quick` on a model that looks at its pictures: fewer bytes, the same answers, a bundle that runs, errors as sentences."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.codec.features import FeatureCodec
from edgewise.codec.select import codec_for
from edgewise.core.errors import BudgetError, ConfigError, ModelError, SourceError
from edgewise.graph.sketch import Sketch
from edgewise.runtime.bundle import Bundle
from edgewise.split.quick import Quick, quick
from tests.split.quick_subject import SIDE, classifier, folder, pictures


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and a folder of pictures."""
    root = tmp_path_factory.mktemp("quick")
    (root / "stripes.onnx").write_bytes(classifier().SerializeToString())
    folder(root / "pictures", 160)
    return root


def asked(root: Path, out: str, **more: Any) -> Quick:
    return Quick(model=root / "stripes.onnx", calibrate=root / "pictures", out=root / out, samples=64, judged=96, **more)


@pytest.fixture(scope="module")
def report(ground: Path) -> Any:
    return quick(asked(ground, "bundle"))


def test_every_cut_sends_a_quarter_of_float16_and_says_the_same(report: Any) -> None:
    assert len(report.cuts) >= 2 and report.metric == "same top-1"
    assert report.constant < 0.5, "the model must look at its pictures, or agreement says nothing"
    for row in report.cuts:
        assert row.agreement.value >= 0.97, row.tensor
        assert row.agreement.low <= row.agreement.value <= row.agreement.high
        if np.prod(row.shape) > 256:  # a frame's own bytes weigh more than a small tensor
            assert row.ratio >= 4, row.tensor
    shares = [row.share for row in report.cuts]
    assert shares == sorted(shares)


def test_the_bundle_runs_and_its_points_are_what_they_say(ground: Path, report: Any) -> None:
    bundle = Bundle.open(ground / "bundle")
    assert bundle.address == report.address
    manifest = bundle.manifest
    x, _ = pictures(40, 77)
    head, tail, whole = (bundle.session(part) for part in ("head", "tail", "local"))
    want = next(iter(whole.run({"picture": x}).values())).argmax(1)
    splits = [p for p in manifest.points if p.mode == "split"]
    assert len(splits) >= 2 and {p.mode for p in manifest.points} == {"split", "image", "local", "drop"}
    for point in splits:
        codec = codec_for(point, manifest)
        assert isinstance(codec, FeatureCodec)
        features = next(iter(head.run({"picture": x}).values()))
        payloads = [codec.encode(f[None]) for f in features]
        back = np.concatenate([codec.decode(p) for p in payloads])
        got = next(iter(tail.run({tail.inputs[0].name: back}).values())).argmax(1)
        assert (got == want).mean() >= point.worth() - 0.15, point.name
        assert abs(np.mean([len(p) for p in payloads]) - point.bytes_up) < 0.1 * point.bytes_up, point.name
        assert max(len(p) for p in payloads) <= manifest.codings[point.name].most
    sizes = [p.bytes_up for p in splits]
    assert sizes == sorted(sizes, reverse=True), "the first split is the finest"


def test_a_jpeg_that_is_smaller_is_said_plainly(report: Any) -> None:
    good = [j for j in report.jpegs if j.agreement.value >= report.least]
    text = " ".join(report.notes)
    if not good:
        assert "No JPEG" in text
    elif any(row.bytes > min(j.bytes for j in good) for row in report.cuts):
        assert "A JPEG is smaller" in text
    else:
        assert "sends less than the picture" in text
    assert "guessed" in text


def test_eight_bits_are_measured(ground: Path) -> None:
    found = quick(asked(ground, "small", int8=True, rates=1, at=""))
    assert found.int8 is not None
    assert found.int8.after < found.int8.before
    assert 0.5 < found.int8.agreement.value <= 1
    kinds = set(Bundle.open(ground / "small").manifest.parts)
    assert kinds == {"head", "tail", "local"}


def test_a_batch_of_one_and_a_cut_by_name(tmp_path: Path) -> None:
    (tmp_path / "stripes.onnx").write_bytes(classifier(batch=1).SerializeToString())
    folder(tmp_path / "pictures", 60)
    first = quick(asked(tmp_path, "a", rates=1))
    named = quick(asked(tmp_path, "b", rates=1, at=first.cuts[0].tensor, local=False))
    assert named.chosen == first.cuts[0].tensor and len(named.cuts) == 1
    assert "local" not in Bundle.open(tmp_path / "b").manifest.parts
    with pytest.raises(ModelError, match="cannot be cut there"):
        quick(asked(tmp_path, "c", at="nowhere"))


def test_the_cost_model_chooses_where_device_and_link_are_named(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow link the least bytes win, on a quick one and a slow device the least work in front."""
    from edgewise.core.device import Device
    from edgewise.core.measurement import Measurement
    from edgewise.plan.candidates import Machine
    from edgewise.split import quick_choice

    def machine(rate: float) -> Machine:
        return Machine(Device("toy", "toy", "board"), lambda g: Measurement(g.flops / rate, "s", "modelled"))

    for flops, rate, least in ((1e12, "0.001", "bytes"), (1e5, "1000", "share")):
        monkeypatch.setattr(quick_choice, "machines", lambda *_, f=flops: (machine(f), machine(1e13), ("toy",)))
        found = quick(asked(ground, f"timed{least}", rates=1, device="toy", link=rate))
        good = [r for r in found.cuts if r.agreement.value >= found.least]
        assert found.chosen == min(good, key=lambda r: getattr(r, least)).tensor
        assert all(r.seconds is not None for r in found.cuts)


def test_pictures_that_cannot_be_read_are_named_to_a_limit(ground: Path, tmp_path: Path) -> None:
    folder(tmp_path / "some", 60)
    (tmp_path / "some" / "broken.png").write_bytes(b"no picture")
    config = Quick(
        model=ground / "stripes.onnx", calibrate=tmp_path / "some", out=tmp_path / "out", samples=40, judged=40, rates=1
    )
    found = quick(config)
    assert [name for name, _ in found.left] == ["broken.png"]
    for i in range(30):
        (tmp_path / "some" / f"bad{i}.png").write_bytes(b"")
    with pytest.raises(SourceError, match="too many"):
        quick(config)


def test_a_rate_that_cannot_be_met_names_the_nearest(ground: Path) -> None:
    with pytest.raises(BudgetError, match="is the nearest"):
        quick(asked(ground, "never", bytes=20))


def test_half_a_wish_is_a_sentence(ground: Path) -> None:
    with pytest.raises(ConfigError, match="together"):
        quick(asked(ground, "x", device="pi4"))
    with pytest.raises(ConfigError, match="half said"):
        quick(asked(ground, "x", width=SIDE))
    with pytest.raises(ModelError, match="another size"):
        quick(asked(ground, "x", width=SIDE, height=2 * SIDE))


def test_a_model_without_a_single_cut_names_those_of_several(ground: Path, tmp_path: Path) -> None:
    s = Sketch("two arms", seed=1)
    x = s.input("x", 3, SIDE, SIDE)
    a, b = s.flat_mean(s.conv(s.conv(x, 8), 8)), s.flat_mean(s.conv(s.conv(x, 8), 8))
    (tmp_path / "arms.onnx").write_bytes(s.model(s.dense(a, 4), s.dense(b, 4)).SerializeToString())
    with pytest.raises(ModelError, match="no cut at a single tensor") as caught:
        quick(Quick(model=tmp_path / "arms.onnx", calibrate=ground / "pictures", out=tmp_path / "out"))
    assert " + " in str(caught.value)


def test_points_in_layers_say_what_each_layer_is_worth(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewise.split.trial._LAYER", 6)  # of these small frames
    quick(asked(ground, "layers", rates=1))
    manifest = Bundle.open(ground / "layers").manifest
    ((name, coding),) = manifest.codings.items()
    assert len(coding.layers) > 1
    worth = manifest.point(name).quality
    assert {n for n in worth if n != "all"} == {f"layers={n + 1}" for n in range(len(coding.layers))}
    assert worth["layers=1"].value < worth[f"layers={len(coding.layers)}"].value + 1e-9
    assert abs(worth[f"layers={len(coding.layers)}"].value - worth["all"].value) < 0.05
