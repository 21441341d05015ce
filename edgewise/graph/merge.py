"""Merge models that take the same tensor into one: what they compute alike is computed once.

Tails that answer different tasks from one bitstream share much (a decoder, the first layers behind it) or nothing. Nobody needs
to say what: values are numbered (Cocke 1970), an initialiser by its bytes, a node by its operator, its attributes and the numbers
of its inputs, and equal numbers are one tensor. So a decoder that training left alone runs once for all tails, and one that a
tail tuned for itself runs for that tail. The outputs of the model called `boxes` become `boxes.…`, in the order in which models
came.

It does not know that two nodes are equal by algebra, only by what is written: models that one exporter wrote the same way. Nodes
with sub-graphs or drawn values are kept apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from msgspec import Struct
from onnx import helper, numpy_helper

from edgewise.core.errors import ModelError

DRAWN = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial", "Dropout")
DOT = "."


class Merged(Struct, frozen=True):
    """The `model` (onnx.ModelProto), how many nodes were saved, and for each model where its initialisers are now."""

    model: Any
    saved: int
    initialisers: dict[str, dict[str, str]]


class _Numbering:
    """Names of the merged graph by what they stand for."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []
        self._values: dict[tuple[Any, ...], list[str]] = {}
        self._known: dict[tuple[Any, ...], tuple[str, ...]] = {}
        self._taken: set[str] = set()
        self.saved = 0

    def take(self, name: str) -> None:
        self._taken.add(name)

    def initialisers_of(self, tensors: Sequence[Any], prefix: str) -> dict[str, str]:
        """Where the initialisers of one model are: with those of an earlier one where bytes and name are equal, or bytes alone.

        Two of one model stay two, however equal: a delta may change one of them alone.
        """
        found: dict[str, str] = {}
        keys = {tensor.name: _value(tensor) for tensor in tensors}
        for by_name in (True, False):
            for tensor in tensors:
                free = [n for n in self._values.get(keys[tensor.name], ()) if n not in found.values()]
                if tensor.name not in found and free and (tensor.name in free or not by_name):
                    found[tensor.name] = tensor.name if tensor.name in free else free[0]
        for tensor in tensors:
            if tensor.name not in found:
                kept = onnx.TensorProto()
                kept.CopyFrom(tensor)
                kept.name = found[tensor.name] = self._free(tensor.name, prefix)
                self.initialisers.append(kept)
                self._values.setdefault(keys[tensor.name], []).append(kept.name)
        return found

    def node(self, node: Any, names: Mapping[str, str], prefix: str) -> tuple[str, ...]:
        """The names of what `node` gives."""
        inside = tuple(names[n] if n else "" for n in node.input)
        attributes = tuple(sorted(a.SerializeToString(deterministic=True) for a in node.attribute))
        key = (node.domain, node.op_type, inside, attributes, tuple(bool(o) for o in node.output))
        if key in self._known and node.op_type not in DRAWN:
            self.saved += 1
            return self._known[key]
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        kept.name = ""
        outside = tuple(self._free(o, prefix) if o else "" for o in node.output)
        del kept.input[:], kept.output[:]
        kept.input.extend(inside)
        kept.output.extend(outside)
        self.nodes.append(kept)
        self._known[key] = outside
        return outside

    def _free(self, name: str, prefix: str) -> str:
        """`name`, or with the prefix of its model, or numbered, where another tensor has it."""
        found, count = name or f"{prefix}{DOT}value", 0
        while found in self._taken:
            found, count = f"{prefix}{DOT}{name}" + (f"_{count}" if count else ""), count + 1
        self._taken.add(found)
        return found


def merged(models: Mapping[str, Any]) -> Merged:
    """One model of `models` (by task; onnx.ModelProto as `load` gives them), which take one input of one name and shape.

    ModelError where they do not fit together.
    """
    if not models:
        raise ModelError("there is nothing to merge", got="no model", allowed="one or more")
    first = next(iter(models.values()))
    _alike(models)
    numbering, outputs, moved = _Numbering(), [], {}
    source = first.graph.input[0]
    wanted = {f"{task}{DOT}{o.name}" for task, model in models.items() for o in model.graph.output}
    for name in (source.name, *wanted):
        numbering.take(name)
    for task, model in models.items():
        moved[task] = numbering.initialisers_of(model.graph.initializer, task)
        names = {source.name: source.name} | moved[task]
        for node in model.graph.node:
            if any(a.HasField("g") or a.graphs for a in node.attribute):
                raise ModelError(
                    f"the model {task!r} cannot be merged",
                    got=f"a node {node.op_type} with a graph inside",
                    allowed="plain nodes",
                )
            names |= dict(zip(node.output, numbering.node(node, names, task), strict=True))
        for output in model.graph.output:
            known = onnx.ValueInfoProto()
            known.CopyFrom(output)
            known.name = f"{task}{DOT}{output.name}"
            outputs.append((names[output.name], known))
    graph = helper.make_graph(
        [*numbering.nodes, *(helper.make_node("Identity", [inner], [known.name]) for inner, known in outputs)],
        DOT.join(models),
        [source],
        [known for _, known in outputs],
        numbering.initialisers,
    )
    model = helper.make_model(
        graph,
        ir_version=max(m.ir_version for m in models.values()),
        opset_imports=_opsets(models),
        producer_name="edgewise",
    )
    onnx.checker.check_model(model, full_check=True)
    return Merged(model, numbering.saved, moved)


def same(one: Any, other: Any) -> bool:
    """Whether two models compute the same from the same, by what is written: names may differ, nothing else."""
    if len(one.graph.node) != len(other.graph.node) or len(one.graph.output) != len(other.graph.output):
        return False
    try:
        made = merged({"one": one, "other": other})
    except ModelError:
        return False
    ends = [node.input[0] for node in made.model.graph.node[-2 * len(one.graph.output) :]]
    return made.saved == len(other.graph.node) and ends[: len(ends) // 2] == ends[len(ends) // 2 :]


def _alike(models: Mapping[str, Any]) -> None:
    """ModelError where the models do not take the same one tensor."""
    taken = {}
    for task, model in models.items():
        held = {x.name for x in model.graph.initializer}
        inputs = [x for x in model.graph.input if x.name not in held]
        if len(inputs) != 1 or model.graph.sparse_initializer:
            raise ModelError(
                f"the model {task!r} cannot be merged",
                got=", ".join(x.name for x in inputs) or "no input",
                allowed="one input and plain initialisers",
            )
        taken[task] = inputs[0].name, _shape(inputs[0])
    if len(set(taken.values())) > 1:
        got = "; ".join(f"{task}: {name} {shape}" for task, (name, shape) in taken.items())
        raise ModelError("models with different inputs cannot be merged", got=got, allowed="one name, one type, one shape")


def _value(tensor: Any) -> tuple[Any, ...]:
    array = numpy_helper.to_array(tensor)
    return str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).digest()


def _shape(value: Any) -> tuple[Any, ...]:
    tensor = value.type.tensor_type
    return (tensor.elem_type, *(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim))


def _opsets(models: Mapping[str, Any]) -> list[Any]:
    found: dict[str, int] = {}
    for task, model in models.items():
        for one in model.opset_import:
            if found.setdefault(one.domain, one.version) != one.version:
                raise ModelError(
                    "models of different opsets cannot be merged",
                    got=f"{one.domain or 'ai.onnx'} {found[one.domain]}, and {one.version} in {task!r}",
                    allowed="one version of each",
                )
    return [helper.make_opsetid(domain, version) for domain, version in found.items()]
