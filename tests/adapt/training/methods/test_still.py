"""Methods without a gradient: exact where nothing is done, LAME right on sorted streams and harmful on others."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgewise.adapt.method import TestTimeMethod as Method  # noqa: E402
from edgewise.adapt.training.methods.layers import Given, OfBatch, taken  # noqa: E402
from edgewise.adapt.training.methods.still import BatchStatistics, Lame, Unchanged, affinity, smoothed  # noqa: E402
from tests.adapt.training.methods import colours  # noqa: E402


@pytest.fixture(scope="module")
def net() -> colours.Net:
    return colours.trained()


def test_nothing_is_the_source_itself(net):
    pictures, labels = colours.drawn(60, 3)
    method = Unchanged(colours.of(net))
    assert isinstance(method, Method)
    with torch.no_grad():
        wanted = net(torch.from_numpy(pictures)).softmax(1).numpy()
    np.testing.assert_allclose(method.answer(pictures), wanted, rtol=1e-5, atol=1e-6)
    assert (wanted.argmax(1) == labels).mean() > 0.8, "the net that everything here rests on learned nothing"
    assert method.tally().seen == 60


def test_statistics_of_the_batch_mend_dusk_and_break_on_one_class(net):
    pictures, labels = colours.drawn(400, 4)
    dusk = colours.dark(pictures)
    right = {}
    for name, order in (("mixed", np.arange(400)), ("sorted", np.argsort(labels, kind="stable"))):
        for method in (Unchanged(colours.of(net)), BatchStatistics(colours.of(net))):
            said = np.concatenate([method.answer(dusk[order[i : i + 40]]) for i in range(0, 400, 40)])
            right[method.name, name] = (said.argmax(1) == labels[order]).mean()
    assert right["batch statistics", "mixed"] > right["none", "mixed"] + 0.15
    assert right["batch statistics", "sorted"] < right["batch statistics", "mixed"] - 0.15


def test_a_batch_without_variance_falls_back_to_what_is_held():
    layer = OfBatch(torch.ones(3), torch.zeros(3), torch.zeros(3), torch.full((3,), 4.0), 1e-7)
    assert layer(torch.full((1, 3, 1, 1), 6.0)).flatten().tolist() == pytest.approx([3.0] * 3)
    assert float(layer(torch.randn(4, 3, 2, 2)).mean().detach()) == pytest.approx(0, abs=1e-5)


def test_taking_layers_out_leaves_the_net_as_it_was(net):
    own, found = taken(net, Given)
    assert list(found) == ["one.1", "two.1"] and isinstance(net.one[1], torch.nn.BatchNorm2d)
    again, _ = taken(own, OfBatch)
    x = torch.from_numpy(colours.drawn(5)[0])
    torch.testing.assert_close(own(x), net(x))
    assert not torch.allclose(again(x), net(x))


def test_lame_is_right_where_neighbours_share_a_class_and_harmful_where_they_do_not():
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 200)
    said = np.full((800, 4), 0.24, np.float32)
    shown = np.where(draw.random(800) < 0.9, labels, draw.integers(0, 4, 800))
    said[np.arange(800), shown] = 0.28
    features = draw.normal(size=(800, 6))  # which say nothing of the class: only the stream's order can help

    def accuracy(order: np.ndarray) -> float:
        found = [smoothed(said[rows], affinity(features[rows])) for rows in order.reshape(-1, 40)]
        return float((np.concatenate(found).argmax(1) == labels[order]).mean())

    alone = float((said.argmax(1) == labels).mean())
    assert accuracy(np.arange(800)) > alone + 0.05
    assert accuracy(draw.permutation(800)) < alone - 0.03


def test_lame_of_one_picture_and_of_constant_pictures(net):
    method = Lame(colours.of(net))
    one = colours.drawn(1, 3)[0]
    assert method.answer(one).argmax() == Unchanged(colours.of(net)).answer(one).argmax()
    flat = np.full((6, 8, 8, 3), 128, np.uint8)
    said = method.answer(flat)
    np.testing.assert_allclose(said.sum(1), 1, atol=1e-5)
    near = affinity(np.zeros((6, 3)))
    assert (near.sum(1) == 5).all() and not near.diagonal().any()
