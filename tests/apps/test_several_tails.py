"""One frame, several answers: tails behind one head, joined in a bundle that a real server answers by one run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")
from torch import Tensor, nn  # noqa: E402

from edgewise.apps.vision.split_wire import Crossing, loopback  # noqa: E402
from edgewise.cli import main  # noqa: E402
from edgewise.codec.features import FeatureCodec  # noqa: E402
from edgewise.codec.fitted import coding_for  # noqa: E402
from edgewise.core.artifact import Bottleneck, Classes, Coding, Regions, Things  # noqa: E402
from edgewise.core.decoding import Single  # noqa: E402
from edgewise.core.errors import ModelError  # noqa: E402
from edgewise.core.placement import OperatingPoint, Quality  # noqa: E402
from edgewise.data.decoding import answers  # noqa: E402
from edgewise.graph.picture import Look  # noqa: E402
from edgewise.runtime.bundle import Bundle, bundle_files, read_manifest, write_bundle  # noqa: E402
from edgewise.split.join import _alike, joined  # noqa: E402
from edgewise.split.training.bottleneck import Split  # noqa: E402
from edgewise.split.training.parts import Parts, parts  # noqa: E402

LOOK = Look(48, 64)
PICTURES = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), np.uint8)
DECODINGS: dict[str, tuple[Single, tuple[str, ...]]] = {
    "weather": (Classes("logits", 2), ("fog", "sun", "rain")),
    "seen": (Things(0.2, 0.6, 0, 4), ("car",)),
    "road": (Regions("map", 6, 8), ("road", "car")),
}
KIND = {"weather": "classification", "seen": "detection", "road": "segmentation"}


class Net(nn.Module):
    """Picture → encoder → decoder → one task; `wide` channels of the decoder."""

    def __init__(self, task: str, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.front = Split(encoder, decoder)
        self.task = task
        outputs = {"weather": 3, "seen": 1 + 4 + 2, "road": 2}[task]
        self.last = nn.Conv2d(8, outputs, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        said = self.last(self.front(x))
        if self.task == "weather":
            return {"logits": said.mean((2, 3))}
        if self.task == "road":
            return {"map": said}
        score, box, coefficients = said.split([1, 4, 2], 1)
        low, high = torch.sigmoid(box[:, :2]) * 0.4, 0.6 + torch.sigmoid(box[:, 2:]) * 0.4
        prototypes = nn.functional.interpolate(said[:, -2:], scale_factor=2.0, mode="nearest")
        return {
            "score": torch.sigmoid(score),
            "box": torch.cat([low, high], 1),
            "coefficients": coefficients,
            "prototypes": prototypes,
        }


def exported(decoders: dict[str, nn.Module], encoder: nn.Module) -> dict[str, Parts]:
    nets = {task: Net(task, encoder, decoder).eval() for task, decoder in decoders.items()}
    return {task: parts(net, net, "front", LOOK) for task, net in nets.items()}


def bundle(place: Path, task: str, made: Parts, bottleneck: Bottleneck, coding: Coding, worth: float) -> Path:
    decoding, labels = DECODINGS[task]
    write_bundle(
        place,
        name=task,
        task=KIND[task],  # type: ignore[arg-type]
        labels=labels,
        parts={"head": made.models["head"], "tail": made.models["tail"]},
        pictures={"head": LOOK.picture},
        bottleneck=bottleneck,
        decoding=decoding,
        points=(OperatingPoint("split", "split", "rans", 1, quality={"all": Quality(worth, worth, worth, 9)}),),
        codings={"split": coding},
        parameters={path: p for path, p in made.parameters.items() if p.part in ("head", "tail")},
        provenance={},
    )
    return place


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles behind one encoder; `seen` and `road` share a decoder, `weather` has its own. `other` has another head."""
    torch.manual_seed(0)
    encoder, stranger = (nn.Conv2d(3, 4, 8, 8) for _ in range(2))
    one, own = (nn.Sequential(nn.Conv2d(4, 8, 3, 1, 1), nn.ReLU()) for _ in range(2))
    made = exported({"weather": own, "seen": one, "road": one}, encoder)
    folder = tmp_path_factory.mktemp("tails")
    with torch.no_grad():
        seen = encoder(torch.from_numpy(PICTURES).permute(0, 3, 1, 2) / 255).numpy()
    low, high = seen.min((0, 2, 3)), seen.max((0, 2, 3))
    bottleneck = Bottleneck(tuple(seen.shape[1:]), tuple(low.tolist()), tuple(high.tolist()))
    coding = coding_for(bottleneck, [seen], [16] * 4, range(4), 2)
    found = {task: bundle(folder / task, task, p, bottleneck, coding, 0.5 + 0.1 * i) for i, (task, p) in enumerate(made.items())}
    other = exported({"road": one}, stranger)["road"]
    return found | {"other": bundle(folder / "other", "road", other, bottleneck, coding, 0.5)}


