"""Anchors: the graphs of networks that everybody quotes, so that a quoted time can be read as a speed.

Drawn from the papers' tables, at 224 × 224, with hollow weights: shapes and counts are right (ResNet-50: 4.1 G multiply-adds
and 25.6 M parameters), values do not exist. ResNet-50 is v1.5 (stride in the 3 × 3), as MLPerf runs it.

Sources: He et al. 2016 (table 1); Howard et al. 2017 (table 1); Sandler et al. 2018 (table 2); EfficientNet-Lite0 from Tan
and Le 2019 (table 1) without gates and with ReLU6, its stem and head not scaled, as TensorFlow's repository publishes it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from edgewise.core.graph import Graph
from edgewise.graph.count import graph_of
from edgewise.graph.sketch import Sketch


def resnet50() -> Graph:
    s = Sketch("ResNet-50", hollow=True)
    x = s.pool(s.conv(s.input("picture", 3, 224, 224), 64, 7, 2), "MaxPool", 3, 2, 1)
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = s.conv(s.conv(s.conv(x, width, 1), width, 3, stride), 4 * width, 1, act="")
            x = s.conv(x, 4 * width, 1, stride, act="") if not block else x
            x = s.activate(s.add(y, x), "Relu")
    return graph_of(s.model(s.dense(s.flat_mean(x), 1000)))


def mobilenet_v1() -> Graph:
    s = Sketch("MobileNetV1", hollow=True)
    x = s.conv(s.input("picture", 3, 224, 224), 32, 3, 2, act="Relu6")
    wide = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *([(512, 1)] * 5), (1024, 2), (1024, 1))
    for channels, stride in wide:
        x = s.conv(s.depthwise(x, 3, stride, "Relu6"), channels, 1, act="Relu6")
    return graph_of(s.model(s.dense(s.flat_mean(x), 1000)))


def mobilenet_v2() -> Graph:
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    return _inverted("MobileNetV2", tuple((t, c, n, stride, 3) for t, c, n, stride in stages))


def efficientnet_lite0() -> Graph:
    stages = (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    )
    return _inverted("EfficientNet-lite0", stages)


def _inverted(name: str, stages: tuple[tuple[int, int, int, int, int], ...]) -> Graph:
    """Stages of inverted residuals: expansion, channels, blocks, stride of the first, side of the depthwise window."""
    s = Sketch(name, hollow=True)
    x = s.conv(s.input("picture", 3, 224, 224), 32, 3, 2, act="Relu6")
    for expansion, channels, blocks, first, taps in stages:
        for block in range(blocks):
            y = s.conv(x, s.wide(x) * expansion, 1, act="Relu6") if expansion > 1 else x
            y = s.conv(s.depthwise(y, taps, first if not block else 1, "Relu6"), channels, 1, act="")
            x = s.add(y, x) if block else y
    return graph_of(s.model(s.dense(s.flat_mean(s.conv(x, 1280, 1, act="Relu6")), 1000)))


# By the names that profiles use for their runs.
ANCHORS: dict[str, Callable[[], Graph]] = {
    "ResNet-50": resnet50,
    "MobileNetV1": mobilenet_v1,
    "MobileNetV2": mobilenet_v2,
    "EfficientNet-lite0": efficientnet_lite0,
}


@functools.cache
def anchors() -> dict[str, Graph]:
    """Every anchor's graph, by name."""
    return {name: draw() for name, draw in ANCHORS.items()}
