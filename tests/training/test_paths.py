"""Modules by path: found, replaced, listened to; whatever happens, nothing stays in the network."""

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from torch import nn  # noqa: E402

from edgewise.core.errors import ModelError  # noqa: E402
from edgewise.training.paths import gathered, module, replace, siblings, taps  # noqa: E402


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 4)
        self.layer1, self.layer2 = nn.Linear(4, 5), nn.Sequential(nn.Linear(5, 6), nn.ReLU())
        self.head = nn.Linear(6, 2)
        self.spare = nn.Linear(1, 1)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer2(self.layer1(self.stem(x)))
        self.calls += 1
        return self.head(x)


def hooks(net: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())


def test_a_wrong_path_is_answered_with_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"layer11.*layer1, layer2"):
        module(Net(), "layer11")
    with pytest.raises(ModelError, match=r"layer2\.1"):
        module(Net(), "layer2.1.relu")


def test_a_replaced_module_takes_part() -> None:
    net = Net()
    old = replace(net, "layer2.1", nn.Sigmoid())
    assert isinstance(old, nn.ReLU) and isinstance(net.layer2[1], nn.Sigmoid)
    with pytest.raises(ModelError, match="itself"):
        replace(net, "", nn.Identity())


def test_siblings_are_the_family_that_follows() -> None:
    assert siblings(Net(), "layer1") == ("layer1", "layer2")
    assert siblings(Net(), "layer2.0") == ("layer2.0", "layer2.1")
    assert siblings(Net(), "stem") == ("stem",)


def test_taps_hear_and_leave_nothing_behind() -> None:
    net, x = Net(), torch.ones(2, 3)
    before = dict(net.layer1.__dict__)
    with taps(net, ["layer1"]) as outer, taps(net, ["layer1", "layer2"]) as inner:
        net(x)
        assert torch.equal(outer["layer1"], net.layer1(net.stem(x)))
        assert outer["layer1"].shape == inner["layer1"].shape and inner["layer2"].shape == (2, 6)
    with pytest.raises(ZeroDivisionError), taps(net, ["layer1"]):
        raise ZeroDivisionError
    assert hooks(net) == 0 and net.layer1.__dict__.keys() == before.keys()


def test_an_unknown_path_among_good_ones_leaves_nothing_behind() -> None:
    net = Net()
    with pytest.raises(ModelError), taps(net, ["layer1", "layer9"]):
        pass
    assert hooks(net) == 0


def test_gathered_runs_no_further_than_the_last_path() -> None:
    net, x = Net(), torch.ones(2, 3)
    found = gathered(net, ["stem", "layer1"], x)
    assert net.calls == 0 and torch.equal(found["layer1"], net.layer1(net.stem(x)))
    gathered(net, ["layer1", "head"], x)
    assert hooks(net) == 0


def test_a_module_that_is_never_called_is_named() -> None:
    with pytest.raises(ModelError, match="spare"):
        gathered(Net(), ["stem", "spare"], torch.ones(2, 3))