def test_a_server_answers_all_tasks_from_one_frame_as_each_tail_alone(places: dict[str, Path], tmp_path: Path) -> None:
    tasks = {task: places[task] for task in DECODINGS}
    manifest = joined(tasks, tmp_path / "all", "junction")
    assert manifest.task == "several" and manifest.labels == ("fog", "sun", "rain", "car", "road")
    point = manifest.points[0]
    assert [point.quality[task].value for task in DECODINGS] == pytest.approx([0.5, 0.6, 0.7])
    opened = Bundle.open(tmp_path / "all")

    async def crossed() -> list[Crossing]:
        async with loopback(opened) as wire:
            return [await wire.cross(picture, point) for picture in PICTURES]

    for picture, crossing in zip(PICTURES, asyncio.run(crossed()), strict=True):
        head = opened.session("head")
        codec = FeatureCodec(manifest.crossing, manifest.codings["split"])
        payload = codec.encode(head.run({head.inputs[0].name: picture[None]})[head.outputs[0].name])
        assert crossing.payload == len(payload), "one frame, however many tasks"
        alone = {}
        for task, place in tasks.items():
            single = Bundle.open(place)
            tail = single.session("tail")
            outputs = tail.run({tail.inputs[0].name: codec.decode(payload)})
            (alone[task],) = answers(outputs, single.manifest.decoding, single.manifest.labels)
        said = crossing.answer
        assert said.classes == alone["weather"].classes and said.regions == alone["road"].regions and said.regions
        assert said.boxes == alone["seen"].boxes and said.boxes and all(box.mask for box in said.boxes)


def test_what_tails_share_is_in_the_bundle_once_and_parameters_keep_a_path(places: dict[str, Path], tmp_path: Path) -> None:
    def convolutions(tasks: tuple[str, ...]) -> int:
        joined({task: places[task] for task in tasks}, tmp_path / "-".join(tasks), "x")
        import onnx

        model = onnx.load(tmp_path / "-".join(tasks) / "tail.onnx")
        return sum(node.op_type == "Conv" for node in model.graph.node)

    assert convolutions(("seen", "road")) == 3, "one decoder and two heads"
    assert convolutions(("seen", "weather")) == 4, "each has its own decoder"
    manifest = Bundle.open(tmp_path / "seen-weather").manifest
    assert {"tail.last.weight", "weather.tail.last.weight"} <= manifest.parameters.keys()
    places_of = [p.initialiser for p in manifest.parameters.values() if p.part == "tail"]
    assert len(set(places_of)) == len(places_of) == 8


def test_bundles_of_other_heads_or_alone_are_refused(places: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="another head"):
        joined({"seen": places["seen"], "road": places["other"]}, tmp_path / "x", "x")
    with pytest.raises(ModelError, match="two bundles or more"):
        joined({"seen": places["seen"]}, tmp_path / "x", "x")
    joined({"seen": places["seen"], "road": places["road"]}, tmp_path / "both", "x")
    with pytest.raises(ModelError, match="cannot be joined"):
        joined({"both": tmp_path / "both", "weather": places["weather"]}, tmp_path / "x", "x")
    manifest = read_manifest(places["weather"])
    early = replace(manifest, parts=manifest.parts | {"exit": manifest.parts["head"]})
    with pytest.raises(ModelError, match="no filter and no exit"):
        _alike(
            {"seen": read_manifest(places["seen"]), "weather": early}, {t: bundle_files(places[t]) for t in ("seen", "weather")}
        )
    assert not (tmp_path / "x").exists()


def test_the_verb_says_what_it_made_and_refuses_what_is_no_tail(
    places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def status(*words: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["split", "join", *words])
        return int(str(ended.value.code))

    assert status(f"seen={places['seen']}", f"road={places['road']}", "--out", str(tmp_path / "both")) == 0
    assert Bundle.open(tmp_path / "both").manifest.name == "seen-road"
    assert status(str(places["seen"])) == 1
    assert status(f"a={places['seen']}", f"a={places['road']}") == 1
    assert status(f"Big Word={places['seen']}", f"a={places['road']}", "--out", str(tmp_path / "x")) == 1
    said = capsys.readouterr().err
    assert "not named" in said and "one name" in said and "Big Word" in said and not (tmp_path / "x").exists()
