"""A person's ONNX model as a torch network: for when the file is all that is left, and a student is to learn from it.

`network("model.onnx")` gives a module that computes what the file does, with a free batch, gradients through everything, and
submodules at dotted paths (see `onnx_paths`), so that `edgewise.training.paths` can replace one and listen to others. Weights
are parameters of the modules that use them, statistics and other constants are buffers; what depends on constants alone is
computed once.

The meaning of the operators is in `onnx_layers`, `onnx_resize`, `onnx_values` and `onnx_shapes`. A model with others, with
branches or loops, with more than one input, or with a graph that holds on to its batch is refused in a sentence. Batch
normalisation keeps the statistics of the file: a network made here is taught from, not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from msgspec import Struct
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from edgewise.core.errors import ConfigError, ModelError
from edgewise.graph.load import load
from edgewise.graph.picture import freed
from edgewise.graph.shapes import data_inputs
from edgewise.training.onnx_layers import LAYERS, Kernel, Node, Value
from edgewise.training.onnx_paths import STRETCH, Group, Tree, Wiring, tree
from edgewise.training.onnx_resize import resize
from edgewise.training.onnx_shapes import SHAPES
from edgewise.training.onnx_values import SIMPLE, unknown
from edgewise.training.paths import nearest

KNOWN = {**LAYERS, **SIMPLE, **SHAPES, "Resize": resize, "Upsample": resize}
LEARNED = ("Conv", "ConvTranspose", "MatMul", "Gemm", "PRelu")
NORMS = ("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization")
ROLES = {"BatchNormalization": ("", "weight", "bias", "running_mean", "running_var")}
Constants = Mapping[str, NDArray[Any]]


class Step(Struct, frozen=True):
    """One call: the module at `path` (from the one that calls), tensors in and out, and those that nobody needs afterwards."""

    path: str
    sources: tuple[str, ...]
    results: tuple[str, ...]
    done: tuple[str, ...]


class Operator(nn.Module):
    """One node. Constants of floating point are parameters or buffers; short rows of integers are numbers of its kernel."""

    def __init__(self, node: Node, kernel: Kernel) -> None:
        super().__init__()
        self.kind, self._kernel = node.kind, kernel
        self.epsilon = float(node.get("epsilon", 1e-5))  # of a normalisation, which adaptation does otherwise
        self.initialisers: dict[str, str] = {}  # what our parameters and buffers are called in the file
        self._plan: list[tuple[str, Any]] = []  # of each input: data, the name of a tensor of ours, or numbers
        for place, value in enumerate(node.constants):
            if value is None:
                self._plan.append(("absent" if place in node.absent else "data", None))
            elif value.dtype.kind in "iub" and value.ndim <= 1:
                self._plan.append(("numbers", value.tolist()))
            else:
                self._plan.append((self._own(node, place, value), value.tolist() if value.size == 1 else None))
                if place < len(node.inputs):
                    self.initialisers[self._plan[-1][0]] = node.inputs[place]

    def _own(self, node: Node, place: int, value: NDArray[Any]) -> str:
        roles = ROLES.get(node.kind, ("", "weight", "bias"))
        name = roles[place] if place < len(roles) and roles[place] else f"constant{place}"
        held = torch.from_numpy(np.array(value))
        if held.is_floating_point() and node.kind in (*LEARNED, *NORMS) and not name.startswith("running"):
            self.register_parameter(name, nn.Parameter(held))
        else:
            self.register_buffer(name, held)
        return name

    def forward(self, *given: Value) -> Value:
        rest = iter(given)
        tensors = any(isinstance(x, Tensor) for x in given)
        values: list[Value] = []
        for name, numbers in self._plan:
            if name == "data":
                values.append(next(rest))
            elif name == "absent":
                values.append(None)
            elif name == "numbers" or (given and not tensors and numbers is not None):
                values.append(numbers)
            else:
                values.append(getattr(self, name))
        return self._kernel(values)

    def extra_repr(self) -> str:
        return self.kind


class Place(nn.Module):
    """A part of a path at which other modules stand; it cannot be called itself."""

    def forward(self, *given: Value) -> Value:
        raise ModelError("this module is only a place in a path", allowed="modules with one tensor in and one out")


class Section(nn.Module):
    """Several nodes as one module: it takes tensors by the names `sources` and gives those of `results`."""

    def __init__(self, sources: Sequence[str], results: Sequence[str]) -> None:
        super().__init__()
        self._sources, self._results = tuple(sources), tuple(results)
        self._steps: tuple[Step, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the tensors that it takes."""
        return self._sources

    @property
    def results(self) -> tuple[str, ...]:
        """The names of those that it gives."""
        return self._results

    def follow(self, steps: Sequence[Step]) -> None:
        """From now on these are its calls."""
        self._steps = tuple(steps)

    def forward(self, *given: Tensor) -> Any:
        values: dict[str, Value] = dict(zip(self._sources, given, strict=True))
        for step in self._steps:
            said = self.get_submodule(step.path)(*(values[n] for n in step.sources))
            values.update(zip(step.results, said if isinstance(said, tuple) else (said,)))
            for name in step.done:
                del values[name]
        if len(self._results) == 1:
            return values[self._results[0]]
        return {name: values[name] for name in self._results}


