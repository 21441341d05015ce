"""Steps, batches and frames: the same number gives the same batch, boxes follow pictures, and a few steps help."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")
pytest.importorskip("cv2", reason="the renderer needs OpenCV: pip install 'edgewise[camera]'")

from edgewise.training import augment  # noqa: E402
from edgewise.training.frames import Frames, clip, padded, rendered, store, stored  # noqa: E402
from edgewise.training.nets.detector import Local  # noqa: E402
from edgewise.training.steps import LEVELS, Draw, Split, SplitStep, WholeStep, disturbed  # noqa: E402


@pytest.fixture(scope="module")
def frames():
    return rendered([1000, 1001], 1, compressed=0.5)


def test_rendered_frames_have_every_condition_and_the_network_size(frames):
    assert frames.pictures.shape == (12, 180, 320, 3) and len(set(frames.condition)) == 6
    assert set(frames.block) == {"junction 1000", "junction 1001"}
    assert sum(len(frames.corners(i)) for i in range(12)) > 0


def test_a_shard_comes_back_as_it_went(frames, tmp_path):
    assert stored(tmp_path, "a") is None
    store(tmp_path, "a", frames)
    back = stored(tmp_path, "a")
    assert np.array_equal(back.pictures, frames.pictures) and np.array_equal(back.boxes, frames.boxes, equal_nan=True)
    assert (back.condition, back.block) == (frames.condition, frames.block)


def test_the_clip_is_split_by_time_without_overlap(data_pack):
    pack = data_pack("opendatacam.tar")
    parts = {name: clip(pack, name) for name in ("train", "validate", "test")}
    assert [len(p) for p in parts.values()] == [262, 88, 87]
    blocks = [set(p.block) for p in parts.values()]
    assert not (blocks[0] & blocks[1] or blocks[1] & blocks[2])


def bright_square(generator):
    """A dark frame with one bright square, so that where the box is can be seen."""
    picture = np.full((180, 320, 3), 20, np.uint8)
    x, y = generator.integers(60, 240), generator.integers(40, 120)
    picture[y : y + 30, x : x + 40] = 250
    return picture, padded(np.array([[x / 320, y / 180, (x + 40) / 320, (y + 30) / 180]]))


@pytest.mark.parametrize("seed", range(12))
def test_boxes_follow_what_augmentation_does_to_the_picture(seed):
    generator = np.random.default_rng(seed)
    drawn = [bright_square(generator) for _ in range(4)]
    pictures, boxes = np.stack([d[0] for d in drawn]), np.stack([d[1] for d in drawn])
    x, y = augment.batch(pictures, boxes, generator, (180, 320))
    for image, (x0, y0, x1, y1) in zip(x.mean(1).numpy(), y[:, 0].numpy()):
        if np.isnan(x0) or (x1 - x0) * 320 < 8 or (y1 - y0) * 180 < 8:
            continue
        rows, columns = slice(int(y0 * 180) + 2, int(y1 * 180) - 2), slice(int(x0 * 320) + 2, int(x1 * 320) - 2)
        inside = image[rows, columns].mean()
        assert inside > np.median(image) + 0.05 or np.median(image) > 0.6  # a light surround hides the contrast


def test_a_disturbed_bottleneck_is_what_the_codec_leaves_and_passes_gradients():
    generator = np.random.default_rng(0)
    bottleneck = torch.rand(64, 2, 3, 4, requires_grad=True)
    rounded = disturbed(bottleneck, generator)
    worst = (rounded - bottleneck).abs().amax((1, 2, 3)).detach().numpy()
    assert (worst <= 0.5 / min(LEVELS) + 1e-6).all() and (worst > 0.5 / 15).any() and (worst < 1e-4).any()
    rounded.sum().backward()
    assert torch.equal(bottleneck.grad, torch.ones_like(bottleneck))


def test_the_same_number_draws_the_same_batch_and_real_frames_have_their_share(frames):
    real = Frames(frames.pictures[:3] * 0, frames.boxes[:3], frames.condition[:3], frames.block[:3])
    draw = Draw(frames, real, 8, 0.25, seed=1)
    a, b, c = draw(5, (90, 160)), draw(5, (90, 160)), draw(6, (90, 160))
    torch.manual_seed(0)
    assert torch.equal(a[1].nan_to_num(-1), b[1].nan_to_num(-1)) and not torch.equal(a[1].nan_to_num(-1), c[1].nan_to_num(-1))
    assert a[0].shape == (8, 3, 90, 160) and a[0].min() >= 0 and a[0].max() <= 1


@pytest.mark.parametrize("kind", ["split", "local"])
def test_a_few_steps_make_the_loss_smaller(frames, kind):
    torch.manual_seed(0)
    draw = Draw(frames, None, 4, 0.0, seed=2)
    net = Split(4) if kind == "split" else Local(wide=8)
    step = SplitStep(draw, 0.1) if kind == "split" else WholeStep(draw, (90, 160))
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = []
    for number in range(24):
        loss, _ = step(net.train(), number)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all() and np.mean(losses[-6:]) < 0.8 * np.mean(losses[:3])
