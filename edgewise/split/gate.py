"""A filter becomes a part of a bundle: the head is cut at its early features, and what looks at them first decides.

    picture → [front of the head → early → classifier → present]      part `filter`
              early → [rest of the head → bottleneck]                 part `head`

The front runs once. A picture below the threshold ends there: nothing is sent, the answer is empty (paper 2, its neural filter).
Any bundle will do whose head can be cut at one tensor, whoever made it: the classifier is written in operators that every opset
from 9 on has, at the opset of the head. It guards all operating points of the bundle; their bytes and qualities remain those of
pictures that pass.

It does not know how a classifier is trained (`edgewise.split.training.filter`) nor what a bound is (`edgewise.split.bound`).
Needs onnx; no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from edgewise.core.artifact import Filter, Manifest, Parameter, PartName
from edgewise.core.coherent import EARLY, PRESENT
from edgewise.core.errors import ModelError
from edgewise.core.placement import OperatingPoint
from edgewise.graph.count import graph_of
from edgewise.graph.cut import cut_at, split
from edgewise.graph.load import load
from edgewise.runtime.bundle import bundle_files, write_bundle
from edgewise.runtime.initialisers import initialisers
from edgewise.runtime.session import Session
from edgewise.split.bound import Certified

OLDEST = 9  # opset
Floats = NDArray[np.float32]


class Convolved(Struct, frozen=True):
    """A convolution without padding, and the ReLU behind it: `weight` (outside, inside, size, size), `bias` (outside,)."""

    weight: Floats
    bias: Floats
    stride: int


class Plain(Struct, frozen=True):
    """A classifier as plain arrays: pools as `down` (rows, rows before) and `across` (columns before, columns), convolutions, and
    a linear layer (features,) on the pooled map and the maximum of each channel, which gives the log odds of something."""

    open: tuple[Floats, Floats]
    convolutions: tuple[Convolved, ...]
    close: tuple[Floats, Floats]
    weight: Floats
    bias: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the features that it takes."""
        return self.convolutions[0].weight.shape[1], self.open[0].shape[1], self.open[1].shape[0]


def front(head: bytes, at: str) -> bytes:
    """The head up to tensor `at`, whose one output that is; ModelError names what else crosses there."""
    model, _ = split(load(head), single(head, at))
    return bytes(model.SerializeToString(deterministic=True))


def gated(head: bytes, at: str, plain: Plain) -> tuple[bytes, bytes]:
    """Part `filter` (picture → present, early) and part `head` (early → bottleneck) of a head, cut at tensor `at`."""
    first, rest = split(load(head), single(head, at))
    value = next(o for o in first.graph.output if o.name == at)
    shape = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)[1:]
    if value.type.tensor_type.elem_type != TensorProto.FLOAT or shape != plain.shape:
        raise ModelError("the filter was made for other features", got=f"{at} of {shape}", allowed=f"float32 of {plain.shape}")
    opset = next(o.version for o in first.opset_import if o.domain in ("", "ai.onnx"))
    if opset < OLDEST:
        raise ModelError("the head's opset is too old for a filter", got=opset, allowed=f"{OLDEST} or newer")
    for model in (first, rest):
        if at != EARLY:
            rename(model.graph, EARLY, f"{EARLY}_of_the_head")
        rename(model.graph, at, EARLY)
    nodes, weights = _nodes(plain)
    first.graph.node.extend(nodes)
    first.graph.initializer.extend(weights)
    batch = next(o for o in first.graph.output if o.name == EARLY).type.tensor_type.shape.dim[0]
    axis = batch.dim_param or batch.dim_value
    first.graph.output.insert(0, helper.make_tensor_value_info(PRESENT, TensorProto.FLOAT, [axis]))
    first.graph.name = "filter"
    checker.check_model(first)
    checker.check_model(rest)
    return bytes(first.SerializeToString(deterministic=True)), bytes(rest.SerializeToString(deterministic=True))


def with_filter(
    source: str | Path,
    out: str | Path,
    at: str,
    plain: Plain,
    certified: Certified,
    of: str,
    learn: float = 0.02,
    provenance: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.thread_time,
) -> Manifest:
    """Write the bundle of `source` into `out` with its head cut at tensor `at` and a filter before it.

    Times of the points grow by what the filter takes here, on `clock`; parameters that lie in the front now belong to the part
    `filter`, under their old paths. A bundle that has a filter already is refused.
    """
    files = bundle_files(source)
    manifest = msgspec.json.decode(files["manifest.json"], type=Manifest)
    if manifest.filter is not None or "filter" in manifest.parts:
        raise ModelError(f"the bundle {manifest.name} has a filter already", hint="Begin with the bundle that it was made of.")
    if "head" not in manifest.parts:
        raise ModelError(f"the bundle {manifest.name} has no head that a filter could share", got=", ".join(manifest.parts))
    parts: dict[PartName, bytes] = {name: files[part.file] for name, part in manifest.parts.items()}  # type: ignore[misc]
    whole = parts["head"]
    parts["filter"], parts["head"] = gated(whole, at, plain)
    gate, rest, before = (seconds(model, clock) for model in (parts["filter"], parts["head"], whole))
    pictures = {"filter" if name == "head" else name: picture for name, picture in manifest.pictures.items()}
    how = f"cut at {at}; threshold by {certified.by} of {certified.n} scenes, p = {certified.p:.3g}"
    return write_bundle(
        out,
        name=manifest.name,
        labels=manifest.labels,
        parts=parts,
        pictures=pictures,
        bottleneck=manifest.bottleneck,
        decoding=manifest.decoding,
        points=tuple(_timed(point, gate, gate + rest - before) for point in manifest.points),
        parameters=parted_parameters(manifest.parameters, "filter", parts["filter"], parts["head"]),
        provenance={**manifest.provenance, "filter": f"{how}, recall on them {certified.seen:.4f}", **(provenance or {})},
        probe=manifest.probe,
        task=manifest.task,
        codings=manifest.codings,
        filter=Filter(certified.threshold, certified.recall, certified.confidence, certified.n, of, learn),
    )


