"""Models of transformers by their configuration: the same network each time, nothing fetched, what fails is a sentence."""

import json
import socket
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")
pytest.importorskip("transformers", reason="models by configuration need transformers: pip install 'edgewise[hf]'")

from safetensors.torch import save_file  # noqa: E402

from edgewise.core.errors import ConfigError, ModelError  # noqa: E402
from edgewise.split.training.teacher import teacher  # noqa: E402
from edgewise.training.from_config import configured, network, seen  # noqa: E402
from edgewise.training.outputs import classed  # noqa: E402

SMALL = {
    "model_type": "resnet",
    "architectures": ["ResNetForImageClassification"],
    "embedding_size": 8,
    "hidden_sizes": [8, 12],
    "depths": [1, 1],
    "layer_type": "basic",
    "id2label": {"0": "cat", "1": "dog", "2": "cow"},
    "label2id": {"cat": 0, "dog": 1, "cow": 2},
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration; whoever opens a connection fails."""

    def refused(*_: object) -> None:
        raise AssertionError("something asked the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    return tmp_path


def test_a_configuration_is_one_network_whose_weights_may_come_from_a_file(place: Path) -> None:
    model = str(place / "config.json")
    net, again = teacher(model, None), teacher(str(place), None)
    assert configured(model) and configured("hf:resnet") and not configured("own_net:build")
    assert type(net).__name__ == "ResNetForImageClassification" and not net.training
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
    x = torch.rand(2, 3, 40, 48)
    assert classed(net(x)).shape == (2, 3)
    net.state_dict()["classifier.1.bias"].fill_(7)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, place / "model.safetensors")
    assert torch.equal(classed(teacher(model, place / "model.safetensors")(x)), classed(net(x)))


def test_a_type_alone_takes_the_number_of_classes_that_the_labels_have() -> None:
    assert network("hf:mobilenet_v1", classes=5).config.num_labels == 5  # type: ignore[union-attr]


def test_what_the_files_say_of_pictures_is_heard(place: Path) -> None:
    assert seen(str(place)).labels == ("cat", "dog", "cow") and seen(str(place)).mean is None and seen("own:build").height == 0
    looks = {"size": {"height": 40, "width": 48}, "rescale_factor": 0.5, "image_mean": [0.5] * 3, "image_std": [0.2] * 3}
    (place / "preprocessor_config.json").write_text(json.dumps(looks))
    told = seen(str(place / "config.json"))
    assert (told.height, told.width, told.scale, told.mean, told.std) == (40, 48, 0.5, (0.5,) * 3, (0.2,) * 3)


@pytest.mark.parametrize(
    ("said", "error", "says"),
    [
        ({"model_type": "resnett"}, ModelError, r"no such vision model.*resnet"),
        ({"model_type": "gpt2"}, ModelError, "no such vision model"),
        ({"layer_type": "odd"}, ConfigError, r"cannot build.*layer_type=odd"),
        ({"architectures": ["OddForImageClassification"]}, ModelError, "no such class"),
        ({"backbone": "resnet50", "use_timm_backbone": True}, ModelError, "backbone from elsewhere"),
    ],
)
def test_what_the_library_does_not_have_is_a_sentence(
    place: Path, said: dict[str, object], error: type[Exception], says: str
) -> None:
    (place / "config.json").write_text(json.dumps(SMALL | said))
    with pytest.raises(error, match=says):
        network(str(place))


def test_a_name_on_a_hub_and_a_broken_file_are_sentences(place: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is downloaded"):
        network("hf:microsoft/resnet-50")
    (place / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="malformed"):
        network(str(place))
    with pytest.raises(ConfigError, match="no such configuration"):
        network(str(place / "other.json"))


def test_without_the_package_the_sentence_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"edgewise\[hf\]"):
        network(str(place))
