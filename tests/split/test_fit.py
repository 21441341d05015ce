"""`split fit` from a network by name and a folder of pictures to a bundle that answers, with nothing known of the network."""

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from PIL import Image  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from edgewise.core.answer import Answer  # noqa: E402
from edgewise.core.errors import BudgetError, ConfigError, ModelError, SourceError  # noqa: E402
from edgewise.core.placement import OperatingPoint  # noqa: E402
from edgewise.data.decoding import answers  # noqa: E402
from edgewise.node.heads import Heads  # noqa: E402
from edgewise.node.tails import Tails  # noqa: E402
from edgewise.runtime.bundle import Bundle  # noqa: E402
from edgewise.split.fit import Fit, fit  # noqa: E402
from edgewise.split.judged import classes_of  # noqa: E402
from edgewise.split.lesson import pictures_of  # noqa: E402
from edgewise.split.points import ranged, within  # noqa: E402
from tests.split import tiny  # noqa: E402

NET = """
import torch
from tests.split.tiny import Tiny
def build():
    return Tiny()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a person's network `own_net:build`, its weights and its pictures."""
    (tmp_path / "own_net.py").write_text(NET)
    save_file(tiny.build().state_dict(), tmp_path / "w.safetensors")
    tiny.folder(tmp_path / "data", 60, height=33, width=41)
    (tmp_path / "data" / "broken.png").write_bytes(b"nothing")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_net", raising=False)
    return tmp_path


def asked(place: Path, **more: object) -> Fit:
    base = {"weights": place / "w.safetensors", "out": place / "out", "epochs": 6.0, "rate": 1e-2, "bits": (8, 4, 2)}
    return Fit("own_net:build", "layer1", **({"data": place / "data"} | base | more))  # type: ignore[arg-type]


