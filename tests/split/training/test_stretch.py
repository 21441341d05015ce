"""A stretch is the modules as they are called, and a student is the teacher with a bottleneck in their place."""

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from torch import Tensor, nn  # noqa: E402

from edgewise.core.errors import ModelError  # noqa: E402
from edgewise.split.training.bottleneck import Split  # noqa: E402
from edgewise.split.training.entropic import narrow  # noqa: E402
from edgewise.split.training.stretch import split_of, stretch, student  # noqa: E402
from edgewise.training.nets.resnet import resnet10  # noqa: E402
from edgewise.training.paths import module  # noqa: E402

PICTURES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class Around(nn.Module):
    """A shortcut from before `second` to behind it."""

    def __init__(self, around: bool) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.around = around

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        second = self.second(first)
        return self.third(second + first if self.around else second.relu()).mean((2, 3))


def test_the_front_of_a_resnet_is_one_bottleneck_and_the_rest_is_the_teachers() -> None:
    teacher = resnet10().eval()
    found = stretch(teacher, "stem..layer2", PICTURES)
    assert found.paths == ("stem", "layer1", "layer2") and found.losses == ("layer2", "layer3", "layer4")
    assert found.geometry.inside == (3, 64, 64) and found.geometry.outside == (96, 8, 8) and not found.geometry.signed
    net = student(teacher, found, narrow(found.geometry, 5))
    assert net.eval()(PICTURES).shape == (2, 10)
    assert isinstance(net.layer1, nn.Identity) and isinstance(net.layer2, nn.Identity) and isinstance(split_of(net, found), Split)
    assert torch.equal(net.layer3[0].first[0].weight, teacher.layer3[0].first[0].weight)
    learns = {name.split(".")[0] for name, p in net.named_parameters() if p.requires_grad}
    assert learns == {"stem"} and not teacher.training and isinstance(teacher.layer1, nn.Sequential)
    small = torch.rand(1, 3, 48, 32)  # another size than that of the geometry
    assert net(small).shape == (1, 10)


def test_what_is_replaced_in_the_middle_leaves_what_stands_ahead_alone() -> None:
    found = stretch(resnet10().eval(), "layer2..layer3", PICTURES)
    assert found.paths == ("layer2", "layer3") and {"stem", "stem.0", "layer1.0.first.1"} <= set(found.ahead)
    assert not any(path.startswith(("layer2", "layer3", "layer4", "fc")) or not path for path in found.ahead)
    one = stretch(resnet10().eval(), "layer1", PICTURES)
    assert one.paths == ("layer1",) and one.losses == ("layer1", "layer2", "layer3", "layer4")


def test_a_resnet_of_transformers_is_cut_by_its_own_paths() -> None:
    transformers = pytest.importorskip("transformers", reason="pip install 'edgewise[transformers]'")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], layer_type="basic", num_labels=4
    )
    net = transformers.ResNetForImageClassification(config).eval()
    found = stretch(net, "resnet.embedder..resnet.encoder.stages.1", PICTURES)
    assert found.paths == ("resnet.embedder", "resnet.encoder.stages.0", "resnet.encoder.stages.1")
    assert found.losses == ("resnet.encoder.stages.1", "resnet.encoder.stages.2", "resnet.encoder.stages.3")
    cut = student(net, found, narrow(found.geometry, 4))
    assert cut.eval()(PICTURES).logits.shape == (2, 4) and isinstance(module(cut, found.first), Split)


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        ("layer3..layer1", "no chain"),
        ("layer1..fc", "bottleneck of convolutions"),
        ("stem..layer9", "no such module"),
        ("pool", "bottleneck of convolutions"),
    ],
)
def test_what_is_no_stretch_says_so(cut: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        stretch(resnet10().eval(), cut, PICTURES)


def test_a_shortcut_and_a_function_are_seen() -> None:
    torch.manual_seed(0)
    with pytest.raises(ModelError, match="shortcut"):
        stretch(Around(True).eval(), "first..second", PICTURES)
    assert stretch(Around(False).eval(), "first..second", PICTURES).paths == ("first", "second")
    with pytest.raises(ModelError, match="no chain"):
        stretch(Around(False).eval(), "second..third", PICTURES)
