"""A Graph is a model as operators: what each one reads, writes and computes. Weights appear as bytes, never as values.

Everything is counted at batch 1 and at the sizes that the shapes were inferred for. One multiply-add is two FLOPs. What no
rule counts stays None and is listed by `unknown`; it is never taken as zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec import Struct

_ITEM = {"float64": 8, "int64": 8, "uint64": 8, "float16": 2, "bfloat16": 2, "int16": 2, "uint16": 2}
_ITEM |= {"int8": 1, "uint8": 1, "bool": 1, "complex64": 8, "complex128": 16}


class Tensor(Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor at batch 1; `free` lists the axes whose length follows the batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    free: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.count * _ITEM.get(self.dtype, 4)


class Operator(Struct, frozen=True, forbid_unknown_fields=True):
    """One node: `inputs` and `outputs` are tensors that depend on the graph's inputs, `weights` the names of those that do not.

    `read` and `written` are bytes of `inputs` and `outputs`. `shape_in` is the first input's shape, `shape_out` that of the
    first output, `filter` that of the first weight of two axes or more; `kernel`, `stride` and `group` are those of
    convolutions and pools, `axis` and `mode` those
    of what has one.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[str, ...] = ()
    flops: float | None = 0.0
    weight_bytes: int = 0
    read: int = 0
    written: int = 0
    shape_in: tuple[int, ...] = ()
    shape_out: tuple[int, ...] = ()
    filter: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    group: int = 1
    axis: int | None = None
    mode: str = ""
    domain: str = ""


class Graph(Struct, frozen=True, forbid_unknown_fields=True):
    """Operators in an order in which they can run, and every tensor between them by name."""

    name: str
    operators: tuple[Operator, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: dict[str, Tensor]
    constants: dict[str, int] = {}
    """Bytes of each weight, by name: one that several operators share is counted once."""

    @property
    def flops(self) -> float:
        """FLOPs of all operators that a rule counts; those of `unknown` come on top."""
        return sum(o.flops for o in self.operators if o.flops is not None)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Kinds of operators that no rule counts."""
        return tuple(sorted({o.kind for o in self.operators if o.flops is None}))

    @property
    def weight_bytes(self) -> int:
        return sum(self.constants[n] for n in {w for o in self.operators for w in o.weights})

    def bytes(self, names: Iterable[str]) -> int:
        return sum(self.tensors[n].bytes for n in names)

    def part(self, operators: Iterable[int], name: str = "") -> Graph:
        """The sub-graph of the operators with these indices: what it needs from outside are its inputs."""
        indices = set(operators)
        chosen = tuple(o for i, o in enumerate(self.operators) if i in indices)
        made = {t for o in chosen for t in o.outputs}
        elsewhere = {t for i, o in enumerate(self.operators) if i not in indices for t in o.inputs} | set(self.outputs)
        inputs = dict.fromkeys(t for o in chosen for t in o.inputs if t not in made)
        outputs = tuple(t for o in chosen for t in o.outputs if t in elsewhere)
        tensors = {t: self.tensors[t] for t in (*inputs, *(t for o in chosen for t in o.outputs))}
        constants = {w: self.constants[w] for o in chosen for w in o.weights}
        return Graph(name or self.name, chosen, tuple(inputs), outputs, tensors, constants)

    def peak(self) -> int:
        """Bytes of activations alive at once, at most, when the operators run in this order and none is in place."""
        last = {t: i for i, o in enumerate(self.operators) for t in o.inputs}
        last |= dict.fromkeys(self.outputs, len(self.operators))
        alive = self.bytes(self.inputs)
        most = alive
        for i, operator in enumerate(self.operators):
            alive += self.bytes(operator.outputs)
            most = max(most, alive)
            ended = {t for t in (*operator.inputs, *operator.outputs) if last.get(t, i) == i}
            alive -= self.bytes(ended)
        return most
