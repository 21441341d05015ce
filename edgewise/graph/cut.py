"""Cut a model in two: head and tail ONNX models whose composition is the whole.

A cut is a set of tensors (most often one; several where a skip connection crosses) that separates the graph, see
`separators`. The head gives these tensors and those outputs that lie in front of the cut (`early`); the tail takes them and
gives the other outputs. Names of tensors stay as they are, weights go to the side that uses them, free axes stay free.

`check` runs whole and parts: bit for bit with graph optimisation off (the same kernels in the same order); with it on the
optimiser fuses differently on the two sides of a cut, and differences are held against each output's largest magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from msgspec import Struct
from numpy.typing import NDArray
from onnx import helper

from edgewise.core.errors import ModelError
from edgewise.core.graph import Graph, Tensor
from edgewise.graph.count import graph_of
from edgewise.graph.load import used
from edgewise.graph.reference import evaluate
from edgewise.graph.separators import Reach, bits, separators
from edgewise.graph.shapes import concrete, data_inputs


class Cut(Struct, frozen=True, forbid_unknown_fields=True):
    """`tensors` cross with `bytes` (batch 1); `early` outputs are ready in front of it. `head` and `tail` index operators.

    `full` says that every output lies behind the cut, as a split between device and edge usually wants.
    """

    tensors: tuple[str, ...]
    bytes: int
    head: tuple[int, ...]
    tail: tuple[int, ...]
    head_flops: float
    tail_flops: float
    early: tuple[str, ...] = ()
    early_bytes: int = 0

    @property
    def name(self) -> str:
        return " + ".join(self.tensors)

    @property
    def full(self) -> bool:
        return not self.early


class Check(Struct, frozen=True, forbid_unknown_fields=True):
    """Head and tail against the whole: equal bits with optimisation off, and the largest differences with it on."""

    bit_equal: bool
    max_abs: float
    max_rel: float
    tensors: tuple[str, ...]
    bytes: int
    outputs: int
    seed: int


def cuts(graph: Graph, largest: int = 4) -> tuple[Cut, ...]:
    """All cuts of at most `largest` tensors that `separators` promises, in the order of the work that lies in front."""
    reach = Reach(graph)
    found = [_cut(reach, s, behind) for s, behind in separators(graph, largest).items()]
    return tuple(sorted(found, key=lambda c: (c.head_flops, len(c.head), len(c.tensors), c.bytes)))


def cut_at(graph: Graph, at: str | Sequence[str]) -> Cut:
    """The cut at one tensor, or at several (a sequence, or one text with commas); ModelError where it does not separate."""
    names = _names(graph, at)
    reach = Reach(graph)
    unknown = [n for n in names if n not in graph.tensors]
    if unknown:
        raise ModelError(
            "the model has no such tensor",
            got=", ".join(unknown),
            allowed=_few([t for o in graph.operators for t in o.outputs if t not in graph.outputs]),
            hint="`edgewise graph show MODEL` lists the cuts.",
        )
    wanted = frozenset(names)
    behind = reach.behind(wanted)
    if not behind or reach.crossing(behind) != wanted:
        needed = reach.crossing(behind or reach.all & ~reach.front(wanted))
        raise ModelError(
            "the graph cannot be cut there",
            got=" + ".join(names),
            allowed=" + ".join(t for t in graph.tensors if t in needed) or "a tensor with operators behind it",
            hint="These are the tensors that the part behind really reads." if needed else None,
        )
    if not any(n in reach.maker for n in names):
        raise ModelError("nothing lies in front of that cut", got=" + ".join(names), allowed="tensors that an operator writes")
    return _cut(reach, wanted, behind)


def split(model: Any, at: str | Sequence[str] | Cut, graph: Graph | None = None) -> tuple[Any, Any]:
    """Head and tail of a loaded model, as `onnx.ModelProto`.

    >>> head, tail = split(load("resnet.onnx"), "layer2_out")  # doctest: +SKIP
    """
    graph = graph or graph_of(model)
    cut = at if isinstance(at, Cut) else cut_at(graph, at)
    sent = [t for t in cut.tensors if t not in graph.inputs]
    later = [o for o in graph.outputs if o not in cut.early]
    head = _part(model, graph, "head", [x.name for x in data_inputs(model)], [*sent, *(o for o in cut.early if o not in sent)])
    tail = _part(model, graph, "tail", list(cut.tensors), later)
    return head, tail


def check(model: Any, at: str | Sequence[str], seed: int = 0, sizes: Mapping[str, int] | None = None) -> Check:
    """Run the whole and the two parts on inputs drawn from `seed` and compare every output."""
    graph = graph_of(model, sizes)
    cut = cut_at(graph, at)
    head, tail = split(model, cut, graph)
    feeds = random_feeds(concrete(model, sizes or {}, 1), seed)
    equal, most_abs, most_rel = True, 0.0, 0.0
    for optimise in (False, True):
        whole = evaluate(model, feeds, optimise)
        front = evaluate(head, feeds, optimise)
        joined = {**front, **evaluate(tail, {**feeds, **front}, optimise)}
        for name, want in whole.items():
            got = joined[name]
            if not optimise:
                equal = equal and want.tobytes() == got.tobytes() and want.shape == got.shape
                continue
            difference, scale = _difference(want, got)
            most_abs, most_rel = max(most_abs, difference), max(most_rel, difference / scale if difference else 0.0)
    return Check(equal, most_abs, most_rel, cut.tensors, cut.bytes, len(graph.outputs), seed)


def random_feeds(model: Any, seed: int) -> dict[str, NDArray[Any]]:
    """Inputs for a model whose dimensions are numbers: reals from N(0, 1), bytes over their whole range, small integers."""
    rng = np.random.default_rng(seed)
    feeds: dict[str, NDArray[Any]] = {}
    for value in data_inputs(model):
        tensor = value.type.tensor_type
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        shape = [d.dim_value for d in tensor.shape.dim]
        if dtype.kind == "f":
            feeds[value.name] = rng.standard_normal(shape).astype(dtype)
        else:
            feeds[value.name] = rng.integers(0, 256 if dtype == np.uint8 else 2, shape).astype(dtype)
    return feeds


def _cut(reach: Reach, tensors: frozenset[str], behind: int) -> Cut:
    graph = reach.graph
    ordered = tuple(t for t in graph.tensors if t in tensors)
    early = tuple(o for o in graph.outputs if o not in reach.maker or not behind >> reach.maker[o] & 1)
    front = reach.front((*tensors, *early))
    return Cut(
        tensors=ordered,
        bytes=graph.bytes(ordered),
        head=tuple(bits(front)),
        tail=tuple(bits(behind)),
        head_flops=sum(graph.operators[i].flops or 0.0 for i in bits(front)),
        tail_flops=sum(graph.operators[i].flops or 0.0 for i in bits(behind)),
        early=early,
        early_bytes=graph.bytes(early),
    )


def _names(graph: Graph, at: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(at, str):
        at = [at] if at in graph.tensors else [n.strip() for n in at.replace(" + ", ",").split(",")]
    return tuple(dict.fromkeys(at))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _part(model: Any, graph: Graph, name: str, inputs: list[str], outputs: list[str]) -> Any:
    """The sub-model from these tensors to those, with the nodes and weights that it needs and no others."""
    needed, nodes = set(outputs), []
    for node in reversed(model.graph.node):
        if any(o in needed and o not in inputs for o in node.output):
            nodes.append(node)
            needed.update(used(node))
    nodes.reverse()
    taken = [n for n in inputs if n in needed]
    known = {x.name: x for x in (*model.graph.input, *model.graph.output)}
    body = helper.make_graph(
        nodes,
        f"{graph.name}_{name}",
        [known.get(n) or _value(graph.tensors[n]) for n in taken],
        [known.get(n) or _value(graph.tensors[n]) for n in outputs],
        [x for x in model.graph.initializer if x.name in needed],
        sparse_initializer=[x for x in model.graph.sparse_initializer if x.values.name in needed],
    )
    part = helper.make_model(body, ir_version=model.ir_version, opset_imports=model.opset_import, producer_name="edgewise")
    if body.ByteSize() < onnx.checker.MAXIMUM_PROTOBUF:
        onnx.checker.check_model(part)
    return part


def _value(tensor: Tensor) -> Any:
    """The declaration of a tensor; the axes that follow the batch stay free: the first is called batch."""
    shape = [(("batch" if a == 0 else f"{tensor.name}_{a}") if a in tensor.free else d) for a, d in enumerate(tensor.shape)]
    return helper.make_tensor_value_info(tensor.name, helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), shape)


def _difference(want: NDArray[Any], got: NDArray[Any]) -> tuple[float, float]:
    """The largest absolute difference of two outputs, and the magnitude that it is held against."""
    if want.shape != got.shape:
        return float("inf"), 1.0
    if not want.size:
        return 0.0, 1.0
    a, b = want.astype(np.float64), got.astype(np.float64)
    return float(np.abs(a - b).max()), float(np.abs(a).max()) or 1.0