def seconds(model: bytes, clock: Callable[[], float], rounds: int = 15) -> float:
    """The median time of a run on one sample of noise, after three to warm up."""
    session = Session.load(model)
    generator = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {
        spec.name: (generator.random([d or 1 for d in spec.shape]) * (255 if spec.dtype == "uint8" else 1)).astype(spec.dtype)
        for spec in session.inputs
    }
    taken = []
    for _ in range(rounds + 3):
        begun = clock()
        session.run(feeds)
        taken.append(clock() - begun)
    return float(np.median(taken[3:]))


def single(head: bytes, at: str) -> Any:
    """The cut of a head at tensor `at`; ModelError where more than it crosses there."""
    cut = cut_at(graph_of(load(head)), at)
    if len(cut.tensors) != 1 or cut.early:
        raise ModelError(
            "what looks at early features takes one tensor with the whole answer behind it",
            got=" + ".join((*cut.tensors, *cut.early)),
        )
    return cut


def _timed(point: OperatingPoint, gate: float, more: float) -> OperatingPoint:
    """A split runs gate and rest instead of the head; a picture is looked at before it is encoded, and the server looks again."""
    if point.mode == "split":
        return msgspec.structs.replace(point, device_time=round(max(point.device_time + more, gate), 6))
    if point.mode == "image":
        on_edge = round(max(point.edge_time + more, 0.0), 6)
        return msgspec.structs.replace(point, device_time=round(point.device_time + gate, 6), edge_time=on_edge)
    return point


def parted_parameters(known: Mapping[str, Parameter], part: PartName, gate: bytes, rest: bytes) -> dict[str, Parameter]:
    """The map of a head that became `part` and the rest.

    What both sides of the cut use can no longer be changed in one place, and has no path.
    """
    first, second = initialisers(gate).keys(), initialisers(rest).keys()
    found: dict[str, Parameter] = {}
    for path, place in known.items():
        if place.part != "head":
            found[path] = place
        elif place.initialiser in first and place.initialiser not in second:
            found[path] = Parameter(part, place.initialiser)
        elif place.initialiser in second and place.initialiser not in first:
            found[path] = place
    own = [name for name, one in initialisers(gate).items() if name.startswith(f"{part}.") and one.dtype == "float32"]
    return found | {name: Parameter(part, name) for name in own if name not in found}


def rename(graph: Any, old: str, new: str) -> None:
    """Give a tensor another name wherever it is spoken of, inner graphs too."""
    for values in (graph.input, graph.output, graph.value_info, graph.initializer):
        for value in values:
            if value.name == old:
                value.name = new
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new
        for attribute in node.attribute:
            for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                rename(body, old, new)


def _nodes(plain: Plain) -> tuple[list[Any], list[Any]]:
    """Nodes and initialisers from `early` to `present`."""
    nodes: list[Any] = []
    weights: list[Any] = []
    now = EARLY

    def add(
        kind: str,
        constants: Sequence[tuple[str, NDArray[Any]]] = (),
        before: bool = False,
        more: Sequence[str] = (),
        **attributes: Any,
    ) -> None:
        nonlocal now
        names = [*(f"filter.{name}" for name, _ in constants), *more]
        weights.extend(numpy_helper.from_array(np.ascontiguousarray(v), f"filter.{name}") for name, v in constants)
        result = f"filter.{kind.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(kind, [*names, now] if before else [now, *names], [result], name=result, **attributes))
        now = result

    def pool(name: str, matrices: tuple[Floats, Floats]) -> None:
        down, across = matrices
        if down.shape[0] != down.shape[1]:
            add("MatMul", [(f"{name}.down", down)], before=True)
        if across.shape[0] != across.shape[1]:
            add("MatMul", [(f"{name}.across", across)])

    pool("open", plain.open)
    for i, layer in enumerate(plain.convolutions):
        constants = [(f"body.{i}.weight", layer.weight), (f"body.{i}.bias", layer.bias)]
        add("Conv", constants, strides=[layer.stride] * 2, kernel_shape=list(layer.weight.shape[2:]))
        add("Relu")
    seen = now
    add("GlobalMaxPool")
    add("Flatten", axis=1)
    most, now = now, seen
    pool("close", plain.close)
    add("Flatten", axis=1)
    add("Concat", more=[most], axis=1)
    add("Gemm", [("out.weight", plain.weight[:, None]), ("out.bias", np.array([plain.bias], np.float32))])
    add("Sigmoid")
    shape = numpy_helper.from_array(np.array([-1], np.int64), "filter.shape")
    nodes.append(helper.make_node("Reshape", [now, "filter.shape"], [PRESENT], name="filter.reshape"))
    return nodes, [*weights, shape]