def network(source: str | Path | bytes, cut: str = "") -> Section:
    """The model of an ONNX file, in evaluation mode and frozen; one input, and a tensor or a dictionary of tensors as output.

    `cut` may be a stretch `FIRST~LAST` between two tensors, which then is a module; where it is a path, it must be there.
    """
    model, free = freed(load(source))
    name = f"{len(source)} bytes" if isinstance(source, bytes) else Path(source).name
    inputs = [x.name for x in data_inputs(model)]
    if len(inputs) != 1:
        raise ModelError(f"{name} takes more than a picture", got=", ".join(inputs) or "no input", allowed="one input")
    if not free:
        raise ModelError(
            f"{name} holds on to its batch",
            got="a graph that gives something else for two pictures than for each of them",
            allowed="a model whose first axis can be free",
            hint="Export it with a dynamic batch axis.",
        )
    kinds = [
        n.op_type
        for n in model.graph.node
        if (n.op_type not in KNOWN and n.op_type != "Constant") or n.domain not in ("", "ai.onnx")
    ]
    if kinds:
        raise unknown(kinds, tuple(KNOWN))
    version = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    nodes, constants = folded(model, version)
    outputs = [o.name for o in model.graph.output]
    fixed = [o for o in outputs if o in constants]
    if fixed:
        raise ModelError(f"{name} has an output that no picture changes", got=", ".join(fixed))
    wiring = Wiring(nodes, outputs, constants)
    paths = tree(wiring, cut)
    whole = built(wiring, paths, constants, version, inputs[0])
    if cut and cut not in (called := [".".join(g.path) for g in paths.groups]) and cut not in dict(whole.named_modules()):
        raise ModelError(
            "the model has no such module",
            got=repr(cut),
            allowed=", ".join(nearest(cut, called or [".".join(p) for p in paths.leaves])),
            hint=f"These are the nearest of {len(called)} modules with one tensor in and one out; FIRST{STRETCH}LAST is the "
            "stretch between two tensors.",
        )
    return whole.eval().requires_grad_(False)


