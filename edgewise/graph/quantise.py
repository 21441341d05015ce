"""Weights and activations of a model in eight bits: QDQ by onnxruntime, calibrated on samples.

Signed weights per output channel, unsigned activations per tensor, ranges from the least and the largest value that calibration
saw: the form that onnxruntime's CPU kernels, and most accelerators, take. What it is worth must be measured: on CPUs without
dot-product instructions int8 is slower than float (split.md 3.4), and a few kinds of networks lose accuracy by it.

A model's inputs and outputs keep their dtypes, so that a quantised head or tail takes the place of the other.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgewise.core.errors import ModelError
from edgewise.graph.shapes import data_inputs

# Kinds that are worth a scale of their own; the rest stays float.
_KINDS = ("Conv", "Gemm", "MatMul", "Add", "MaxPool", "GlobalAveragePool", "AveragePool", "Concat", "Relu", "Clip", "Resize")


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Samples one by one, as onnxruntime's calibration asks for them."""

    def __init__(self, name: str, values: Sequence[NDArray[Any]]) -> None:
        self._left: Iterator[NDArray[Any]] = iter(values)
        self._name = name

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        value = next(self._left, None)
        return None if value is None else {self._name: value[None]}


def int8(model: bytes, samples: NDArray[Any]) -> bytes:
    """The model of one input, quantised after `samples` (n, …) of that input; ModelError where onnxruntime cannot."""
    name = _input(model)
    if not len(samples):
        raise ModelError("a model cannot be quantised without samples", got=0, allowed="one or more")
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, made = (Path(folder) / f"{word}.onnx" for word in ("plain", "ready", "made"))
        plain.write_bytes(model)
        before = logging.getLogger().level
        try:
            logging.getLogger().setLevel(logging.ERROR)  # it recommends to do what is being done
            quant_pre_process(plain, ready, skip_symbolic_shape=True)
            quantize_static(
                ready,
                made,
                _Samples(name, list(samples)),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(_KINDS),
                extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
            )
        except (ValueError, RuntimeError, KeyError, TypeError, onnx.checker.ValidationError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise ModelError("onnxruntime cannot quantise the model", got=first) from error
        finally:
            logging.getLogger().setLevel(before)
        return _settled(onnx.load(made), onnx.load_model_from_string(model))


def _input(model: bytes) -> str:
    inputs = data_inputs(onnx.load_model_from_string(model))
    if len(inputs) != 1:
        raise ModelError("only a model of one input is quantised", got=", ".join(x.name for x in inputs) or "none", allowed="one")
    return str(inputs[0].name)


def _settled(made: Any, plain: Any) -> bytes:
    """The quantised model with the declarations of the plain one, and without notes of who made it when."""
    names = [o.name for o in plain.graph.output]
    found = {o.name for o in made.graph.output}
    if found != set(names):
        raise ModelError("quantising changed the outputs of the model", got=", ".join(sorted(found)), allowed=", ".join(names))
    del made.graph.input[:], made.graph.output[:]
    made.graph.input.extend(data_inputs(plain))
    made.graph.output.extend(plain.graph.output)
    del made.graph.value_info[:], made.metadata_props[:]
    return bytes(made.SerializeToString(deterministic=True))
