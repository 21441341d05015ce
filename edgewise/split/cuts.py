"""Where a model may be cut for a device and an edge: single tensors that carry all that the tail needs.

A candidate is a full cut of one float tensor (`edgewise.graph.cut`). Left out, and counted, are cuts that another one behind them
makes pointless: it sends no more values and costs the head at most a hundredth of the model's work more, as a ReLU behind its
convolution does; and cuts behind which less than a hundredth of the work is left, for there is nothing to split. Candidates
stand in *stages*: neighbours whose tensors have as many positions (height × width, or tokens) are of one stage. The first stage
is the stem and what still has its resolution.

The channel axis is where a convolution has it, or the last one of tokens. It does not know what a cut costs in bytes: that is
measured.
"""

from __future__ import annotations

import math

from msgspec import Struct

from edgewise.core.errors import ModelError
from edgewise.core.graph import Graph
from edgewise.graph.cut import Cut, cuts

POINTLESS = 0.01  # of the model's FLOPs
# A head without any of these does nothing but prepare the picture.
_PRODUCTS = ["Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "MatMul", "MatMulInteger", "Gemm", "Attention"]
_WORK = frozenset([*_PRODUCTS, "LSTM", "GRU", "RNN"])
_FIRST = frozenset(
    [
        "Conv",
        "ConvTranspose",
        "BatchNormalization",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "Resize",
        "InstanceNormalization",
    ]
)
_LAST = frozenset(["MatMul", "Gemm", "LayerNormalization", "Attention"])


class Candidate(Struct, frozen=True, forbid_unknown_fields=True):
    """A cut at `tensor`, of `shape` without the batch and with channels along `axis`; `share` of the FLOPs are the head's."""

    tensor: str
    shape: tuple[int, ...]
    axis: int
    share: float
    stage: int
    cut: Cut

    @property
    def count(self) -> int:
        """Values of the tensor."""
        return math.prod(self.shape)

    @property
    def channels(self) -> int:
        return self.shape[self.axis]

    @property
    def raw(self) -> int:
        """Bytes in float16."""
        return 2 * self.count


def candidates(graph: Graph) -> tuple[Candidate, ...]:
    """The candidates of a model, in order of the work in front; ModelError, with the cuts of several tensors, where there is
    none.
    """
    total = graph.flops or 1.0
    found = [c for c in cuts(graph, 1) if _usable(graph, c) and c.tail_flops >= POINTLESS * total]
    kept = [c for i, c in enumerate(found) if not any(_pointless(graph, c, d, total) for d in found[i + 1 :])]
    if not kept:
        raise _none(graph)
    made: list[Candidate] = []
    stage, positions = 0, 0
    for cut in kept:
        tensor = graph.tensors[cut.tensors[0]]
        shape = tensor.shape[1:]
        axis = _axis(graph, tensor.name, shape)
        here = math.prod(shape) // shape[axis]
        stage += here != positions
        positions = here
        made.append(Candidate(tensor.name, shape, axis, cut.head_flops / total, stage, cut))
    return tuple(made)


def chosen(graph: Graph, at: str, known: tuple[Candidate, ...]) -> Candidate:
    """The candidate at a tensor that a person names; ModelError with the names that can be chosen."""
    for candidate in known:
        if candidate.tensor == at:
            return candidate
    for cut in cuts(graph, 1):
        if cut.tensors == (at,) and _usable(graph, cut):
            shape = graph.tensors[at].shape[1:]
            share = cut.head_flops / (graph.flops or 1.0)
            stage = next((c.stage for c in known if c.share >= share), known[-1].stage if known else 1)
            return Candidate(at, shape, _axis(graph, at, shape), share, stage, cut)
    raise ModelError("the model cannot be cut there", got=at, allowed=", ".join(c.tensor for c in known))


def _usable(graph: Graph, cut: Cut) -> bool:
    tensor = graph.tensors[cut.tensors[0]]
    real = tensor.dtype == "float32" and tensor.name not in graph.inputs
    works = any(graph.operators[i].kind in _WORK for i in cut.head)
    return cut.full and real and works and 2 <= len(tensor.shape) <= 5 and tensor.shape[0] == 1 and tensor.free in ((0,), ())


def _pointless(graph: Graph, cut: Cut, later: Cut, total: float) -> bool:
    """Whether `later` makes the cut before it pointless."""
    values, behind = (graph.tensors[c.tensors[0]].count for c in (cut, later))
    return behind <= values and later.head_flops - cut.head_flops <= POINTLESS * total


def _axis(graph: Graph, name: str, shape: tuple[int, ...]) -> int:
    """The axis of the channels, without the batch."""
    around = [o.kind for o in graph.operators if name in o.inputs or name in o.outputs]
    if len(shape) == 1 or any(kind in _FIRST for kind in around):
        return 0
    if len(shape) == 2 or any(kind in _LAST for kind in around):
        return len(shape) - 1
    return 0


def _none(graph: Graph) -> ModelError:
    wider = [c for c in cuts(graph, 4) if c.full and len(c.tensors) > 1]
    named = "; ".join(f"{c.name} ({c.head_flops / (graph.flops or 1):.0%} of the work in front)" for c in wider[:4])
    return ModelError(
        "the model has no cut at a single tensor",
        got=f"cuts of several tensors: {named}" if named else "no cut of up to 4 tensors either",
        allowed="one float32 tensor that separates the model, with every output behind it",
        hint="Take another output away, or cut with `edgewise graph cut MODEL --at A,B`.",
    )