def test_a_bundle_comes_of_it_and_answers_and_a_second_call_changes_nothing(place: Path) -> None:
    heard: dict[str, float] = {}
    made = fit(asked(place, noise="round", late=0.75), heard.__setitem__)
    assert made.left == (("broken.png", "the file is not a picture"),) and heard["learning"] == 1.0
    bundle = Bundle.open(place / "out")
    manifest = bundle.manifest
    assert manifest == made.manifest and manifest.task == "classification" and manifest.crossing.shape == (3, 21, 25)
    splits = [p for p in manifest.points if p.mode == "split"]
    assert [p.name for p in splits] == ["split-8", "split-4", "split-2"]
    assert splits[0].bytes_up > splits[1].bytes_up > splits[2].bytes_up > 50
    assert splits[0].quality["all"].value > 0.6 and splits[0].quality["all"].n >= 4
    for point in splits:  # a worth for each of the three layers, the last the whole frame's
        assert [point.quality[f"layers={n}"].n for n in (1, 2, 3)] == [point.quality["all"].n] * 3
        assert point.quality["layers=3"] == point.quality["all"]
    picture = np.ascontiguousarray(tiny.Blobs(1, 33, 41, seed=3).pictures)
    heads, tails = Heads(bundle), Tails([bundle])
    wanted = answers(bundle.session("full").run({"picture": picture}), manifest.decoding, manifest.labels)[0]
    for stream in heads.streams():
        payload = heads.prepare(picture[0], manifest.point(stream.point)).payload
        (said,) = tails.run([(stream, memoryview(payload))])
        assert isinstance(said, Answer) and [c.label for c in said.classes] and tails.accept(stream) is None
        if stream.point in ("split-8", "jpeg-75"):
            assert said.classes[0].label == wanted.classes[0].label
    assert manifest.codings["split-2"].levels == (4, 4, 4) and len(manifest.codings["split-2"].layers) == 3
    assert str(place) not in manifest.canonical.decode()
    again = fit(asked(place, noise="round", late=0.75)).manifest  # nothing is left to teach, and the same comes of it
    assert {n: p.sha256 for n, p in again.parts.items()} == {n: p.sha256 for n, p in manifest.parts.items()}
    assert again.codings == manifest.codings


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        ({"cut": "layer_1"}, ModelError, "layer1, layer2"),
        ({"cut": "head"}, ModelError, "one map"),
        ({"model": "own_net:built"}, ConfigError, "build"),
        ({"model": "own_nets:build"}, ConfigError, "cannot be imported"),
        ({"model": "own_net"}, ConfigError, "package.module:function"),
        ({"weights": Path("none.safetensors")}, ModelError, "no such file"),
        ({"most_bad": 0.0}, SourceError, r"broken\.png"),
        ({"width": 40}, ConfigError, "half said"),
        ({"bits": (9,)}, ConfigError, "1 to 8"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_taught(
    place: Path, more: dict[str, object], error: type[Exception], says: str
) -> None:
    base: dict[str, object] = {"model": "own_net:build", "cut": "layer1", "data": place / "data", "out": place / "out"}
    with pytest.raises(error, match=says):
        fit(Fit(**(base | more)))  # type: ignore[arg-type]
    assert not (place / "out").exists()


def test_weights_of_another_network_are_refused(place: Path) -> None:
    state = tiny.build().state_dict()
    del state["head.bias"]
    save_file(state | {"extra": torch.zeros(2), "head.weight": torch.zeros(3, 3)}, place / "w.safetensors")
    with pytest.raises(ModelError, match=r"missing: head\.bias.*unknown: extra.*another shape: head\.weight"):
        fit(asked(place))
    (place / "w.safetensors").write_bytes(b"no tensors at all")
    with pytest.raises(ModelError, match="cannot be read"):
        fit(asked(place))


def test_a_rate_that_cannot_be_met_names_the_nearest() -> None:
    points = [OperatingPoint(f"split-{b}", "split", "rans", b, bytes_up=100.0 * b) for b in (8, 4, 2)]
    assert [p.name for p in within(points, 424)] == ["split-4", "split-2"], "a frame is its payload and 24 bytes"
    assert [p.name for p in within(points, 423)] == ["split-2"]
    with pytest.raises(BudgetError, match=r"150 bytes.*224 bytes and more: split-2"):
        within(points, 150)


def test_a_size_that_nobody_chose_is_asked_for(place: Path) -> None:
    tiny.folder(place / "large", 1, height=29, width=30)
    Image.new("RGB", (2000, 10)).save(place / "large" / "0.png")
    with pytest.raises(ConfigError, match=r"2000 × 10 in 0\.png.*--size"):
        fit(asked(place, data=place / "large"))


def test_classes_are_known_by_their_folders_alone() -> None:
    assert classes_of(["a/cat/1.png", "a/dog/2.png"], ("cat", "dog", "cow")) == ["cat", "dog"]
    assert classes_of(["a/cat/1.png", "b/2.png"], ("cat", "dog")) is None and classes_of(["cat/1.png"], ()) is None


def test_published_ranges_are_one_for_all_channels() -> None:
    features = np.stack([np.stack([np.full((2, 2), v), np.full((2, 2), 10 * v)]) for v in (-1.0, 2.0)]).astype(np.float32)
    assert ranged(features, True).low == (-1.0, -10.0) and ranged(features, True).high == (2.0, 20.0)
    assert ranged(features, False).low == (-10.0, -10.0) and ranged(features, False).high == (20.0, 20.0)


def test_only_pictures_to_learn_from_are_taken(tmp_path: Path) -> None:
    from edgewise.data.pack import open_pack

    for name in ("train/a/1.png", "val/a/2.png", "train/masks/1.png", "3.png"):
        tiny.folder(tmp_path / Path(name).parent, 0)
        (tmp_path / name).write_bytes(b"")
    assert pictures_of(open_pack(tmp_path)) == ["train/a/1.png"]
    (tmp_path / "train/a/1.png").unlink()
    assert pictures_of(open_pack(tmp_path)) == ["3.png"]
