"""What a person wants to see of a model: totals, operators by kind, and where it could be cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from edgewise.core.graph import Graph, Tensor
from edgewise.graph.count import graph_of
from edgewise.graph.cut import Cut, cuts


class Kind(Struct, frozen=True, forbid_unknown_fields=True):
    """All operators of one kind; `flops` is None where no rule counts them."""

    kind: str
    count: int
    flops: float | None
    weight_bytes: int
    written: int


class Summary(Struct, frozen=True, forbid_unknown_fields=True):
    """A model at batch 1. `crossed_least` is the full cut with the fewest bytes, if there is any."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: int
    flops: float
    unknown: tuple[str, ...]
    weight_bytes: int
    peak_bytes: int
    kinds: tuple[Kind, ...]
    cuts: tuple[Cut, ...]
    crossed_least: Cut | None


def summary(model: Any, largest: int = 2, sizes: Mapping[str, int] | None = None) -> Summary:
    """Totals, kinds and the cuts of at most `largest` tensors of a loaded model."""
    graph = graph_of(model, sizes)
    found = cuts(graph, largest)
    return Summary(
        name=graph.name,
        inputs=tuple(graph.tensors[n] for n in graph.inputs),
        outputs=tuple(graph.tensors[n] for n in graph.outputs if n in graph.tensors),
        operators=len(graph.operators),
        flops=graph.flops,
        unknown=graph.unknown,
        weight_bytes=graph.weight_bytes,
        peak_bytes=graph.peak(),
        kinds=_kinds(graph),
        cuts=found,
        crossed_least=min((c for c in found if c.full), key=lambda c: (c.bytes, c.head_flops), default=None),
    )


def _kinds(graph: Graph) -> tuple[Kind, ...]:
    rows = []
    for kind in {o.kind for o in graph.operators}:
        chosen = [o for o in graph.operators if o.kind == kind]
        flops = [o.flops for o in chosen if o.flops is not None]
        rows.append(
            Kind(
                kind,
                len(chosen),
                sum(flops) if flops else None,
                sum(o.weight_bytes for o in chosen),
                sum(o.written for o in chosen),
            )
        )
    return tuple(sorted(rows, key=lambda k: (-(k.flops or 0.0), -k.written, k.kind)))
