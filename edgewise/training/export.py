"""torch → ONNX: batch normalisation folded into convolutions, a free batch dimension, our names for the tensors.

What is exported is the module's own `forward` in evaluation mode. The files hold weights inside and no traces of
the machine that wrote them, so equal weights give equal bytes. A test runs both and compares.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgewise.training.nets.detector import Convolution, Head, Local, Tail

OPSET = 18
MAPS = ("score", "box", "occupied")


def head(net: Head) -> bytes:
    """`picture` (batch, 180, 320, 3; uint8) → `bottleneck` (batch, channels, 23, 40)."""
    return exported(net, torch.zeros(2, 180, 320, 3, dtype=torch.uint8), "picture", ["bottleneck"])


def tail(net: Tail, channels: int) -> bytes:
    """`bottleneck` → `score`, `box`, `occupied`."""
    return exported(net, torch.zeros(2, channels, 23, 40), "bottleneck", MAPS)


def local(net: Local) -> bytes:
    """`picture` (batch, 90, 160, 3; uint8) → `score`, `box`, `occupied`."""
    return exported(net, torch.zeros(2, 90, 160, 3, dtype=torch.uint8), "picture", MAPS)


def exported(net: nn.Module, example: Tensor, source: str, results: Sequence[str]) -> bytes:
    """`net` with one input and named outputs as the bytes of an ONNX file; the first dimension of everything is free."""
    net = folded(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            net,
            (example.contiguous(),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[source],
            output_names=list(results),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _forget(model)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def folded(net: nn.Module) -> nn.Module:
    """A copy in evaluation mode, plain memory layout, with every batch normalisation folded into the convolution before it."""
    net = copy.deepcopy(net).eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for module in net.modules():
        if isinstance(module, Convolution):
            convolution, normal = module[0], module[1]
            assert isinstance(convolution, nn.Conv2d) and isinstance(normal, nn.BatchNorm2d)
            module[0], module[1] = fuse_conv_bn_eval(convolution, normal), nn.Identity()
        elif isinstance(module, Head):
            assert isinstance(module.level, nn.BatchNorm2d)
            module.squeeze, module.level = fuse_conv_bn_eval(module.squeeze, module.level), nn.Identity()
    return net


def _forget(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes beside the graph: source lines, stack traces, names of its own passes."""
    model.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
