"""An ONNX file becomes a torch network that gives the same, with a free batch, and paths by which it can be taught from."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from torch import Tensor, nn  # noqa: E402

from edgewise.core.errors import ConfigError, ModelError  # noqa: E402
from edgewise.graph.load import load  # noqa: E402
from edgewise.graph.reference import evaluate  # noqa: E402
from edgewise.training.from_onnx import network, size  # noqa: E402
from edgewise.training.paths import gathered, module, replace, siblings  # noqa: E402


class Block(nn.Module):
    """A residual block."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1)
        self.beside = nn.Conv2d(inside, outside, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv2(torch.relu(self.bn1(self.conv1(x)))) + self.beside(x))


class Net(nn.Module):
    """Two stages, a fixed reshape, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish())
        self.backbone = nn.Module()
        self.backbone.stage1 = nn.Sequential(Block(8, 8, 1), Block(8, 12, 2))
        self.backbone.stage2 = nn.Sequential(Block(12, 16, 2), Block(16, 16, 1))
        self.head = nn.Linear(16 * 4 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.backbone.stage2(self.backbone.stage1(self.stem(x)))
        out: Tensor = self.head(x.reshape(x.shape[0], -1)).softmax(-1)
        return out


def exported(dynamo: bool) -> tuple[Net, bytes]:
    """A network and its file with a batch of one, by torch's exporter of today or the one before."""
    torch.manual_seed(0)
    net = Net().eval()
    for normal in net.modules():
        if isinstance(normal, nn.BatchNorm2d):
            normal.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
            normal.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    file = io.BytesIO()
    x = torch.zeros(1, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exporters warn of their own deprecations
        if dynamo:
            program: Any = torch.onnx.export(net, (x,), dynamo=True, verbose=False)
            return net, program.model_proto.SerializeToString()
        torch.onnx.export(net, (x,), file, dynamo=False)
    return net, file.getvalue()


@pytest.fixture(scope="module", params=[False, True], ids=["traced", "dynamo"])
def both(request: pytest.FixtureRequest) -> tuple[Net, nn.Module]:
    own, file = exported(request.param)
    return own, network(file)


def test_the_network_comes_back_with_a_free_batch_and_its_own_paths(both: tuple[Net, nn.Module]) -> None:
    own, net = both
    x = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(net(x), own(x), atol=1e-5, rtol=0)
    for path in ("stem", "backbone.stage1", "backbone.stage2", "backbone.stage1.1"):
        given, wanted = (gathered(n, [path], x)[path] for n in (net, own))
        torch.testing.assert_close(given, wanted, atol=1e-5, rtol=0)
    assert siblings(net, "backbone.stage1") == ("backbone.stage1", "backbone.stage2")


def test_a_module_can_be_replaced_and_gradients_reach_it(both: tuple[Net, nn.Module]) -> None:
    _, net = both
    old = replace(net, "backbone.stage1", nn.Conv2d(8, 12, 2, 2))
    try:
        net(torch.rand(2, 3, 32, 32)).square().sum().backward()
        weight = module(net, "backbone.stage1").weight
        assert weight.grad is not None and float(weight.grad.abs().sum()) > 0  # type: ignore[union-attr, operator]
    finally:
        replace(net, "backbone.stage1", old)


@pytest.mark.parametrize("pack", ["detectors/yolox_nano.onnx", "fastestdet/FastestDet.onnx"])
def test_detectors_of_others_come_back(pack: str, data_pack: Any) -> None:
    path: Path = data_pack(pack)
    own = load(path)
    name, *_ = [x.name for x in own.graph.input]
    height, width = size(path) or (0, 0)
    x = np.random.default_rng(1).random((2, 3, height, width), np.float32) * 255
    want = np.concatenate([next(iter(evaluate(own, {name: x[i : i + 1]}, optimise=True).values())) for i in range(2)])
    with torch.no_grad():
        got = network(path)(torch.from_numpy(x)).numpy()
    assert np.abs(got - want).max() <= 1e-4 * max(1.0, np.abs(want).max())


def test_without_names_a_module_is_called_by_its_tensor_and_a_stretch_by_both(data_pack: Any) -> None:
    path: Path = data_pack("detectors/yolox_nano.onnx")
    x = torch.rand(1, 3, 416, 416) * 255
    net = network(path, "input.7~input.67")
    paths = ["input.7", "input.7~input.67", "input.83"]
    given = gathered(net, paths, x)
    assert [tuple(given[p].shape) for p in paths] == [(1, 16, 208, 208), (1, 32, 104, 104), (1, 64, 52, 52)]
    torch.testing.assert_close(gathered(network(path), ["input.67"], x)["input.67"], given["input.7~input.67"])


def test_a_wrong_cut_is_answered_with_the_nearest() -> None:
    _, file = exported(False)
    with pytest.raises(ModelError, match=r"no such module; got 'backbone.stag1'; allowed: backbone.stage1"):
        network(file, "backbone.stag1")
    with pytest.raises(ModelError, match="no such tensor; got 'nowhere'"):
        network(file, "nowhere~output")


def test_a_graph_that_holds_on_to_its_batch_is_refused() -> None:
    given = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])
    node = onnx.helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=1)
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4])
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [given], [out]), opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    with pytest.raises(ModelError, match="holds on to its batch"):
        network(model.SerializeToString())


def test_a_size_that_is_not_the_models_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(exported(False)[1])
    assert size(path) == (32, 32)
    with pytest.raises(ConfigError, match="another size; got 64 × 48; allowed: 32 × 32"):
        size(path, (48, 64))