def size(source: str | Path, wanted: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """Height and width of the pictures that a file's model takes; None where it leaves them free, or takes none.

    ConfigError where another size is `wanted`.
    """
    (value, *_) = data_inputs(load(source)) or (None,)
    dims = [d.dim_value for d in value.type.tensor_type.shape.dim] if value is not None else []
    if len(dims) != 4 or not dims[2] or not dims[3]:
        return None
    own = (int(dims[2]), int(dims[3]))
    if wanted and wanted != own:
        raise ConfigError(
            "the model takes pictures of another size", got=f"{wanted[1]} × {wanted[0]}", allowed=f"{own[1]} × {own[0]}"
        )
    return own


def built(wiring: Wiring, paths: Tree, constants: Constants, version: int, source: str) -> Section:
    """The modules in their places, and the calls of each section."""
    whole = Section([source], wiring.outputs)
    everything = Group((), frozenset(range(len(wiring.nodes))), source, "")
    sections = {g.path: Section([g.source], [g.result]) for g in paths.groups}
    order = sorted(paths.groups, key=lambda g: wiring.maker[g.result])
    for i, path in enumerate(paths.leaves):  # in the order of the graph, so that siblings are too
        for n in range(1, len(path)):
            _put(whole, path[:n], sections.get(path[:n]) or Place(), keep=True)
        _put(whole, path, operator_of(_node(wiring.nodes[i], constants, version)))
    for group in order:
        for n in range(1, len(group.path) + 1):
            _put(whole, group.path[:n], sections.get(group.path[:n]) or Place(), keep=True)
    for group in (everything, *paths.groups):
        section = whole if group is everything else sections[group.path]
        section.follow(_steps(wiring, paths, group, wiring.outputs if section is whole else (group.result,)))
    return whole


def _steps(wiring: Wiring, paths: Tree, group: Group, results: Sequence[str]) -> tuple[Step, ...]:
    inner = [g for g in paths.groups if g.nodes < group.nodes or not group.path]
    outermost = [g for g in inner if not any(g.nodes < other.nodes for other in inner)]
    hidden = frozenset(i for g in outermost for i in g.nodes)
    calls: list[tuple[int, tuple[str, ...], tuple[str, ...], tuple[str, ...]]]
    calls = [(wiring.maker[g.result], g.path, (g.source,), (g.result,)) for g in outermost]
    calls += [(i, paths.leaves[i], wiring.reads[i], tuple(wiring.nodes[i].output)) for i in group.nodes - hidden]
    calls.sort(key=lambda c: c[0])
    last = {name: k for k, call in enumerate(calls) for name in (*call[3], *call[2])}
    depth = len(group.path)
    steps = []
    for k, (_, path, sources, given) in enumerate(calls):
        done = tuple(n for n in dict.fromkeys((*sources, *given)) if last[n] == k and n not in results)
        steps.append(Step(".".join(path[depth:]) if path[:depth] == group.path else "", sources, given, done))
    return tuple(steps)


def operator_of(node: Node) -> Operator:
    return Operator(node, KNOWN[node.kind](node))


def folded(model: Any, version: int) -> tuple[list[Any], dict[str, NDArray[Any]]]:
    """The nodes that depend on the input, and the values of everything else."""
    constants = {x.name: numpy_helper.to_array(x) for x in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            (attribute,) = node.attribute
            value = onnx.helper.get_attribute_value(attribute)
            constants[node.output[0]] = numpy_helper.to_array(value) if attribute.name == "value" else np.asarray(value)
        elif node.input and all(not n or n in constants for n in node.input):
            said = operator_of(_node(node, constants, version))()
            for name, value in zip(node.output, said if isinstance(said, tuple) else (said,)):
                constants[name] = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
        else:
            kept.append(node)
    return kept, constants


def _node(node: Any, constants: Constants, version: int) -> Node:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    read = {
        k: v.decode() if isinstance(v, bytes) else numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v
        for k, v in attributes.items()
    }
    values = tuple(constants.get(n) if n else None for n in node.input)
    absent = tuple(i for i, n in enumerate(node.input) if not n)
    return Node(node.op_type, node.name or node.output[0], read, values, version, len(node.output), absent, tuple(node.input))


def _put(whole: nn.Module, path: tuple[str, ...], new: nn.Module, keep: bool = False) -> None:
    """`new` at `path`; where something stands and may be kept, nothing happens."""
    parent = whole
    for part in path[:-1]:
        parent = parent._modules[part]  # type: ignore[assignment]
    if path[-1] in parent._modules and keep:
        return
    parent.add_module(path[-1], new)
