"""The size of the batch, read from what crosses a cut in place of the model's own input.

Exporters write a reshape to (batch, -1) as a shape that is computed from the first input, wherever the reshape stands. A cut then
has two tensors that cross, of which one is the whole picture. Both have the same batch, so what reads its size behind the cut is
given it from there: the few nodes that compute it are copied, and nothing else changes.

It knows sizes of the first dimension alone (`Shape` from 0 to 1).
"""

from __future__ import annotations

import onnx

BEHIND = "_behind"


def batch_from(model: onnx.ModelProto, source: str, crossing: str) -> onnx.ModelProto:
    """`model`, changed in place: nodes behind the one that makes `crossing` take the batch's size from it, not from `source`."""
    nodes = list(model.graph.node)
    made = next((i for i, node in enumerate(nodes) if crossing in node.output), None)
    if made is None:
        return model
    sizes = _sizes(model, source)
    copies: dict[str, str] = {}
    added: list[onnx.NodeProto] = []

    def behind(name: str) -> str:
        """The copy of a size that is computed from `crossing`."""
        if name not in copies:
            node = onnx.NodeProto()
            node.CopyFrom(sizes[name])
            for i, taken in enumerate(node.input):
                node.input[i] = crossing if taken == source else behind(taken) if taken in sizes else taken
            node.output[0] = copies[name] = name + BEHIND
            node.name = node.name and node.name + BEHIND
            added.append(node)
        return copies[name]

    for node in nodes[made + 1 :]:
        if node.output[0] in sizes:
            continue
        for i, taken in enumerate(node.input):
            if taken in sizes:
                node.input[i] = behind(taken)
    del model.graph.node[:]
    model.graph.node.extend([*nodes[: made + 1], *added, *nodes[made + 1 :]])
    return model


def _sizes(model: onnx.ModelProto, source: str) -> dict[str, onnx.NodeProto]:
    """Tensors that follow from the batch of `source` and constants alone, with the node that makes each."""
    constant = {x.name for x in model.graph.initializer} | {""}
    found: dict[str, onnx.NodeProto] = {}
    for node in model.graph.node:
        if len(node.output) != 1:
            continue
        if node.op_type == "Shape" and list(node.input) == [source]:
            ends = {a.name: a.i for a in node.attribute}
            if ends.get("start", 0) == 0 and ends.get("end") == 1:
                found[node.output[0]] = node
        elif node.op_type == "Constant":
            constant.add(node.output[0])
        elif any(i in found for i in node.input) and all(i in found or i in constant for i in node.input):
            found[node.output[0]] = node
    return found
