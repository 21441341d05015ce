"""torch → ONNX: batch normalisation folded into convolutions or left as it is, a free batch dimension, our names for the tensors.

What is exported is the module's own `forward` in evaluation mode. The files hold weights inside and no traces of
the machine that wrote them, so equal weights give equal bytes. A test runs both and compares.

`unfold` keeps every batch normalisation as a node, and every parameter as an initialiser by its path in the module, one each even
where two are equal: then a delta can change scales, shifts and statistics of normalisation alone. It costs nothing when
it runs: onnxruntime folds at load what is folded here otherwise.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import onnx
import onnx_ir
import torch
from onnx_ir.passes import common as passes
from onnxscript import optimizer, rewriter
from onnxscript.rewriter.rules import common as rules
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgewise.core.artifact import Parameter, PartName
from edgewise.core.errors import ModelError
from edgewise.runtime.initialisers import initialisers
from edgewise.training.nets.detector import Convolution, Head, Local, Tail

OPSET = 18
MAPS = ("score", "box", "occupied")
STATISTICS = ("running_mean", "running_var")
RULES = [
    rules.collapse_slice_rule,
    rules.collapse_slice2_rule,
    rules.remove_optional_bias_from_conv_rule,
    rules.no_op_cast_rule,
    rules.mul_by_1_rule,
    rules.div_by_1_rule,
    rules.min_max_rule,
    rules.max_min_rule,
]


def head(net: Head, unfold: bool = False) -> bytes:
    """`picture` (batch, 180, 320, 3; uint8) → `bottleneck` (batch, channels, 23, 40)."""
    return exported(net, torch.zeros(2, 180, 320, 3, dtype=torch.uint8), "picture", ["bottleneck"], unfold)


def tail(net: Tail, channels: int, unfold: bool = False) -> bytes:
    """`bottleneck` → `score`, `box`, `occupied`."""
    return exported(net, torch.zeros(2, channels, 23, 40), "bottleneck", MAPS, unfold)


def local(net: Local, unfold: bool = False) -> bytes:
    """`picture` (batch, 90, 160, 3; uint8) → `score`, `box`, `occupied`."""
    return exported(net, torch.zeros(2, 90, 160, 3, dtype=torch.uint8), "picture", MAPS, unfold)


def exported(net: nn.Module, example: Tensor, source: str, results: Sequence[str], unfold: bool = False) -> bytes:
    """`net` with one input and named outputs as the bytes of an ONNX file; the first dimension of everything is free."""
    net = plain(net) if unfold else folded(net)
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
            optimize=not unfold,
        )
    assert program is not None
    if unfold:
        _tidy(program.model)
    model: onnx.ModelProto = program.model_proto
    _forget(model)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def parameters(part: PartName, net: nn.Module, model: bytes) -> dict[str, Parameter]:
    """The map of a part for its manifest: what was trained in `net`, as `part.path`; ModelError where the file lacks one."""
    trained = [name for name, _ in net.named_parameters()]
    trained += [name for name, _ in net.named_buffers() if name.endswith(STATISTICS)]
    lacking = set(trained) - initialisers(model).keys()
    if lacking:
        raise ModelError(f"part {part} lacks parameters of its net", got=", ".join(sorted(lacking)), hint="Export it unfolded.")
    return {f"{part}.{name}": Parameter(part, name) for name in trained}


def plain(net: nn.Module) -> nn.Module:
    """A copy in evaluation mode and plain memory layout."""
    return copy.deepcopy(net).eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload, no-any-return]


def folded(net: nn.Module) -> nn.Module:
    """A plain copy with every batch normalisation folded into the convolution before it."""
    net = plain(net)
    for module in net.modules():
        if isinstance(module, Convolution):
            convolution, normal = module[0], module[1]
            assert isinstance(convolution, nn.Conv2d) and isinstance(normal, nn.BatchNorm2d)
            module[0], module[1] = fuse_conv_bn_eval(convolution, normal), nn.Identity()
        elif isinstance(module, Head):
            assert isinstance(module.level, nn.BatchNorm2d)
            module.squeeze, module.level = fuse_conv_bn_eval(module.squeeze, module.level), nn.Identity()
    return net


def _tidy(model: onnx_ir.Model) -> None:
    """What the exporter's own optimiser does, but for folding normalisation and joining initialisers of equal values."""
    optimizer.inline(model)
    reshaped = _reshaped(model)
    for _ in range(2):  # what one round makes constant, the next can take away
        optimizer.fold_constants(model, onnx_shape_inference=True)
        rewriter.rewrite(model, RULES)
    onnx_ir.passes.Sequential(
        passes.RemoveUnusedNodesPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.CommonSubexpressionEliminationPass(),
        passes.RemoveUnusedNodesPass(),
        passes.RemoveUnusedFunctionsPass(),
        passes.RemoveUnusedOpsetsPass(),
        passes.OutputFixPass(),
        passes.NameFixPass(),
    )(model)
    held = model.graph.initializers
    for folded_name, name in reshaped.items():
        if folded_name in held and name not in held:
            held[folded_name].name = name


def _reshaped(model: onnx_ir.Model) -> dict[str, str]:
    """Tensors that are a parameter in another shape, as scale and shift of group normalisation are: once they are folded they
    are initialisers, which keep the parameter's name."""
    found: dict[str, str] = {}
    for node in model.graph:
        source = node.inputs[0].name if node.inputs and node.inputs[0] is not None else None
        given = node.outputs[0].name if node.outputs else None
        if node.op_type in ("Unsqueeze", "Reshape", "CastLike") and source and given:
            name = found.get(source, source)
            if name in model.graph.initializers:
                found[given] = name
    return found


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
