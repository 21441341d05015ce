"""Load an ONNX model, or say in a sentence why it is none that can be used.

What comes back is a plain `onnx.ModelProto` whose nodes are in an order in which they can run, with local functions
inlined, weights inside, and nodes that no output needs taken out.

It does not judge whether onnxruntime has a kernel for every operator and dtype: only a session finds that out.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import checker, defs, external_data_helper, inliner, shape_inference
from onnxruntime.capi import onnxruntime_pybind11_state as native

from edgewise.core.errors import ModelError

LARGEST = 2**31 - 1
_STANDARD = ("", "ai.onnx")


def load(source: str | Path | bytes) -> Any:
    """The model of a file or of its bytes.

    >>> load("detector.onnx").graph.node[0].op_type  # doctest: +SKIP
    'Conv'
    """
    name = f"{len(source)} bytes" if isinstance(source, bytes) else str(source)
    model = _parse(_read(source, name), name)
    folder = None if isinstance(source, bytes) else Path(source).resolve().parent
    _fetch_weights(model, folder, name)
    _refuse_unknown(model, name)
    if model.functions:
        model = inliner.inline_local_functions(model)
    _order(model.graph, name)
    _prune(model.graph)
    _declare_outputs(model)
    try:
        checker.check_model(model)
    except checker.ValidationError as error:
        raise ModelError(f"{name} is not a valid ONNX model", got=_first_line(error)) from error
    return model


def used(node: Any) -> tuple[str, ...]:
    """The tensors that a node reads: its inputs, and what its sub-graphs (If, Loop, Scan) take from around them."""
    names = [n for n in node.input if n]
    for attribute in node.attribute:
        for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            inside = {x.name for x in (*body.input, *body.initializer)} | {o for n in body.node for o in n.output}
            names += [n for inner in body.node for n in used(inner) if n not in inside]
            names += [o.name for o in body.output if o.name not in inside]
    return tuple(dict.fromkeys(names))


def _read(source: str | Path | bytes, name: str) -> bytes:
    if isinstance(source, bytes):
        return source
    file = Path(source)
    if not file.is_file():
        raise ModelError("there is no such model file", got=name, allowed="the path of an ONNX file")
    if file.stat().st_size > LARGEST:
        raise ModelError(
            "a model file is too large",
            got=f"{file.stat().st_size} bytes",
            allowed=f"{LARGEST} bytes in one file",
            hint="Save it with its weights as external data.",
        )
    return file.read_bytes()


def _parse(data: bytes, name: str) -> Any:
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise ModelError(f"{name} is not an ONNX model", got=_first_line(error), allowed="an ONNX file") from error
    if not model.ir_version or not model.graph.node or not model.graph.output:
        raise ModelError(
            f"{name} is not an ONNX model",
            got=f"IR version {model.ir_version}, {len(model.graph.node)} nodes, {len(model.graph.output)} outputs",
            allowed="an ONNX file with at least a node and an output",
        )
    return model


def _fetch_weights(model: Any, folder: Path | None, name: str) -> None:
    """Bring external data inside; it must lie in the model's own folder."""
    outside = [t for t in _tensors(model) if external_data_helper.uses_external_data(t)]
    if not outside:
        return
    if folder is None:
        raise ModelError(
            "a model given as bytes keeps its weights in another file",
            got=", ".join(t.name for t in outside[:3]),
            hint="Load it from its path.",
        )
    for tensor in outside:
        location = external_data_helper.ExternalDataInfo(tensor).location
        file = (folder / location).resolve()
        if folder not in file.parents or not file.is_file():
            raise ModelError(
                f"weights of {name} are missing",
                got=f"tensor {tensor.name!r} in {location!r}",
                allowed="a file in the folder of the model",
                hint="Copy that file beside the model, or save the model with its weights inside.",
            )
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
        except (ValueError, OSError, checker.ValidationError) as error:
            raise ModelError(f"weights of {name} cannot be read", got=_first_line(error)) from error
        tensor.data_location = onnx.TensorProto.DEFAULT
        tensor.ClearField("external_data")


def _refuse_unknown(model: Any, name: str) -> None:
    versions = {"" if o.domain in _STANDARD else o.domain: o.version for o in model.opset_import}
    newest = defs.onnx_opset_version()
    if versions.get("", 0) > newest:
        raise ModelError(
            f"{name} is written for a newer ONNX",
            got=f"operator set {versions['']}",
            allowed=f"up to {newest}",
            hint="Export it for an older operator set, or update the package onnx.",
        )
    own = {(f.domain, f.name) for f in model.functions}
    unknown = {}
    for node in itertools.chain(_nodes(model.graph), *(f.node for f in model.functions)):
        domain = "" if node.domain in _STANDARD else node.domain
        if (domain, node.op_type) in own or (domain, node.op_type) in _contributed():
            continue
        if domain not in versions or not defs.has(node.op_type, versions[domain], domain):
            unknown[f"{domain}:{node.op_type}" if domain else node.op_type] = node.name
    if unknown:
        raise ModelError(
            f"{name} uses operators that are not known",
            got=", ".join(f"{kind} (node {node!r})" if node else kind for kind, node in sorted(unknown.items())[:5]),
            allowed="the operators of ONNX and onnxruntime",
            hint="Export the model with standard operators, or replace those.",
        )


@functools.cache
def _contributed() -> frozenset[tuple[str, str]]:
    """Operators that onnxruntime adds to the standard, as (domain, kind)."""
    return frozenset((s.domain, s.name) for s in native.get_all_operator_schema() if s.domain not in _STANDARD)


def _order(graph: Any, name: str) -> None:
    """Put the nodes in an order in which they can run; stable where they already are."""
    known = {x.name for x in (*graph.input, *graph.initializer)} | {x.values.name for x in graph.sparse_initializer}
    waiting, ordered = list(graph.node), []
    while waiting:
        later = []
        for node in waiting:
            if all(n in known for n in used(node)):
                known.update(node.output)
                ordered.append(node)
            else:
                later.append(node)
        if len(later) == len(waiting):
            missing = next(n for n in used(later[0]) if n not in known)
            raise ModelError(
                f"{name} is not a graph that can run",
                got=f"node {later[0].name or later[0].op_type!r} reads {missing!r}, which nothing writes before it",
                allowed="nodes without a loop, each reading what an input, a weight or another node gives",
            )
        waiting = later
    if ordered != list(graph.node):
        del graph.node[:]
        graph.node.extend(ordered)


def _prune(graph: Any) -> None:
    """Take out the nodes that no output needs."""
    needed, kept = {o.name for o in graph.output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(used(node))
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(reversed(kept))


def _declare_outputs(model: Any) -> None:
    """Give outputs the shapes that inference finds where the model leaves them out, which ONNX's checker wants."""
    bare = [o for o in model.graph.output if not o.type.tensor_type.HasField("shape")]
    if not bare:
        return
    found = {o.name: o for o in shape_inference.infer_shapes(model).graph.output}
    for output in bare:
        output.CopyFrom(found[output.name])
        output.type.tensor_type.shape.SetInParent()


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _nodes(body)


def _tensors(model: Any) -> Iterator[Any]:
    yield from model.graph.initializer
    for node in _nodes(model.graph):
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
