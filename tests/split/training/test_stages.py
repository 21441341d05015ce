"""The two stages: the tail stays in the first and learns in the second, encoders freeze or not, and ranges hold their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for
from edgewise.graph.picture import Look
from edgewise.split.training.carried import evaluate
from edgewise.split.training.stages import Staged, bottleneck_of, crossing, finished, taught
from edgewise.split.training.stretch import split_of
from edgewise.training.nets.resnet import ResNet

LOOK = Look(32, 32, 3, 1 / 255, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), False)
PLAN = Staged(first=2, tuned=1, channels=2, batch=8, tuned_batch=8, half_precision=False)


class Noise:
    """Pictures of blocks in drawn colours; the class is the redder half."""

    def __init__(self, count: int = 24) -> None:
        generator = np.random.default_rng(0)
        self.pictures = np.kron(generator.integers(0, 255, (count, 4, 4, 3)), np.ones((1, 8, 8, 1), int)).astype(np.uint8)
        self.labels = (self.pictures[..., 0].mean((1, 2)) > 127).astype(int).tolist()

    def __len__(self) -> int:
        return len(self.pictures)

    def of(self, indices: list[int]) -> NDArray[np.uint8]:
        return self.pictures[indices]


def teacher() -> ResNet:
    torch.manual_seed(0)
    return ResNet(2, (4, 6, 8, 8), stem=(3, 2, True)).eval()


def changed(before: torch.nn.Module, after: torch.nn.Module) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


def test_what_learns_in_which_stage_and_what_crosses_in_the_end(tmp_path: Path) -> None:
    net, source = teacher(), Noise()
    first = taught(net, "stem..layer2", "bottlefit-slim", source, LOOK, PLAN, tmp_path / "first")
    assert not changed(net.layer3, first.net.layer3) and not changed(net.fc, first.net.fc)  # type: ignore[arg-type]
    again = taught(net, "stem..layer2", "bottlefit-slim", source, LOOK, PLAN, tmp_path / "first")
    assert not changed(first.net, again.net)
    split = split_of(first.net, first.stretch)
    values = crossing(first, source, LOOK)
    for free in (False, True):
        plan = Staged(first=2, tuned=1, channels=2, batch=8, tuned_batch=8, half_precision=False, free=free)
        done = finished(net, first, source, source.labels, LOOK, plan, tmp_path / f"second-{free}")
        own = split_of(done.net, done.stretch)
        assert changed(split.encoder, own.encoder) == free
        assert changed(split.decoder, own.decoder) and changed(first.net.layer3, done.net.layer3)  # type: ignore[arg-type]
        assert np.array_equal(crossing(done, source, LOOK), values) == (not free)
    whole, each = (bottleneck_of(values, per_channel=p) for p in (False, True))
    assert len(set(whole.low)) == 1 and whole.low[0] == values.min() and whole.high[0] == values.max()
    assert all(low >= whole.low[0] for low in each.low) and len(set(each.low)) == 2
    coding = coding_for(whole, [values], [256] * 2, range(2))
    off = np.abs(FeatureCodec(whole, coding).decode(FeatureCodec(whole, coding).encode(values[:1])) - values[:1]).max()
    assert off <= (whole.high[0] - whole.low[0]) / 255 / 2 * 1.001  # half a step, whatever the channel
    judged = evaluate(first.net, first.stretch, whole, coding, source, LOOK, source.labels)
    assert judged.right.shape == judged.bytes.shape == (24,)


def test_coarse_codes_are_what_the_tail_learns_from(tmp_path: Path) -> None:
    net, source = teacher(), Noise()
    first = taught(net, "stem..layer2", "bottlefit", source, LOOK, PLAN, tmp_path / "first")
    values = crossing(first, source, LOOK)
    wide = bottleneck_of(values, per_channel=True)
    coding = coding_for(wide, [values], [2] * 2, range(2))
    plain, coarse = (
        finished(net, first, source, source.labels, LOOK, PLAN, tmp_path / name, used)
        for name, used in (("plain", None), ("coarse", coding))
    )
    assert changed(plain.net.fc, coarse.net.fc)  # type: ignore[arg-type]
    assert np.array_equal(crossing(coarse, source, LOOK), values)
