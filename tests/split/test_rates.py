"""`split fit` at several rates: bundles that answer, killed runs that end alike, a device that goes away, and what is refused."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from PIL import Image  # noqa: E402

from edgewise.apps.vision.split_report import ReportConfig, report  # noqa: E402
from edgewise.core.answer import Answer  # noqa: E402
from edgewise.core.errors import ConfigError, DeviceError, EdgewiseError, ModelError  # noqa: E402
from edgewise.node.heads import Heads  # noqa: E402
from edgewise.node.tails import Tails  # noqa: E402
from edgewise.runtime.bundle import Bundle  # noqa: E402
from edgewise.split.fit import Fit, fit  # noqa: E402
from edgewise.split.lesson import lesson  # noqa: E402
from edgewise.split.sweep import swept  # noqa: E402
from edgewise.split.training import students  # noqa: E402
from edgewise.training.course import CHECKPOINT  # noqa: E402
from edgewise.training.distil import Distil  # noqa: E402
from tests.split import tiny  # noqa: E402

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders that the tiny network knows: the folder of each picture is what it says."""
    place = tmp_path_factory.mktemp("data")
    pictures = tiny.Blobs(64, 32, 40).pictures
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        said = tiny.even()(x).argmax(1).tolist()
    for name in NAMES:
        (place / name).mkdir()
    for number, (picture, c) in enumerate(zip(pictures, said, strict=True)):
        Image.fromarray(picture).save(place / NAMES[c] / f"{number}.png")
    return place


def asked(data: Path, out: Path, **more: object) -> Fit:
    base = {
        "cut": "stem..layer2",
        "data": data,
        "out": out,
        "recipe": "lean",
        "rates": 1,
        "epochs": 3.0,
        "channels": 8,
        "batch": 16,
    }
    return Fit("tests.split.tiny:even", **(base | more))  # type: ignore[arg-type]


def hashes(made: object) -> list[str]:
    return [p.sha256 for m in made.manifests for p in m.parts.values()]  # type: ignore[attr-defined]


def test_rates_are_bundles_that_answer_on_the_wire_and_say_how_they_came_about(data: Path, tmp_path: Path) -> None:
    made = fit(asked(data, tmp_path / "out", rates=2, labels=NAMES, supervised=True))
    assert [f.name for f in made.folders] == ["rate-1", "rate-2"] and "100.0% of 64" in made.told[0]
    assert made.measure == "top-1 by labels (class folders)"
    for number, folder in enumerate(made.folders, 1):
        manifest = Bundle.open(folder).manifest
        split = manifest.point(f"rate-{number}")
        assert split.quality["layers=1"].n == split.quality["all"].n and len(manifest.codings[split.name].layers) == 4
        assert f"β {students.betas('lean', 2)[number - 1]:g}; stage 1 " in manifest.provenance["trained"]
        assert "half cross-entropy; class folders" in manifest.provenance["trained"]
        assert "labels (class folders) were learned from" in manifest.provenance["data"]
        assert manifest.labels == NAMES and str(tmp_path) not in manifest.canonical.decode()
    found = report(ReportConfig(bundle=str(made.folders[0]), data=str(data), limit=6, jpeg=(50,)))
    row = next(p for p in found.points if p.name == "rate-1")
    assert row.n == 6 and row.bytes_mean > row.payload > 0 and found.quality_of == "labels"


def test_one_student_serves_several_rates_in_one_bundle(data: Path, tmp_path: Path) -> None:
    made = fit(asked(data, tmp_path / "out", rates=2, together=True))
    bundle = Bundle.open(made.folder)
    assert made.folder == tmp_path / "out" and [p.name for p in bundle.manifest.points if p.mode == "split"] == [
        "rate-1",
        "rate-2",
    ]
    assert "no labels were learned from" in bundle.manifest.provenance["data"] and "KL" in bundle.manifest.provenance["trained"]
    heads, tails = Heads(bundle), Tails([bundle])
    picture = np.ascontiguousarray(tiny.Blobs(1, 32, 40, seed=3).pictures[0])
    for stream in heads.streams():
        payload = heads.prepare(picture, bundle.manifest.point(stream.point)).payload
        (said,) = tails.run([(stream, memoryview(payload))])
        assert isinstance(said, Answer) and said.classes


