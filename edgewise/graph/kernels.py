"""A Kernel: one call that onnxruntime really makes on a CPU, with the numbers that its time depends on.

`lowering` says which kernels a graph becomes; here stands what each one is: its kind, its work and its bytes, and the
`features` over which a profile holds weights (seconds = Σ weight × feature, every weight ≥ 0). The features follow from how
such kernels are written. A convolution in blocks multiplies `work` times, loads a value of its window once for each four
blocks of output channels (`passes`), takes a slow path where the window leaves the picture (`edge`), and streams weights
and pictures.

What it does not know: caches (a weight per byte is one number, near and far), threads, quantised kernels, other processors
than CPUs.
"""

from __future__ import annotations

import math

from msgspec import Struct

from edgewise.core.graph import Operator

# Channels that a convolution kernel computes at once, in blocks.
_BLOCKS_AT_ONCE = 4


def _each(kind: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), kind)


# Kinds of ONNX operators that become a kernel of their own. Element-wise ones are grouped by how dear a value is, in steps of
# about four; within a group times differ by up to two.
SIMPLE = (
    _each("unary", "Relu Clip Abs Neg HardSigmoid Exp Not Sign ThresholdedRelu Cast")
    | _each("curved", "Sigmoid Tanh Sqrt Erf Pow LeakyRelu HardSwish Softsign Reciprocal Ceil Floor Round Where PRelu Mod Gelu")
    | _each("dear", "Log Elu Selu Celu Sin Cos LogSoftmax")
    | _each("dearest", "Softplus Mish")
    | _each("binary", "Add Sub Mul Div Sum Max Min Mean And Or Xor Equal Greater Less GreaterOrEqual LessOrEqual")
    | _each("copy", "Concat Split")
    | _each("move", "Slice Gather GatherElements GatherND Pad Expand Tile DepthToSpace SpaceToDepth ScatterND")
    | _each("norm", "LayerNormalization InstanceNormalization GroupNormalization LpNormalization")
    | _each("reduce", "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ArgMax ArgMin")
    | _each("resize", "Resize Upsample")
    | {"Transpose": "transpose", "BatchNormalization": "binary", "Softmax": "softmax"}
)
# What an activation inside a convolution costs on top of it.
INSIDE = (
    _each("fused curve", "Sigmoid Tanh") | _each("fused step", "HardSwish HardSigmoid") | _each("fused clip", "Clip LeakyRelu")
)

_CONVOLUTIONS = ("conv", "pointwise", "stem", "grouped", "depthwise")
_PRODUCTS = ("product", "vector product", "batched product", "transposed")


class Kernel(Struct, frozen=True, forbid_unknown_fields=True):
    """One call of a kernel. `work` is multiply-adds (or values computed); bytes are those of activations and weights.

    `wide` is the number of output channels (of one group), `taps` the positions of the window, `margin` the share of output
    positions whose window leaves the picture. Channels are rounded up to whole blocks where the layout is blocked.
    """

    kind: str
    work: float
    read: float
    written: float
    weights: float = 0.0
    wide: float = 1.0
    taps: float = 1.0
    margin: float = 0.0

    def features(self, block: int) -> dict[str, float]:
        """The features of this kernel, by name, on a CPU with blocks of `block` channels."""
        found = {"one": 1.0}
        kind = self.kind.removesuffix(" plain")
        if kind == "view":
            return found
        if kind in _CONVOLUTIONS or kind in _PRODUCTS or kind in ("pool", "resize"):
            found["work"] = self.work
        found |= {"read": self.read, "written": self.written}
        if kind in _CONVOLUTIONS or kind in _PRODUCTS:
            found["weights"] = self.weights
        if kind in _CONVOLUTIONS and kind != "depthwise":
            found["passes"] = self.work / self.wide * math.ceil(self.wide / (_BLOCKS_AT_ONCE * max(1, block)))
        if (kind in _CONVOLUTIONS and kind != "pointwise") or kind == "pool":
            found["edge"] = self.work * self.margin
        return found


def reorder(size: float, into_blocks: bool) -> Kernel:
    """A tensor of `size` bytes changes its layout."""
    return Kernel("reorder in" if into_blocks else "reorder out", size / 4, size, size)


def elementwise(kind: str, o: Operator) -> Kernel:
    """A kernel that computes a value for each one written."""
    return Kernel(kind, o.written / 4, o.read, o.written, min(o.weight_bytes, o.written))


def convolution(o: Operator, kind: str, block: int) -> Kernel:
    """A convolution whose channels come in blocks of `block` (1: plain)."""
    places, taps = math.prod(o.shape_out[2:]), math.prod(o.kernel)
    wide = _up(o.shape_out[1], block)
    spread = kind.split()[0] in ("stem", "depthwise", "grouped")
    inner = (o.filter[1] if spread else _up(o.filter[1], block)) * taps
    return Kernel(
        kind,
        work=wide * inner * places,
        read=4.0 * _up(o.shape_in[1], block if o.shape_in[1] >= block else 1) * math.prod(o.shape_in[2:]),
        written=4.0 * wide * places,
        weights=4.0 * wide * inner,
        wide=wide / (o.group if kind.startswith("grouped") else 1),
        taps=taps,
        margin=_margin(o),
    )


def scaling(o: Operator) -> Kernel:
    """A batch norm in blocks: onnxruntime runs it as a depthwise convolution of one tap."""
    return Kernel("depthwise", o.written / 4, o.read, o.written, o.weight_bytes / 2, o.shape_out[1])


def transposed(o: Operator) -> Kernel:
    """A transposed convolution: a product, and a scattering of its columns."""
    work = math.prod(o.shape_in[1:]) * math.prod(o.filter[1:])
    return Kernel("transposed", work, o.read, o.written, o.weight_bytes, math.prod(o.filter[1:]), math.prod(o.kernel))


def product(o: Operator) -> Kernel:
    """A matrix product: by weights, by one vector, or of two activations."""
    rows = math.prod(o.shape_out[:-1])
    kind = ("vector product" if rows == 1 else "product") if o.weights else "batched product"
    return Kernel(kind, (o.flops or 0.0) / 2, o.read, o.written, o.weight_bytes, o.shape_out[-1])


def pool(o: Operator, blocked: bool) -> Kernel:
    """A pool over windows, or over the whole picture."""
    layout = "" if blocked else " plain"
    if o.kind.startswith("Global"):
        return Kernel(f"global pool{layout}", o.read / 4, o.read, o.written, 0.0, o.shape_out[1])
    taps = math.prod(o.kernel)
    return Kernel(f"pool{layout}", taps * o.written / 4, o.read, o.written, 0.0, o.shape_out[1], taps, _margin(o))


def other(o: Operator) -> Kernel:
    """Any other operator; one that is not in the table keeps its own name as kind, and no profile knows it."""
    kind = SIMPLE.get(o.kind) if not o.domain else None
    if kind is None:
        return Kernel(f"{o.domain}:{o.kind}" if o.domain else o.kind, (o.flops or 0.0) / 2, o.read, o.written, o.weight_bytes)
    if kind == "resize":
        return Kernel("resize", (o.flops or 0.0) / 2, o.read, o.written)
    if kind == "softmax" and o.axis not in (None, -1, len(o.shape_in) - 1):
        kind = "softmax across"
    return elementwise(kind, o)


def _margin(o: Operator) -> float:
    stride = o.stride[-1] if o.stride else 1
    return min(1.0, (o.kernel[-1] - 1) / stride / o.shape_out[-1]) if o.kernel else 0.0


def _up(channels: int, block: int) -> int:
    return -(-channels // block) * block
