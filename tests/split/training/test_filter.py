"""The neural filter: its net as published, what is exported says the same, it learns what can be learned, roads are what they
say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from edgewise.core.artifact import Picture
from edgewise.core.errors import ConfigError, ModelError
from edgewise.data.dataset import open_dataset
from edgewise.data.junction import Junction
from edgewise.runtime.session import Session
from edgewise.split.gate import gated
from edgewise.split.training.early import of_module
from edgewise.split.training.filter import Classifier, Learning, Pool, area, learn, plain, scores, varied
from edgewise.split.training.filter_job import latest
from edgewise.split.training.roads import Roads, kept, owned, parted, rendered
from edgewise.training.nets.detector import Head

VEHICLES = Path(__file__).parents[3] / "edgewise" / "bundles" / "vehicles"


@pytest.mark.parametrize(("inside", "outside"), [((46, 80), (46, 64)), ((100, 132), (64, 64)), ((7, 16), (7, 8))])
def test_the_pool_is_torchs_adaptive_one(inside: tuple[int, int], outside: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *inside)
    torch.testing.assert_close(Pool(inside, outside)(x), functional.adaptive_avg_pool2d(x, outside))


def test_at_the_papers_size_the_net_is_the_papers() -> None:
    """64 channels pooled to 64 × 64: 88.4 thousand parameters (as published), but for our 16 maxima."""
    net = Classifier(64, 160, 200)
    assert [m.stride[0] for m in net.body if isinstance(m, torch.nn.Conv2d)] == [2, 2, 1]
    assert sum(p.numel() for p in net.parameters()) - 2 * 16 == pytest.approx(88.4e3, rel=0.001)


def test_what_is_exported_says_the_same() -> None:
    torch.manual_seed(0)
    head = (VEHICLES / "head.onnx").read_bytes()
    net = Classifier(48, 23, 40)
    for module in net.modules():  # statistics as if it had been trained
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features)  # type: ignore[assignment]
            module.running_var = torch.rand(module.num_features) + 0.5  # type: ignore[assignment]
    gate, _ = gated(head, latest(head), plain(net.eval()))
    found = Session.load(gate).run({"picture": np.random.default_rng(0).integers(0, 256, (3, 180, 320, 3), np.uint8)})
    with torch.no_grad():
        wanted = torch.softmax(net(torch.from_numpy(found["early"])), 1)[:, 1].numpy()
    np.testing.assert_allclose(found["present"], wanted, atol=1e-5)


def made(n: int, seed: int) -> Roads:
    """Grey pictures, half of them with a bright square somewhere."""
    generator = np.random.default_rng(seed)
    pictures = generator.integers(60, 100, (n, 32, 48, 3)).astype(np.uint8)
    present = np.arange(n) % 2 == 0
    for i in np.flatnonzero(present):
        y, x = generator.integers(0, 26), generator.integers(0, 42)
        pictures[i, y : y + 6, x : x + 6] = 200
    return Roads(pictures, present, ("day",) * n, tuple(f"s{i // 4}" for i in range(n)))


def test_it_learns_on_a_frozen_network_by_module_path() -> None:
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU()), torch.nn.Conv2d(8, 4, 1))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    learnt = learn(of_module(net, "0"), made(160, 0), made(60, 1), Learning(epochs=6, batch=16, rate=5e-3))
    assert learnt.areas[learnt.epoch - 1] == max(learnt.areas) > 0.95
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    other = made(60, 2)
    assert area(scores(learnt.net, of_module(net, "0"), other.pictures), other.present) > 0.9


def test_what_cannot_be_learned_is_said() -> None:
    full = Roads(np.zeros((4, 32, 48, 3), np.uint8), np.ones(4, bool), ("day",) * 4, ("a",) * 4)
    with pytest.raises(ModelError, match="something in 4 of 4"):
        learn(of_module(Head(), "body.0"), full, made(8, 0), Learning())
    with pytest.raises(ModelError, match="too small a map"):
        Classifier(8, 6, 40)


def test_variation_keeps_what_is_there() -> None:
    roads = made(12, 3)
    seen = varied(roads.pictures, np.random.default_rng(0))
    assert seen.shape == roads.pictures.shape and seen.dtype == np.uint8
    contrast = [int(p.max()) - int(np.median(p)) for p in seen]
    assert min(c for c, there in zip(contrast, roads.present) if there) > 25


def test_roads_are_busy_sparse_and_empty(tmp_path: Path) -> None:
    roads = kept(tmp_path / "roads.npz", lambda: rendered([100], Picture(160, 90), 1, 0, 1))
    again = kept(tmp_path / "roads.npz", lambda: pytest.fail("it was kept"))
    assert np.array_equal(roads.pictures, again.pictures) and roads.block == again.block == ("junction 100",) * 12
    assert not roads.present[1::2].any() and roads.present[::2].sum() >= 4  # fog may hide all
    junction = Junction(100)
    whole = len(junction.frame(9.0)[1])
    junction.share = 0.2
    assert len(junction.frame(9.0)[1]) < whole / 2


def test_parts_share_no_scene() -> None:
    roads = made(80, 4)
    parts = parted(roads, (0.5, 0.25, 0.25))
    names = [set(p.block) for p in parts]
    assert [len(n) for n in names] == [9, 5, 4] and len(set.union(*names)) == 18  # one is left out between two
    assert sum(len(p) for p in parts) == len(roads) * 18 // 20


def test_a_persons_pictures_by_class_folder(tmp_path: Path) -> None:
    from PIL import Image

    for label, level in (("cat", 10), ("dog", 200)):
        (tmp_path / label).mkdir()
        for i in range(6):
            Image.fromarray(np.full((20, 30, 3), level + i, np.uint8)).save(tmp_path / label / f"{i}.png")
    roads, films = owned(open_dataset(tmp_path), "dog", Picture(16, 12), stretch=3)
    assert roads.present.tolist() == [False, True] * 6 and (len(set(roads.block)), films) == (4, 1)  # 0.png of both, 1.png …
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(flat / "a.png")
    with pytest.raises(ConfigError, match="nobody says"):
        owned(open_dataset(flat), "", Picture(16, 12), 3)
    roads, _ = owned(open_dataset(flat), "", Picture(16, 12), 3, lambda image: {"lorry"})
    assert roads.present.tolist() == [True]
