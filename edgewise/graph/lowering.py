"""Lowering: which kernels onnxruntime runs for a graph on a CPU, by rule and without running it.

Its optimiser folds batch norms into convolutions, fuses activations, sums, SiLU and GELU, and keeps pictures in a blocked
layout (NCHWc: channels in blocks as wide as the vector unit) with reorderings where a kernel wants the plain one. What an
operator costs depends on all of this, so that costs are those of kernels and not of ONNX nodes. The rules were read off the
optimised graphs that onnxruntime 1.32 writes with all optimisations on; a test holds them against those.

Not here, and charged as if they ran one by one: fused attention and skip-layer-norm, transposes that are moved until they
vanish, slices that are one space-to-depth, anything of quantised models.
"""

from __future__ import annotations

import math

import msgspec

from edgewise.core.graph import Graph, Operator
from edgewise.graph import kernels as k
from edgewise.graph.kernels import Kernel

_FUSED = frozenset(("Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "HardSwish"))
_KEEPS_BLOCKS = frozenset(("Relu", "Sigmoid", "Tanh", "BatchNormalization", "Resize", "Upsample"))
_VIEWS = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Shape"))
_POOLS = frozenset(("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"))


def lower(graph: Graph, block: int) -> tuple[Kernel, ...]:
    """The kernels of a graph on a CPU whose blocks hold `block` channels (16 with AVX-512, 8 with AVX2, 1 without blocks)."""
    return tuple(_Lowering(graph, block).run())


class _Lowering:
    """One walk over a graph: which operators went into others, and which tensors stand in blocks, plain, or both."""

    def __init__(self, graph: Graph, block: int) -> None:
        self.graph, self.block = graph, block
        self.users: dict[str, list[int]] = {}
        for i, o in enumerate(graph.operators):
            for t in o.inputs:
                self.users.setdefault(t, []).append(i)
        self.made = {t for o in graph.operators for t in o.outputs}
        self.outputs = set(graph.outputs)
        self.plain: set[str] = set(graph.inputs)
        self.blocked: set[str] = set()
        self.taken: set[int] = set()
        self.open: dict[str, int] = {}  # tensor of a convolution that could still add another to it → its place in `done`
        self.done: list[Kernel] = []

    def run(self) -> list[Kernel]:
        for i, operator in enumerate(self.graph.operators):
            if i not in self.taken:
                self.lower(operator)
        for t in self.graph.outputs:
            self.want(t, blocked=False)
        return self.done

    def lower(self, o: Operator) -> None:
        if o.kind == "Conv" and o.filter:
            self.convolution(o)
        elif o.kind == "ConvTranspose" and o.filter:
            self.plainly(o, k.transposed(o))
        elif o.kind in ("Gemm", "MatMul"):
            self.product(o)
        elif o.kind in _POOLS and len(o.shape_in) == 4:
            self.pool(o)
        elif o.kind in ("Add", "Mul", "Sum") and len(o.inputs) == 2 and self.blocked_alike(o.inputs):
            self.join(o)
        elif self.silu(o) or self.gelu(o):
            pass
        elif o.kind in _VIEWS:
            self.plainly(o, Kernel("view", 0, 0, 0))
        else:
            self.other(o)

    def only_user(self, tensor: str) -> int | None:
        """The one operator that reads `tensor`; None where there are others, or where the tensor is an output."""
        users = self.users.get(tensor, [])
        return users[0] if len(users) == 1 and tensor not in self.outputs and users[0] not in self.taken else None

    def want(self, tensor: str, blocked: bool) -> None:
        """Have `tensor` in this layout, by a reordering where it stands only in the other one."""
        here, there = (self.blocked, self.plain) if blocked else (self.plain, self.blocked)
        if tensor in there and tensor not in here:
            self.done.append(k.reorder(self.graph.tensors[tensor].bytes, into_blocks=blocked))
            here.add(tensor)

    def emit(self, kernel: Kernel, output: str, blocked: bool) -> None:
        self.done.append(kernel)
        (self.blocked if blocked else self.plain).add(output)

    def plainly(self, o: Operator, kernel: Kernel, output: str = "") -> None:
        """A kernel that reads and writes the plain layout."""
        for t in o.inputs:
            self.want(t, blocked=False)
        self.emit(kernel, output or o.outputs[0], blocked=False)

    def convolution(self, o: Operator) -> None:
        kind, blocks = _convolution_kind(o, self.block)
        self.want(o.inputs[0], blocks and kind != "stem")
        output, activation = self.follow(o.outputs[0])
        self.emit(k.convolution(o, kind if blocks else f"{kind} plain", self.block if blocks else 1), output, blocks)
        if not activation:
            self.open[output] = len(self.done) - 1
        elif activation in k.INSIDE:
            self.done.append(Kernel(k.INSIDE[activation], o.written / 4, 0, o.written))

    def follow(self, tensor: str) -> tuple[str, str]:
        """Take in what is folded behind a convolution (batch norm, scale, shift, activation); the tensor then written."""
        while (i := self.only_user(tensor)) is not None:
            o = self.graph.operators[i]
            folds = o.kind == "BatchNormalization" or (o.kind in ("Mul", "Add") and len(o.inputs) == 1 and o.weights)
            if not folds and o.kind not in _FUSED:
                return tensor, ""
            self.taken.add(i)
            tensor = o.outputs[0]
            if o.kind in _FUSED:
                return tensor, o.kind
        return tensor, ""

    def pool(self, o: Operator) -> None:
        blocked = self.block > 1 and o.shape_in[1] % self.block == 0 and len(o.outputs) == 1
        if o.kind.startswith("Global") and o.inputs[0] in self.made and o.inputs[0] not in self.blocked:
            blocked = False
        self.want(o.inputs[0], blocked)
        self.emit(k.pool(o, blocked), o.outputs[0], blocked)

    def blocked_alike(self, inputs: tuple[str, ...]) -> bool:
        a, b = inputs
        return a in self.blocked and b in self.blocked and self.graph.tensors[a].shape == self.graph.tensors[b].shape

    def join(self, o: Operator) -> None:
        """A sum of two tensors in blocks: inside the convolution that writes one of them, if that is its only use."""
        for t in reversed(o.inputs):
            place = self.open.get(t)
            if o.kind == "Mul" or place is None or len(self.users[t]) > 1 or t in self.outputs:
                continue
            output, i = o.outputs[0], self.only_user(o.outputs[0])
            if i is not None and self.graph.operators[i].kind == "Relu":
                self.taken.add(i)
                output = self.graph.operators[i].outputs[0]
            kernel = self.done[place]
            self.done[place] = msgspec.structs.replace(kernel, read=kernel.read + self.graph.tensors[t].bytes)
            self.blocked.add(output)
            return
        self.emit(k.elementwise("binary", o), o.outputs[0], blocked=True)

    def silu(self, o: Operator) -> bool:
        """x · sigmoid(x) is one kernel, in either layout."""
        if o.kind != "Sigmoid" or (i := self.only_user(o.outputs[0])) is None:
            return False
        after = self.graph.operators[i]
        if after.kind != "Mul" or set(after.inputs) != {o.inputs[0], o.outputs[0]}:
            return False
        self.taken.add(i)
        self.emit(k.elementwise("silu", o), after.outputs[0], o.inputs[0] in self.blocked)
        return True

    def gelu(self, o: Operator) -> bool:
        """x · (1 + erf(x / √2)) / 2, five operators, is one kernel."""
        if o.kind not in ("Div", "Mul") or len(o.inputs) != 1:
            return False
        chain, tensor = [], o.outputs[0]
        for kind in ("Erf", "Add", "Mul", "Mul"):
            i = self.only_user(tensor)
            if i is None or self.graph.operators[i].kind != kind:
                return False
            chain.append(i)
            tensor = self.graph.operators[i].outputs[0]
        self.taken.update(chain)
        self.plainly(o, k.elementwise("gelu", o), tensor)
        return True

    def product(self, o: Operator) -> None:
        output, i = o.outputs[0], self.only_user(o.outputs[0])
        if i is not None:
            after = self.graph.operators[i]
            scaled = o.kind == "MatMul" and after.kind == "Mul" and len(after.inputs) == 1 and after.weight_bytes <= 8
            shifted = o.kind == "MatMul" and after.kind == "Add" and len(after.inputs) == 1 and len(o.shape_out) == 2
            if scaled or shifted or (o.kind == "Gemm" and after.kind in _FUSED):
                self.taken.add(i)
                output = after.outputs[0]
        self.plainly(o, k.product(o), output)

    def other(self, o: Operator) -> None:
        keeps = all(t in self.blocked for t in o.inputs) and self.keeps_blocks(o)
        if not keeps:
            self.plainly(o, k.other(o))
            self.plain.update(o.outputs)
        elif o.kind == "BatchNormalization":
            self.emit(k.scaling(o), self.follow(o.outputs[0])[0], blocked=True)
        else:
            self.emit(k.other(o), o.outputs[0], blocked=True)

    def keeps_blocks(self, o: Operator) -> bool:
        if o.kind == "Concat":
            return len(o.shape_out) == 4 and all(self.graph.tensors[t].shape[1] % self.block == 0 for t in o.inputs)
        return o.kind in _KEEPS_BLOCKS


def _convolution_kind(o: Operator, block: int) -> tuple[str, bool]:
    """The kind of a convolution, and whether it runs in blocks; a stem reads the plain layout and writes blocks."""
    channels_in, channels_out = o.shape_in[1], o.shape_out[1]
    blocks = block > 1 and len(o.shape_in) == 4
    if o.group > 1 and o.filter[1] == 1 and channels_out == o.group:
        return "depthwise", blocks and channels_in % 4 == 0 and channels_in >= block
    if o.group > 1:
        return "grouped", blocks and o.filter[1] % block == 0 and channels_out // o.group % block == 0
    if channels_in < max(block, 4):
        return "stem", blocks
    return "pointwise" if math.prod(o.kernel) == 1 else "conv", blocks and channels_in % 4 == 0