def test_a_device_that_goes_away_is_a_sentence_and_the_same_call_ends_elsewhere_as_if_nothing_had_been(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(asked(data, tmp_path / "whole", recipe="bottlefit", rates=2))
    assert [p.name for p in whole.manifest.points if p.mode == "split"] == ["split-8", "split-6"]
    taught, calls = Distil.__call__, [0]

    def dies(*_: object) -> object:
        raise RuntimeError("CUDA error: unspecified launch failure\nmore of it")

    def counted(self: Distil, pictures: torch.Tensor) -> object:
        calls[0] += 1
        return taught(self, pictures)

    monkeypatch.setattr(Distil, "__call__", counted)
    with monkeypatch.context() as patched:  # a graphics card that is a processor, and dies when stage 2 begins
        patched.setattr(students, "device", lambda name: torch.device("cpu"))
        patched.setattr(students, "classified", lambda labels: dies)
        with pytest.raises(DeviceError, match=r"went away; got cuda \(CUDA error: unspecified launch failure\)\..*--device cpu"):
            fit(asked(data, tmp_path / "cut", recipe="bottlefit", rates=2, device="cuda"))
    assert calls[0] > 5 and (tmp_path / "cut-work" / "stage-1" / CHECKPOINT).is_file()
    calls[0] = 0
    assert hashes(fit(asked(data, tmp_path / "cut", recipe="bottlefit", rates=2))) == hashes(whole)
    assert calls[0] == 0, "what the lost device had taught is not taught again"


def test_a_sweep_leaves_what_one_process_leaves(data: Path, tmp_path: Path) -> None:
    config = asked(data, tmp_path / "out", rates=2, cores=2)
    read = lesson(config, config.place)
    plan = students.planned(config, read, lambda what, share: None)
    heard: dict[str, float] = {}
    swept(students.tasks(config, plan), 2, tmp_path / "logs", heard.__setitem__)
    assert sum(share == 1.0 for what, share in heard.items() if what.startswith("stage")) == 4, heard
    for index in (1, 0):
        alone = students.climbing(config, read, plan, tmp_path / "alone", lambda what, share: None).rung(index)
        beside = students.climbing(config, read, plan, config.place, lambda what, share: None).rung(index)
        for a, b in zip(alone.net.state_dict().values(), beside.net.state_dict().values(), strict=True):
            assert torch.equal(a, b)


def test_what_cannot_be_taught_is_said_and_leaves_no_bundle(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def refused(error: type[EdgewiseError], says: str, **more: object) -> None:
        with pytest.raises(error, match=says):
            fit(asked(data, out, **more))
        assert not out.exists()

    refused(ModelError, "not better than chance on these labels; got .*class folders", labels=("b", "a", "d", "c"))
    refused(ConfigError, "do not fit the network; got 2 labels: a, b; allowed: 4", labels=("a", "b"))
    refused(ModelError, r"β of 1e\+06 collapses the rate.*lower β", betas=(1e6,), rates=0, channels=4, epochs=1.0)
    refused(ModelError, "no chain", cut="layer2..stem")
    refused(ModelError, r"no such module; got 'layr2'; allowed: layer2", cut="stem..layr2")
    if not torch.cuda.is_available():
        refused(DeviceError, "the device is not there; got cuda", device="cuda")
    (tmp_path / "flat").mkdir()
    for number in range(4):
        Image.new("RGB", (40, 32)).save(tmp_path / "flat" / f"{number}.png")
    with pytest.raises(ConfigError, match="no label to learn from"):
        fit(
            Fit(
                "tests.split.tiny:even",
                "stem..layer2",
                tmp_path / "flat",
                recipe="lean",
                supervised=True,
                labels=NAMES,
                work=out,
            )
        )


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[str]:
    """A small ResNet of transformers with the four classes."""
    pytest.importorskip("transformers", reason="models by configuration need transformers: pip install 'edgewise[hf]'")
    said = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 12, 16], "depths": [1, 1, 1], "layer_type": "basic"}
    names = {str(i): n for i, n in enumerate(NAMES)}
    (tmp_path / "config.json").write_text(
        json.dumps({**said, "id2label": names, "label2id": {n: int(i) for i, n in names.items()}})
    )
    yield str(tmp_path / "config.json")
    sys.modules.pop("own_net", None)


def test_a_model_of_transformers_is_taught_like_any_other(configured: str, data: Path, tmp_path: Path) -> None:
    cut = "resnet.embedder..resnet.encoder.stages.0"
    config = asked(data, tmp_path / "out", rates=0, betas=(0.01,), unlabelled=True)
    manifest = fit(msgspec.structs.replace(config, model=configured, cut=cut)).manifest
    assert manifest.task == "classification" and manifest.decoding.output == "logits" and manifest.labels == NAMES
    assert manifest.crossing.shape[0] == 8 and "config.json" in manifest.provenance["teacher"]
    assert any(p.startswith("tail.resnet.encoder.stages.1") for p in manifest.parameters)
