"""Where a filter's features come from: an ONNX head up to a tensor, or a torch network up to a module; both frozen.

The first is the general way: it works for every bundle, whoever made it and with whatever, and it gives what the device will
compute. The second listens at a path (`edgewise.training.paths`), for a network that is not exported yet.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgewise.runtime.session import Session
from edgewise.split.training.filter import Features
from edgewise.training.paths import gathered


def of_model(front: bytes, threads: int = 1) -> Features:
    """Features that an ONNX model gives as its one output, of pictures as it takes them."""
    session = Session.load(front, threads)
    source, result = session.inputs[0].name, session.outputs[0].name

    def features(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        given: NDArray[np.float32] = session.run({source: pictures})[result]
        return given

    return features


def of_module(net: nn.Module, path: str) -> Features:
    """Features that the module at `path` of `net` gives, where `net` takes pictures (n, 3, height, width) in 0..1."""
    net = net.eval()

    def features(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            given: NDArray[np.float32] = gathered(net, [path], x)[path].float().numpy()
        return given

    return features
