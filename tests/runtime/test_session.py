"""A session says what it runs on and turns every bad model and bad feed into a sentence."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgewise.core.errors import ConfigError, ModelError, TensorError
from edgewise.runtime.session import Session, present


def adding(operator: str = "Add", domain: str = "", external: bool = False) -> bytes:
    """y = x + (1, 2, 3), with a free batch."""
    w = helper.make_tensor("w", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    if external:
        w.ClearField("float_data")
        w.data_location = TensorProto.EXTERNAL
        w.external_data.add(key="location", value="w.bin")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph([helper.make_node(operator, ["x", "w"], ["y"], domain=domain)], "adding", [x], [y], [w])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def test_it_runs_any_batch_and_names_its_outputs() -> None:
    session = Session.load(adding())
    out = session.run({"x": np.zeros((5, 3), np.float32)})
    assert list(out) == ["y"]
    assert (out["y"] == np.array([1, 2, 3], np.float32)).all()
    assert session.inputs[0].shape == (None, 3)
    assert session.inputs[0].dtype == "float32"
    assert session.providers == ("CPUExecutionProvider",)
    assert session.fell_back == ()


def test_a_provider_that_is_not_there_is_seen() -> None:
    missing = next(p for p in ("qnn", "coreml", "cuda") if not any(p in q.lower() for q in present()))
    session = Session.load(adding(), providers=[missing])
    assert len(session.fell_back) == 1
    assert session.providers == ("CPUExecutionProvider",)
    with pytest.raises(ConfigError, match="unknown execution provider"):
        Session.load(adding(), providers=["abacus"])


def test_bad_models_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "external.onnx").write_bytes(adding(external=True))
    (tmp_path / "text.onnx").write_text("not a model")
    for model, sentence in (
        (adding("Frobnicate"), "operator that onnxruntime does not know; got Frobnicate"),
        (adding("Frobnicate", "mine"), "operator that onnxruntime does not know; got mine:Frobnicate"),
        (b"", "not an ONNX model"),
        (adding()[:40], "not an ONNX model"),
        (tmp_path / "text.onnx", "not an ONNX model"),
        (tmp_path / "external.onnx", "lie in another file"),
        (tmp_path / "none.onnx", "no such model file"),
        (tmp_path, "no such model file"),
    ):
        with pytest.raises(ModelError, match=sentence):
            Session.load(model)


def test_bytes_never_read_weights_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.bin").write_bytes(np.array([1, 2, 3], np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="lie in another file"):
        Session.load(adding(external=True))


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"z": np.zeros((1, 3), np.float32)},
        {"x": np.zeros((1, 3), np.float32), "z": np.zeros(1)},
        {"x": np.zeros((1, 4), np.float32)},
        {"x": np.zeros(3, np.float32)},
        {"x": np.zeros((1, 3))},
    ],
)
def test_bad_feeds_are_sentences(feeds: dict[str, np.ndarray]) -> None:
    with pytest.raises(TensorError, match="allowed"):
        Session.load(adding()).run(feeds)


def test_unknown_outputs_and_thread_counts_are_refused() -> None:
    with pytest.raises(ModelError, match="no such output"):
        Session.load(adding()).run({"x": np.zeros((1, 3), np.float32)}, ["q"])
    with pytest.raises(ConfigError, match="thread"):
        Session.load(adding(), threads=0)
