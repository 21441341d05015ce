"""Each operator in torch gives what onnxruntime gives, for each way to use it that exporters write."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.core.errors import ModelError  # noqa: E402
from edgewise.graph.reference import evaluate  # noqa: E402
from edgewise.training.from_onnx import network  # noqa: E402

RNG = np.random.default_rng(3)
MAP = (4, 9, 7)


def F(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def one(kind: str, constants: tuple[Any, ...] = (), shape: tuple[int, ...] = MAP, version: int = 17, **attributes: Any) -> Any:
    """A model of one node behind an Identity, with constants behind its data."""
    names = ["" if c is None else f"c{i}" for i, c in enumerate(constants)]
    nodes = [helper.make_node(kind, ["x", *names], ["y"], **attributes)]
    weights = [numpy_helper.from_array(c, n) for c, n in zip(constants, names) if n]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])
    graph = helper.make_graph(nodes, "g", [given], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)


W = F(6, 4, 3, 3)
CASES: dict[str, Any] = {
    "conv": one("Conv", (W, F(6)), pads=[1, 1, 1, 1], strides=[2, 1]),
    "conv, groups": one("Conv", (F(4, 1, 3, 3),), group=4, dilations=[2, 2]),
    "conv, uneven pads": one("Conv", (W,), pads=[0, 1, 1, 0]),
    "conv, same": one("Conv", (W,), auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv, same lower": one("Conv", (F(6, 4, 2, 2),), auto_pad="SAME_LOWER", strides=[1, 2]),
    "conv of a line": one("Conv", (F(5, 4, 3),), shape=(4, 11), pads=[1, 1]),
    "turned": one("ConvTranspose", (F(4, 2, 3, 3), F(2)), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    "turned, uneven": one("ConvTranspose", (F(4, 2, 3, 3),), strides=[2, 2], pads=[0, 1, 1, 0]),
    "batch normal": one("BatchNormalization", (F(4), F(4), F(4), np.abs(F(4)) + 1), epsilon=1e-3),
    "instance normal": one("InstanceNormalization", (F(4), F(4))),
    "layer normal": one("LayerNormalization", (F(7), F(7)), axis=-1),
    "max pool": one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "max pool, wide": one("MaxPool", kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
    "max pool, ceil": one("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    "max pool, uneven": one("MaxPool", kernel_shape=[2, 2], pads=[0, 0, 1, 1]),
    "mean pool": one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "mean pool, counted": one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    "mean pool, uneven": one("AveragePool", kernel_shape=[2, 2], pads=[0, 0, 1, 1]),
    "everywhere": one("GlobalAveragePool"),
    "everywhere, largest": one("GlobalMaxPool"),
    "clip": one("Clip", (np.float32(-0.5), np.float32(0.7))),
    "clip, one side": one("Clip", (None, np.float32(0.7))),
    "clip, old": one("Clip", version=10, min=0.0, max=6.0),
    "leaky": one("LeakyRelu", alpha=0.1),
    "prelu": one("PRelu", (F(4, 1, 1),)),
    "hard sigmoid": one("HardSigmoid", alpha=1 / 6),
    "hard sigmoid, default": one("HardSigmoid"),
    "elu": one("Elu"),
    "softmax": one("Softmax", axis=1),
    "softmax, old": one("Softmax", version=11, axis=2),
    "log softmax": one("LogSoftmax"),
    "add": one("Add", (F(4, 1, 1),)),
    "div": one("Div", (np.float32(3),)),
    "pow": one("Pow", (np.float32(2),)),
    "max": one("Max", (F(1), F(7))),
    "mean": one("ReduceMean", axes=[2, 3], keepdims=0),
    "sum": one("ReduceSum", (ints(-1),)),
    "norm": one("ReduceL2", axes=[1]),
    "resize": one("Resize", (None, np.float32([1, 1, 2, 2])), coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    "resize, default": one("Resize", (None, np.float32([1, 1, 2, 3]))),
    "resize, smaller": one("Resize", (None, np.float32([1, 1, 0.6, 0.5]))),
    "resize, linear": one("Resize", (None, np.float32([1, 1, 2, 2])), mode="linear"),
    "resize, corners": one(
        "Resize", (None, np.float32([1, 1, 2, 2])), mode="linear", coordinate_transformation_mode="align_corners"
    ),
    "resize, linear, asymmetric": one(
        "Resize", (None, np.float32([1, 1, 2, 1.5])), mode="linear", coordinate_transformation_mode="asymmetric"
    ),
    "upsample": one("Upsample", (np.float32([1, 1, 2, 2]),), version=9),
    "pad": one("Pad", (ints(0, 0, 1, 2, 0, 0, 0, 3), np.float32(0.5))),
    "pad, mirrored": one("Pad", (ints(0, 0, 1, 2, 0, 0, 0, 3),), mode="reflect"),
    "slice": one("Slice", (ints(1, 0), ints(2**63 - 1, -1), ints(2, 3), ints(2, 1))),
    "slice, backwards": one("Slice", (ints(-1), ints(-(2**63)), ints(3), ints(-2))),
    "slice, old": one("Slice", version=9, starts=[1], ends=[3], axes=[1]),
    "gather": one("Gather", (ints(2, -1, 0),), axis=1),
    "gather, one": one("Gather", (np.array(1),), axis=2),
    "transpose": one("Transpose", perm=[0, 2, 3, 1]),
    "reshape": one("Reshape", (ints(0, 4, -1),)),
    "flatten": one("Flatten"),
    "flatten, later": one("Flatten", axis=2),
    "squeeze": one("Squeeze", (ints(1),), shape=(1, 5)),
    "unsqueeze": one("Unsqueeze", (ints(1, -1),)),
    "gemm": one("Gemm", (F(3, 5), F(3)), shape=(5,), transB=1, alpha=0.5, beta=2.0),
    "matmul": one("MatMul", (F(7, 3),)),
    "tile": one("Tile", (ints(1, 2, 1, 1),)),
    "expand": one("Expand", (ints(1, 4, 9, 7),), shape=(1, 9, 7)),
    "depth to space": one("DepthToSpace", shape=(8, 3, 2), blocksize=2),
    "depth to space, CRD": one("DepthToSpace", shape=(8, 3, 2), blocksize=2, mode="CRD"),
    "space to depth": one("SpaceToDepth", shape=(3, 4, 6), blocksize=2),
}
PLAIN = "Relu Sigmoid Tanh HardSwish Mish Softplus Softsign Exp Abs Neg Erf Sin Cos Sign Floor Ceil Round Identity Selu Celu"
CASES |= {kind: one(kind, version=18 if kind == "Mish" else 17) for kind in PLAIN.split()}


@pytest.mark.parametrize("case", CASES)
def test_an_operator_gives_what_onnxruntime_gives(case: str) -> None:
    model = CASES[case]
    x = F(2, *(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]))
    want = evaluate(model, {"x": x}, optimise=False)["y"]
    with torch.no_grad():
        got = network(model.SerializeToString())(torch.from_numpy(x)).numpy()
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_a_use_that_is_not_known_says_so() -> None:
    model = one("Resize", (None, np.float32([1, 1, 2, 2])), mode="cubic")
    with pytest.raises(ModelError, match=r"Resize is used in a way.*cubic.*nearest or linear"):
        network(model.SerializeToString())


def test_an_operator_that_is_not_known_is_named_beside_those_that_are() -> None:
    with pytest.raises(ModelError, match=r"cannot be taught here; got Hardmax; allowed: .*Conv.*Softmax"):
        network(one("Hardmax").SerializeToString())
