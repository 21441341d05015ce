"""A model loads, or a sentence says why not."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewise.core.errors import ModelError
from edgewise.graph.load import load
from edgewise.graph.reference import evaluate
from tests.zoo import plain


def value(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def chain(*kinds: str, domain: str = "", opset: int = 17) -> onnx.ModelProto:
    """x → kinds one after the other → y."""
    names = ["x", *(f"t{i}" for i in range(len(kinds) - 1)), "y"]
    nodes = [helper.make_node(k, [a], [b], domain=domain) for k, a, b in zip(kinds, names, names[1:], strict=False)]
    graph = helper.make_graph(nodes, "chain", [value("x", 1, 3)], [value("y", 1, 3)])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("mine", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x00" * 64, plain().SerializeToString()[:2000]])
def test_what_is_no_model_is_a_sentence(data: bytes) -> None:
    with pytest.raises(ModelError, match=r"not an? (valid )?ONNX model"):
        load(data)


def test_unknown_operators_are_named() -> None:
    with pytest.raises(ModelError, match="operators that are not known; got Frobnicate, Twiddle"):
        load(chain("Relu", "Frobnicate", "Twiddle").SerializeToString())
    with pytest.raises(ModelError, match="mine:Relu"):
        load(chain("Relu", domain="mine").SerializeToString())
    with pytest.raises(ModelError, match="newer ONNX; got operator set 999"):
        load(chain("Relu", opset=999).SerializeToString())
    assert load(chain("Gelu", domain="com.microsoft").SerializeToString()).graph.node[0].op_type == "Gelu"


def test_external_weights_are_brought_inside(tmp_path: Path) -> None:
    model = plain()
    picture = {"picture": np.ones((1, 3, 16, 16), np.float32)}
    want = evaluate(model, picture, optimise=False)
    onnx.save_model(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    got = evaluate(load(tmp_path / "m.onnx"), picture, optimise=False)
    assert all(want[k].tobytes() == got[k].tobytes() for k in want)
    with pytest.raises(ModelError, match="another file"):
        load((tmp_path / "m.onnx").read_bytes())
    (tmp_path / "m.bin").rename(tmp_path / "elsewhere.bin")
    with pytest.raises(ModelError, match=r"weights of .* are missing; got tensor 'w0' in 'm\.bin'"):
        load(tmp_path / "m.onnx")


def test_external_weights_stay_in_the_folder_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"\x00" * 12)
    (tmp_path / "models").mkdir()
    model = chain("Relu")
    weight = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../secret.bin")
    model.graph.initializer.append(weight)
    (tmp_path / "models" / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="are missing"):
        load(tmp_path / "models" / "m.onnx")


def test_nodes_are_put_in_order_and_idle_ones_leave() -> None:
    model = chain("Relu", "Abs", "Neg")
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*reversed(nodes), helper.make_node("Exp", ["x"], ["idle"])])
    assert [n.op_type for n in load(model.SerializeToString()).graph.node] == ["Relu", "Abs", "Neg"]
    model.graph.node[2].input[0] = "y"
    with pytest.raises(ModelError, match="which nothing writes before it"):
        load(model.SerializeToString())


def test_there_must_be_a_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.onnx"):
        with pytest.raises(ModelError, match="no such model file"):
            load(path)
