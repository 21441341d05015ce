"""The networks of the papers have the parameters and multiply-adds that the papers say, and their parts fit together."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from bench.rates import published
from bench.rates.timing import Size, in_turns, size, sized
from edgewise.graph.count import graph_of
from edgewise.runtime.session import Session


def counted(hollow: bytes) -> Size:
    return sized(graph_of(onnx.load_model_from_string(hollow)))


def test_resnet_50_and_mobilenet_count_as_everybody_counts_them() -> None:
    found = counted(published.whole("ResNet-50", hollow=True))
    assert found.parameters == pytest.approx(25.5e6, rel=0.005) and found.macs == pytest.approx(4.09e9, rel=0.005)
    thin = size(published.mobilenet_v2())
    assert thin.parameters == pytest.approx(3.49e6, rel=0.01) and thin.macs == pytest.approx(0.30e9, rel=0.02)


def test_bottlefit_of_a_densenet_has_the_published_head_and_meets_its_tail() -> None:
    head, tail = published.bottlefit("DenseNet-169", 3)
    found = size(head)
    assert found.parameters == pytest.approx(10.4e3, rel=0.02) and found.macs == pytest.approx(0.119e9, rel=0.01)
    picture = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    (crossing,) = Session.load(head).run({"x": picture}).values()
    assert crossing.shape == (1, 3, 29, 29)
    (classes,) = Session.load(tail).run({"x": crossing}).values()
    assert classes.shape == (1, 1000) and np.isfinite(classes).all()


def test_the_head_of_an_autoencoder_holds_what_bottlefit_replaces() -> None:
    far, near = (counted(part) for part in published.middle("ResNet-50", 3, hollow=True))
    whole = counted(published.whole("ResNet-50", hollow=True))
    assert far.macs + near.macs > whole.macs, "nothing is replaced, an encoder and a decoder are added"
    assert far.parameters > 83 * 10_400


def test_pieces_are_run_equally_often_and_in_turns() -> None:
    order: list[str] = []
    found = in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, budget=0.0, each=2)
    assert found["a"].n == found["b"].n == len(order) // 3
    assert order[:6] == ["a", "a", "a", "b", "b", "b"] and order[6:9] == ["a", "a", "a"]
    assert all(t.low <= t.busy <= t.high for t in found.values())
