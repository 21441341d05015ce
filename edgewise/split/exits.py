"""An early exit becomes a part of a bundle: the head is cut at early features, and what looks at them answers where it is sure.

    picture → [front of the head → early → exit → answer]      part `exit`
              early → [rest of the head → bottleneck]          part `head`

The mirror of `edgewise.split.gate`: the front runs once. An operating point of the mode `exit` answers on the device where the
exit's doubt is below the threshold, and sends the bottleneck with its own coding where it is not; the bundle's other points send
every frame, and the exit's answer is not looked at. The exit is written in operators that every opset from 9 on has.

It does not know how an exit is trained (`edgewise.split.training.exits`), nor what its threshold costs (`edgewise.split.doubt`).
Needs onnx; no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from edgewise.core.artifact import Classes, Exit, Manifest, PartName
from edgewise.core.coherent import EARLY
from edgewise.core.errors import ModelError
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.graph.cut import split
from edgewise.graph.load import load
from edgewise.runtime.bundle import bundle_files, write_bundle
from edgewise.split.doubt import Calibrated
from edgewise.split.gate import OLDEST, parted_parameters, rename, seconds, single

Floats = NDArray[np.float32]
POINT = "exit"


class Convolved(Struct, frozen=True):
    """A convolution that keeps the map's size but for its stride, and the ReLU behind it: `weight` (outside, inside, size, size),
    `bias` (outside,)."""

    weight: Floats
    bias: Floats
    stride: int


class Plain(Struct, frozen=True):
    """An exit as plain arrays: convolutions, each channel's mean, and a linear layer, `weight` (classes, channels) and `bias`."""

    convolutions: tuple[Convolved, ...]
    weight: Floats
    bias: Floats


def parted(head: bytes, at: str, plain: Plain, output: str) -> tuple[bytes, bytes]:
    """Part `exit` (picture → `output`, early) and part `head` (early → bottleneck) of a head, cut at tensor `at`."""
    first, rest = split(load(head), single(head, at))
    value = next(o for o in first.graph.output if o.name == at)
    shape = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)[1:]
    channels = plain.convolutions[0].weight.shape[1]
    if value.type.tensor_type.elem_type != TensorProto.FLOAT or len(shape) != 3 or shape[0] != channels:
        raise ModelError(
            "the exit was made for other features", got=f"{at} of {shape}", allowed=f"float32 of {channels} channels"
        )
    opset = next(o.version for o in first.opset_import if o.domain in ("", "ai.onnx"))
    if opset < OLDEST:
        raise ModelError("the head's opset is too old for an exit", got=opset, allowed=f"{OLDEST} or newer")
    for model in (first, rest):
        for taken in {EARLY, output} - {at}:
            rename(model.graph, taken, f"{taken}_of_the_head")
        rename(model.graph, at, EARLY)
    nodes, weights = _nodes(plain, output)
    first.graph.node.extend(nodes)
    first.graph.initializer.extend(weights)
    batch = next(o for o in first.graph.output if o.name == EARLY).type.tensor_type.shape.dim[0]
    axis = batch.dim_param or batch.dim_value
    first.graph.output.insert(0, helper.make_tensor_value_info(output, TensorProto.FLOAT, [axis, len(plain.bias)]))
    first.graph.name = "exit"
    checker.check_model(first)
    checker.check_model(rest)
    return bytes(first.SerializeToString(deterministic=True)), bytes(rest.SerializeToString(deterministic=True))


