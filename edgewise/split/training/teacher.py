"""A person's network by name: `package.module:build` and a file of weights, a configuration of transformers, or an ONNX file;
errors are sentences, and nothing is unpickled.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from edgewise.core.errors import ConfigError
from edgewise.training import from_config
from edgewise.training.from_onnx import network
from edgewise.training.named import built, load

ONNX = ".onnx"


def teacher(model: str, weights: Path | None, cut: str = "", classes: int = 0) -> nn.Module:
    """The network that `model` names, with `weights` (.safetensors), in evaluation mode and frozen.

    A name that ends with .onnx is a file, which has its weights inside; `cut` may then be a stretch between two of its tensors.
    `classes` is for `hf:TYPE`, which has no number of its own. Weights that nobody gives are drawn from the same seed each time.
    """
    if model.lower().endswith(ONNX):
        if weights is not None:
            raise ConfigError("an ONNX model has its weights inside", got=weights, allowed="no file of weights beside it")
        return network(Path(model), cut)
    net = from_config.network(model, classes) if from_config.configured(model) else built(model)
    if weights is not None:
        load(net, weights)
    return net.eval().requires_grad_(False)
