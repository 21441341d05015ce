"""Where a model normalises: every normalisation layer of an ONNX part, by the path that its parameters have in deltas.

Found without the onnx package, so that a device can do it. Four kinds:

    batch      BatchNormalization: scale, shift, and statistics (mean, variance), which follow a stream without learning
    layer      LayerNormalization, or Div → Mul → Add behind a Sqrt as older exporters write it
    group      GroupNormalization, or Mul → Add behind InstanceNormalization and Reshape as exporters of torch write it
    instance   InstanceNormalization

Of the last three, scale and shift alone can be adapted. A model whose exporter folded its normalisation into convolutions has
none left; `required` says so, and how to export it.

It does not know normalisation inside of loops and branches, nor layers whose scale is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from edgewise.core.errors import ModelError
from edgewise.graph.nodes import Node, nodes, shapes

Kind = Literal["batch", "layer", "group", "instance"]
_FUSED: dict[str, Kind] = {
    "BatchNormalization": "batch",
    "LayerNormalization": "layer",
    "GroupNormalization": "group",
    "InstanceNormalization": "instance",
}

_VIEWS = ("Identity", "Unsqueeze", "Squeeze", "Reshape")


class Normalisation(Struct, frozen=True):
    """One layer. `scale`, `shift`, `mean`, `variance` are initialisers of the part ("" where there is none); `taken` → `given`
    are the tensors before and after it. `path` is what the paths of its parameters share (`head.body.0.1`)."""

    path: str
    kind: Kind
    scale: str
    shift: str
    mean: str
    variance: str
    channels: int
    epsilon: float
    taken: str
    given: str

    @property
    def affine(self) -> tuple[str, ...]:
        """The initialisers that a learned update may change."""
        return tuple(name for name in (self.scale, self.shift) if name)


def normalisations(model: bytes, paths: Mapping[str, str] = {}) -> tuple[Normalisation, ...]:
    """The normalisation layers of a part in the order of its nodes; none where it has none.

    `paths` gives the parameter path of an initialiser (its own name where it is not there). ModelError where `model` is not an
    ONNX file, or where two layers would have one path.
    """
    kept, steps = shapes(model), nodes(model)
    makers = {name: node for node in steps for name in node.given}
    steps = [_resolved(node, kept, makers) for node in steps]
    takers: dict[str, list[Node]] = {}
    for node in steps:
        for name in node.taken:
            takers.setdefault(name, []).append(node)
    found = [layer for node in steps if (layer := _layer(node, kept, makers, takers, paths)) is not None]
    seen: set[str] = set()
    for layer in found:
        if layer.path in seen:
            raise ModelError("two normalisation layers share their parameters", got=layer.path, allowed="a layer for each path")
        seen.add(layer.path)
    return tuple(found)


def required(model: bytes, name: str, paths: Mapping[str, str] = {}) -> tuple[Normalisation, ...]:
    """The same, of a model that is to adapt; ModelError where it has no normalisation that could."""
    found = normalisations(model, paths)
    if found:
        return found
    convolutions = sum(node.kind in ("Conv", "ConvTranspose") for node in nodes(model))
    raise ModelError(
        f"{name} has no normalisation that could adapt",
        got=f"{convolutions} convolutions, and none of {', '.join(_FUSED)}",
        allowed="a model whose normalisation stands in its graph",
        hint="Exporters fold it into convolutions. Export with unfold=True (edgewise.training.export), or from torch with "
        "dynamo=True and optimize=False, or in training mode (training=TrainingMode.PRESERVE); it costs nothing when it runs.",
    )


def _resolved(node: Node, kept: Mapping[str, tuple[int, ...]], makers: Mapping[str, Node]) -> Node:
    """A node with the initialisers that it really takes: exporters put `weight` behind Identity, or Unsqueeze it, as a node."""

    def origin(name: str) -> str:
        maker = makers.get(name)
        if maker is None or maker.kind not in _VIEWS or not maker.taken:
            return name
        return first if (first := origin(maker.taken[0])) in kept else name

    return replace(node, taken=tuple(origin(name) for name in node.taken))


def _layer(
    node: Node,
    kept: Mapping[str, tuple[int, ...]],
    makers: Mapping[str, Node],
    takers: Mapping[str, Sequence[Node]],
    paths: Mapping[str, str],
) -> Normalisation | None:
    """The layer that a node is, or ends in; None where it is none."""
    if node.domain:
        return None
    if node.kind in _FUSED:
        return _fused(node, kept, takers, paths)
    if node.kind == "Mul" and (scale := _constant(node, kept)) and (before := _source(node, kept)):
        maker = makers.get(before)
        if maker is not None and maker.kind == "Reshape":  # group normalisation as torch writes it
            inner = makers.get(maker.taken[0])
            if inner is not None and inner.kind == "InstanceNormalization":
                source = makers.get(inner.taken[0])
                taken = source.taken[0] if source is not None and source.kind == "Reshape" else inner.taken[0]
                return _apart("group", node, scale, taken, inner, kept, takers, paths)
        if maker is not None and maker.kind == "Div" and _is_root(makers.get(maker.taken[1])):
            return _apart("layer", node, scale, maker.taken[0], maker, kept, takers, paths)
    return None


def _fused(
    node: Node, kept: Mapping[str, tuple[int, ...]], takers: Mapping[str, Sequence[Node]], paths: Mapping[str, str]
) -> Normalisation | None:
    names = [name if name in kept else "" for name in node.taken[1:]] + [""] * 4
    kind = _FUSED[node.kind]
    if not names[0] or (kind == "batch" and not all(names[:4])):
        return None
    if kind == "instance" and any(after.kind == "Reshape" for after in takers.get(node.given[0], ())):
        return None  # the inner half of a group normalisation
    mean, variance = (names[2], names[3]) if kind == "batch" else ("", "")
    return Normalisation(
        _path(names[0], paths),
        kind,
        names[0],
        names[1],
        mean,
        variance,
        prod(kept[names[0]]),
        _epsilon(node),
        node.taken[0],
        node.given[0],
    )


def _apart(
    kind: Kind,
    node: Node,
    scale: str,
    taken: str,
    inner: Node,
    kept: Mapping[str, tuple[int, ...]],
    takers: Mapping[str, Sequence[Node]],
    paths: Mapping[str, str],
) -> Normalisation:
    """A layer in pieces: the Mul by its scale, and the Add of its shift where the next node is one."""
    after = takers.get(node.given[0], ())
    shift = _constant(after[0], kept) if len(after) == 1 and after[0].kind == "Add" else ""
    given = after[0].given[0] if shift else node.given[0]
    return Normalisation(_path(scale, paths), kind, scale, shift, "", "", prod(kept[scale]), _epsilon(inner), taken, given)


def _constant(node: Node, kept: Mapping[str, tuple[int, ...]]) -> str:
    """The one vector among the inputs of a node that is an initialiser, or ""."""
    found = [name for name in node.taken if name in kept and prod(kept[name]) > 1]
    return found[0] if len(found) == 1 and max(kept[found[0]]) == prod(kept[found[0]]) else ""


def _source(node: Node, kept: Mapping[str, tuple[int, ...]]) -> str:
    found = [name for name in node.taken if name not in kept]
    return found[0] if len(found) == 1 else ""


def _is_root(node: Node | None) -> bool:
    return node is not None and node.kind == "Sqrt"


def _epsilon(node: Node) -> float:
    value = node.attributes.get("epsilon", 1e-5)
    return float(value) if isinstance(value, float) else 1e-5


def _path(scale: str, paths: Mapping[str, str]) -> str:
    """`head.body.0.1` of `head.body.0.1.weight`; the whole name where it has no dot."""
    whole = paths.get(scale, scale)
    return whole.rpartition(".")[0] or whole
