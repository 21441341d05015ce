"""Models merged into one answer as each of them does alone; what they compute alike stands once, and nothing else is joined."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgewise.core.errors import ModelError
from edgewise.graph.merge import merged
from edgewise.runtime.session import Session

RANDOM = np.random.default_rng(0)
SHARED = RANDOM.standard_normal((4, 8)).astype(np.float32)
ZERO = np.zeros(8, np.float32)


def model(
    last: NDArray[np.float32], first: NDArray[np.float32] = SHARED, source: str = "x", width: int = 4, opset: int = 18
) -> Any:
    """x (batch, 4) → y = relu(x · first + zero) · last; `calm` is zero as well, and another parameter."""
    weights = {"first": first, "zero": ZERO, "calm": ZERO, "last": last}
    nodes = [
        helper.make_node("MatMul", [source, "first"], ["a"]),
        helper.make_node("Add", ["a", "zero"], ["b"]),
        helper.make_node("Add", ["b", "calm"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "last"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(source, 1, ["batch", width])],
        [helper.make_tensor_value_info("y", 1, ["batch", last.shape[1]])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def run(one: Any, x: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    session = Session.load(one.SerializeToString())
    return session.run({session.inputs[0].name: x})


def test_each_task_answers_as_before_and_the_shared_part_runs_once() -> None:
    lasts = {
        "boxes": RANDOM.standard_normal((8, 3)).astype(np.float32),
        "kind": RANDOM.standard_normal((8, 5)).astype(np.float32),
    }
    models = {task: model(last) for task, last in lasts.items()}
    made = merged(models)
    x = RANDOM.standard_normal((6, 4)).astype(np.float32)
    said = run(made.model, x)
    assert list(said) == ["boxes.y", "kind.y"]
    for task, one in models.items():
        assert said[f"{task}.y"].tobytes() == run(one, x)["y"].tobytes()
    kinds = [n.op_type for n in made.model.graph.node]
    assert made.saved == 4 and kinds.count("Relu") == 1 and kinds.count("MatMul") == 3
    assert made.initialisers["kind"]["last"] == "kind.last" and made.initialisers["kind"]["first"] == "first"


def test_equal_parameters_of_one_model_stay_two() -> None:
    made = merged({"a": model(np.ones((8, 2), np.float32)), "b": model(np.ones((8, 2), np.float32))})
    assert made.initialisers["b"] == made.initialisers["a"] == {n: n for n in ("first", "zero", "calm", "last")}
    names = [x.name for x in made.model.graph.initializer]
    assert sorted(names) == ["calm", "first", "last", "zero"], "zero and calm have the same bytes"
    assert made.saved == 5


def test_a_tail_that_tuned_its_own_first_layer_keeps_it() -> None:
    last = RANDOM.standard_normal((8, 3)).astype(np.float32)
    models = {"a": model(last), "b": model(last, SHARED + 1)}
    made = merged(models)
    x = RANDOM.standard_normal((2, 4)).astype(np.float32)
    said = run(made.model, x)
    assert made.saved == 0
    assert np.abs(said["a.y"] - said["b.y"]).max() > 0.1
    assert said["b.y"].tobytes() == run(models["b"], x)["y"].tobytes()


@pytest.mark.parametrize(
    ("others", "word"),
    [
        ({"b": model(ZERO[:, None], source="z")}, "different inputs"),
        ({"b": model(ZERO[:, None], RANDOM.standard_normal((5, 8)).astype(np.float32), width=5)}, "different inputs"),
        ({"b": model(ZERO[:, None], opset=17)}, "opsets"),
    ],
)
def test_models_that_do_not_fit_together_are_refused(others: dict[str, Any], word: str) -> None:
    with pytest.raises(ModelError, match=word):
        merged({"a": model(ZERO[:, None]), **others})
    with pytest.raises(ModelError, match="nothing"):
        merged({})


def test_drawn_values_are_never_shared() -> None:
    def noisy() -> Any:
        nodes = [
            helper.make_node("RandomNormalLike", ["x"], ["n"], seed=1.0),
            helper.make_node("Add", ["x", "n"], ["y"]),
        ]
        ends = [helper.make_tensor_value_info(n, 1, [2, 2]) for n in ("x", "y")]
        graph = helper.make_graph(nodes, "net", ends[:1], ends[1:])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)

    made = merged({"a": noisy(), "b": noisy()})
    onnx.checker.check_model(made.model)
    assert [n.op_type for n in made.model.graph.node].count("RandomNormalLike") == 2
