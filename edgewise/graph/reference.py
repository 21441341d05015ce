"""Run a model once in onnxruntime, on the CPU and one thread: the reference that cuts and shapes are checked against.

This is not how models are served (that is a Session of `edgewise.runtime`); it knows nothing of providers and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from edgewise.core.errors import ModelError

_ERRORS = (
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NotImplemented,
    native.RuntimeException,
)


def evaluate(model: Any, feeds: Mapping[str, NDArray[Any]], optimise: bool) -> dict[str, NDArray[Any]]:
    """Every output of an `onnx.ModelProto`, by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        wanted = [x.name for x in session.get_outputs()]
        needed = {x.name for x in session.get_inputs()}
        found = session.run(wanted, {k: v for k, v in feeds.items() if k in needed})
    except _ERRORS as error:
        raise ModelError("onnxruntime cannot run the model", got=str(error).strip().split("\n")[0][:300]) from error
    return dict(zip(wanted, found, strict=True))
