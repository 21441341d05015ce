"""A Session: one ONNX model in onnxruntime, on the execution providers that this machine really has.

One thread by default: two busy thread pools on two cores cost up to ten times. A provider that was asked for and is not
there (or did not come up) is never replaced in silence: it stands in `fell_back`, and the CPU does the work.

A session does not know what its tensors mean; it checks names, dtypes and fixed dimensions at the border, so that a wrong
feed is a sentence and not a trace of C++. It does not look for NaN: that is the codec's border.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from edgewise.core.artifact import TensorSpec
from edgewise.core.errors import ConfigError, ModelError, TensorError

CPU = "CPUExecutionProvider"
_WORDS = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "directml": "DmlExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
}
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bfloat16)": "bfloat16",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}
# onnxruntime's errors share no parent but Exception: this is all of them that a model or a feed can cause.
_ERRORS: tuple[type[Exception], ...] = tuple(
    getattr(native, name)
    for name in (
        "EPFail",
        "Fail",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "NoModel",
        "NoSuchFile",
        "NotImplemented",
        "RuntimeException",
    )
)
# Where a model comes as bytes there is no folder that its external data could honestly come from.
_NOWHERE = "/external-data-of-a-model-given-as-bytes"


def present() -> tuple[str, ...]:
    """The execution providers of this installation, best first."""
    return tuple(onnxruntime.get_available_providers())


def provider(word: str) -> str:
    """onnxruntime's name of a provider from a short word (`cuda`) or from that name itself."""
    name = _WORDS.get(word.lower(), word)
    if name not in _WORDS.values() and name not in present():
        raise ConfigError(
            "an unknown execution provider was asked for",
            got=word,
            allowed=", ".join(_WORDS),
            hint=f"This installation has {', '.join(present())}.",
        )
    return name


class Session:
    """One loaded model; `inputs` and `outputs` are its TensorSpecs, `providers` those in use, `fell_back` those that are not,
    `metadata` what whoever made it wrote into it.

    >>> session = Session.load("head.onnx")                                          # doctest: +SKIP
    >>> session.run({"picture": numpy.zeros((1, 360, 640, 3), "uint8")})["features"]  # doctest: +SKIP
    """

    def __init__(self, session: Any, asked: Sequence[str], name: str) -> None:
        self._session = session
        self.name = name
        self.inputs = tuple(_spec(x) for x in session.get_inputs())
        self.outputs = tuple(_spec(x) for x in session.get_outputs())
        self.providers: tuple[str, ...] = tuple(session.get_providers())
        self.fell_back: tuple[str, ...] = tuple(p for p in asked if p not in self.providers)
        self.metadata: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        self._names = [x.name for x in self.outputs]
        self._specs = {x.name: x for x in self.inputs}

    @staticmethod
    def load(
        model: str | Path | bytes,
        threads: int = 1,
        providers: Iterable[str] | None = None,
        optimise: bool = True,
        optimised_path: Path | None = None,
    ) -> Session:
        """Load a file or its bytes. `optimise` off runs the graph as it is written; `optimised_path` keeps what really runs."""
        name = f"{len(model)} bytes" if isinstance(model, bytes) else str(model)
        if not isinstance(model, bytes) and not Path(model).is_file():
            raise ModelError("there is no such model file", got=name, allowed="the path of an ONNX file")
        asked = [provider(p) for p in providers] if providers is not None else [CPU]
        usable = [p for p in asked if p in present()]
        options = _options(threads, optimise, optimised_path, from_bytes=isinstance(model, bytes))
        try:
            session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model),
                sess_options=options,
                providers=[*usable, *([] if CPU in usable else [CPU])],
            )
        except _ERRORS as error:
            raise _refusal(error, name) from error
        return Session(session, asked, name)

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Every output by its name, or only those of `outputs`."""
        self._check(feeds)
        wanted = self._names if outputs is None else list(outputs)
        unknown = [n for n in wanted if n not in self._names]
        if unknown:
            raise ModelError("the model has no such output", got=", ".join(unknown), allowed=", ".join(self._names))
        try:
            return dict(zip(wanted, self._session.run(wanted, feeds), strict=True))
        except _ERRORS as error:
            raise ModelError(f"onnxruntime could not run {self.name}", got=_plain(error)) from error

    def _check(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        if feeds.keys() != self._specs.keys():
            raise TensorError(
                f"the inputs of {self.name} are not those that it has",
                got=", ".join(feeds) or "none",
                allowed=", ".join(self._specs),
            )
        for name, spec in self._specs.items():
            value = np.asarray(feeds[name])
            if value.dtype != spec.dtype and spec.dtype not in ("object", "bfloat16"):
                raise TensorError(f"input {name!r} has a wrong dtype", got=value.dtype, allowed=spec.dtype)
            if len(spec.shape) != value.ndim or any(d not in (None, n) for d, n in zip(spec.shape, value.shape, strict=True)):
                raise TensorError(f"input {name!r} has a wrong shape", got=value.shape, allowed=_words(spec.shape))


def _options(threads: int, optimise: bool, optimised_path: Path | None, from_bytes: bool) -> Any:
    if threads < 1:
        raise ConfigError("a session needs a thread", got=threads, allowed="1 or more")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    if optimised_path is not None:
        options.optimized_model_filepath = str(optimised_path)
    if from_bytes:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
    return options


def _spec(node: Any) -> TensorSpec:
    dtype = _DTYPES.get(node.type) or re.sub(r"tensor\((.*)\)", r"\1", node.type)
    return TensorSpec(node.name, dtype, tuple(d if isinstance(d, int) else None for d in node.shape))


def _words(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if d is None else str(d) for d in shape) + ")"


def _plain(error: Exception) -> str:
    """The message without onnxruntime's prefix and source file."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    return re.sub(r"/\S+\.(?:h|cc):\d+ (?:.*?\) )?", "", text).strip().rstrip(".")[:300]


def _refusal(error: Exception, name: str) -> ModelError:
    """The sentence for a model that onnxruntime refuses."""
    text = str(error)
    operator = re.search(r"(?:Error No Op registered for (\w+))|(?:Fatal error: (\S+?)\(-?\d+\) is not a registered)", text) or (
        re.search(r"Could not find an implementation for (\w+)", text)
    )
    if operator:
        return ModelError(
            f"{name} uses an operator that onnxruntime does not know",
            got=next(g for g in operator.groups() if g),
            allowed="the operators of ONNX and onnxruntime",
            hint="Export the model with standard operators, or replace that one.",
        )
    if "xternal data" in text:
        return ModelError(
            f"the weights of {name} lie in another file that cannot be read",
            got=_plain(error),
            hint="Keep that file beside the model, or save the model with its weights inside.",
        )
    if isinstance(error, native.InvalidProtobuf) or "No graph was found" in text:
        return ModelError(f"{name} is not an ONNX model", got=_plain(error), allowed="an ONNX file")
    return ModelError(f"onnxruntime cannot load {name}", got=_plain(error))
