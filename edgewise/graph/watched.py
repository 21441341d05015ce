"""A part that watches itself: the same answers, and beside them the moments of what each batch normalisation takes in.

Before every BatchNormalization stand a few nodes more; what it normalises with becomes an input of the graph, so that nothing has
to be loaded anew when it moves. For a layer of C channels, with x (batch, C, …) and vectors of C:

    μ_B = mean x,  s_B = mean x²                       over batch and place; leave as the output MOMENTS
    m = keep_m + weight·μ_B,  s = keep_s + weight·s_B  the moving average with this batch in it (weight = its momentum)
    μ = base_μ + part_μ·m,  σ² = base_σ² + part_σ²·max(s − m², 0)      mixed with the source: what the layer normalises with

`keep_*` = (1 − weight)·running moments; `base_*` and `part_*` say how they are mixed. All come in as one vector FEED: keep_m,
keep_s, base_μ, base_σ², part_μ, part_σ² of each layer in turn; weight is the input WEIGHT. weight = 0 normalises with the running
statistics, weight = part = 1 and base = 0 with those of the batch (what training does), part = 0 with the base alone. A layer
sees what those before it make of the same statistics: else a shift would be taken in once too often by each. (Adapt notes 2.3,
2.8 rule 7; the vector is ours.)

Written without the onnx package (`edgewise.graph.nodes`). No activation is kept: sums are all that leaves the graph.

It does not know what the moments are good for, nor other kinds of normalisation, which have no statistics.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewise.core.errors import ModelError
from edgewise.graph.nodes import Node, constant, nodes, opset, replaced, rewired, tensor, written
from edgewise.graph.normalisation import Normalisation

FEED, WEIGHT, MOMENTS = "edgewise.feed", "edgewise.weight", "edgewise.moments"
_PIECES = ("keep_m", "keep_s", "base_m", "base_v", "part_m", "part_v")  # of FEED, for each layer
_SIZES, _FLAT, _ZERO, _AXES = "edgewise.sizes", "edgewise.flat", "edgewise.zero", "edgewise.axes"


def watched(model: bytes, layers: Sequence[Normalisation]) -> bytes:
    """The part with inputs FEED (6·ΣC,) and WEIGHT (1,), and the output MOMENTS (2·ΣC,): μ_B, s_B of each layer in turn.

    ModelError where none of `layers` has statistics.
    """
    batch = [layer for layer in layers if layer.kind == "batch"]
    if not batch:
        raise ModelError("a part has no statistics to watch", got=f"{len(layers)} layers", allowed="batch normalisation")
    version = opset(model)
    if version < 13:
        raise ModelError(
            "a part is of an older form than its statistics can be watched in",
            got=f"opset {version}",
            allowed="13 or newer",
            hint="Export it again, or convert it (onnx.version_converter).",
        )
    whole = sum(layer.channels for layer in batch)
    places = {layer.given: number for number, layer in enumerate(batch)}
    pieces = [_name(number, part) for number in range(len(batch)) for part in _PIECES]
    sizes = np.array([layer.channels for layer in batch for _ in _PIECES], np.int64)
    body = [written("Split", (FEED, _SIZES), pieces, {"axis": 0})]
    for node in nodes(model):
        if node.kind == "BatchNormalization" and node.given[0] in places:
            body += _watch(model, node, places[node.given[0]], version)
        else:
            body.append(model[slice(*node.place)])
    body.append(
        written("Concat", [_name(n, part) for n in range(len(batch)) for part in ("mean", "second")], (MOMENTS,), {"axis": 0})
    )
    constants = [
        constant(_SIZES, sizes),
        constant(_FLAT, np.array([0, 0, -1], np.int64)),
        constant(_ZERO, np.zeros(1, np.float32)),
    ]
    constants.append(constant(_AXES, np.array([0, 2], np.int64)))
    inputs = [tensor(FEED, (len(_PIECES) * whole,)), tensor(WEIGHT, (1,))]
    return replaced(model, body, constants, inputs, [tensor(MOMENTS, (2 * whole,))])


def _name(layer: int, part: str) -> str:
    return f"edgewise.{layer}.{part}"


def _watch(model: bytes, node: Node, layer: int, version: int) -> list[bytes]:
    def name(part: str) -> str:
        return _name(layer, part)

    def reduced(kind: str, source: str, result: str) -> bytes:
        if version >= 18:
            return written(kind, (source, _AXES), (result,), {"keepdims": 0})
        return written(kind, (source,), (result,), {"axes": (0, 2), "keepdims": 0})

    x = node.taken[0]
    return [
        written("Reshape", (x, _FLAT), (name("flat"),)),
        reduced("ReduceMean", name("flat"), name("mean")),
        written("Mul", (name("flat"), name("flat")), (name("square"),)),
        reduced("ReduceMean", name("square"), name("second")),
        written("Mul", (name("mean"), WEIGHT), (name("new_m"),)),
        written("Add", (name("keep_m"), name("new_m")), (name("m"),)),
        written("Mul", (name("second"), WEIGHT), (name("new_s"),)),
        written("Add", (name("keep_s"), name("new_s")), (name("s"),)),
        written("Mul", (name("m"), name("m")), (name("m2"),)),
        written("Sub", (name("s"), name("m2")), (name("raw"),)),
        written("Max", (name("raw"), _ZERO), (name("v"),)),
        written("Mul", (name("m"), name("part_m")), (name("share_m"),)),
        written("Add", (name("base_m"), name("share_m")), (name("use_m"),)),
        written("Mul", (name("v"), name("part_v")), (name("share_v"),)),
        written("Add", (name("base_v"), name("share_v")), (name("use_v"),)),
        rewired(model, node, [x, *node.taken[1:3], name("use_m"), name("use_v")]),
    ]