def with_exit(
    source: str | Path,
    out: str | Path,
    at: str,
    plain: Plain,
    calibrated: Calibrated,
    of: str,
    quality: Quality,
    provenance: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.thread_time,
) -> Manifest:
    """Write the bundle of `source` into `out` with an exit in its head at tensor `at`, and a point `exit` that uses it.

    What the exit is not sure of goes as the point `of`; `quality` is what both together were measured to be worth. A bundle that
    has a filter or an exit already, or gives no classes, is refused.
    """
    files = bundle_files(source)
    manifest = msgspec.json.decode(files["manifest.json"], type=Manifest)
    if "filter" in manifest.parts or "exit" in manifest.parts:
        raise ModelError(
            f"the bundle {manifest.name} looks at early features already",
            got=", ".join(manifest.parts),
            allowed="a bundle without a filter or an exit",
            hint="Begin with the bundle that it was made of.",
        )
    if "head" not in manifest.parts or not isinstance(manifest.decoding, Classes):
        raise ModelError(
            f"an exit cannot answer for the bundle {manifest.name}",
            got=f"{', '.join(manifest.parts)}; answers are {type(manifest.decoding).__name__.lower()}",
            allowed="a head, and answers that are classes",
        )
    sends = next((p for p in manifest.points if p.name == of and p.mode == "split"), None)
    if sends is None:
        names = ", ".join(p.name for p in manifest.points if p.mode == "split")
        raise ModelError(f"the bundle {manifest.name} has no such split", got=of, allowed=names or "none")
    parts: dict[PartName, bytes] = {name: files[part.file] for name, part in manifest.parts.items()}  # type: ignore[misc]
    whole = parts["head"]
    parts["exit"], parts["head"] = parted(whole, at, plain, manifest.decoding.output)
    early, rest, before = (seconds(model, clock) for model in (parts["exit"], parts["head"], whole))
    timed = tuple(_timed(point, early + rest - before) for point in manifest.points)
    left = calibrated.left
    point = msgspec.structs.replace(
        next(p for p in timed if p.name == of),
        name=POINT,
        mode="exit",
        device_time=round(early + (1 - left) * max(sends.device_time - before + rest, 0.0), 6),
        quality={"all": quality},
        left=round(left, 4),
    )
    how = f"cut at {at}; at most {calibrated.risk:g} of the answers change, {calibrated.seen:.4f} of {calibrated.n} did"
    return write_bundle(
        out,
        name=manifest.name,
        labels=manifest.labels,
        parts=parts,
        pictures={"exit" if name == "head" else name: picture for name, picture in manifest.pictures.items()},
        bottleneck=manifest.bottleneck,
        decoding=manifest.decoding,
        points=(*timed, point),
        parameters=parted_parameters(manifest.parameters, "exit", parts["exit"], parts["head"]),
        provenance={**manifest.provenance, "exit": how, **(provenance or {})},
        probe=manifest.probe,
        task=manifest.task,
        codings={**manifest.codings, **({POINT: manifest.codings[of]} if of in manifest.codings else {})},
        exit=Exit(calibrated.doubt, calibrated.risk, calibrated.confidence, calibrated.n),
    )


def _timed(point: OperatingPoint, more: float) -> OperatingPoint:
    """Every split runs the exit on its way; a server that looks at pictures with head and tail does, too."""
    if point.mode == "split":
        return msgspec.structs.replace(point, device_time=round(max(point.device_time + more, 0.0), 6))
    if point.mode == "image":
        return msgspec.structs.replace(point, edge_time=round(max(point.edge_time + more, 0.0), 6))
    return point


def _nodes(plain: Plain, output: str) -> tuple[list[Any], list[Any]]:
    """Nodes and initialisers from `early` to `output`."""
    nodes, weights, now = [], [], EARLY

    def constant(name: str, values: NDArray[Any]) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), f"exit.{name}"))
        return f"exit.{name}"

    for i, layer in enumerate(plain.convolutions):
        size = layer.weight.shape[2]
        inputs = [now, constant(f"body.{i}.weight", layer.weight), constant(f"body.{i}.bias", layer.bias)]
        how = {"strides": [layer.stride] * 2, "kernel_shape": [size] * 2, "pads": [size // 2] * 4}
        nodes.append(helper.make_node("Conv", inputs, [f"exit.conv_{i}"], name=f"exit.conv_{i}", **how))
        now = f"exit.relu_{i}"
        nodes.append(helper.make_node("Relu", [f"exit.conv_{i}"], [now], name=now))
    nodes.append(helper.make_node("GlobalAveragePool", [now], ["exit.mean"], name="exit.mean"))
    nodes.append(helper.make_node("Flatten", ["exit.mean"], ["exit.flat"], name="exit.flat", axis=1))
    inputs = ["exit.flat", constant("out.weight", plain.weight), constant("out.bias", plain.bias)]
    nodes.append(helper.make_node("Gemm", inputs, [output], name="exit.gemm", transB=1))
    return nodes, weights
