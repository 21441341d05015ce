"""The detector's parts: shapes, bounds, peaks, and budgets of size and operations."""

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.training.nets.detector import COLUMNS, ROWS, Head, Local, Maps, Tail, prepared  # noqa: E402

GRID = (ROWS, COLUMNS)


def operations(net, *inputs):
    """Multiply-adds of the convolutions, counted as they run."""
    total = 0

    def count(layer, _, out):
        nonlocal total
        total += layer.weight[0].numel() * out[0].numel()

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        net.eval()(*inputs)
    for hook in hooks:
        hook.remove()
    return total


def picture(batch, height, width):
    return torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_head_gives_a_bounded_bottleneck_and_tail_the_three_maps():
    with torch.no_grad():
        bottleneck = Head(6).eval()(picture(2, 180, 320))
        score, box, occupied = Tail(6).eval()(bottleneck)
    assert bottleneck.shape == (2, 6, *GRID) and bottleneck.min() >= 0 and bottleneck.max() <= 1
    assert score.shape == occupied.shape == (2, 1, *GRID) and box.shape == (2, 4, *GRID)
    for values in (score, box, occupied):
        assert values.min() >= 0 and values.max() <= 1


def test_the_net_that_is_not_cut_gives_the_same_maps():
    with torch.no_grad():
        shapes = [tuple(out.shape) for out in Local().eval()(picture(2, 90, 160))]
    assert shapes == [(2, 1, *GRID), (2, 4, *GRID), (2, 1, *GRID)]


def test_a_device_can_afford_head_and_local():
    assert operations(Head(8), picture(1, 180, 320)) < 25e6
    assert operations(Local(), picture(1, 90, 160)) < 5e6


def test_of_two_neighbours_only_the_higher_peak_is_left():
    score = torch.full((1, 1, *GRID), -5.0)
    score[0, 0, 4, 4], score[0, 0, 4, 5], score[0, 0, 10, 20] = 2.0, 1.0, 0.5
    peaks, _, _ = Maps.answer((score, torch.zeros(1, 4, *GRID), score))
    assert peaks[0, 0, 4, 4] > 0.8 and peaks[0, 0, 4, 5] == 0 and peaks[0, 0, 10, 20] > 0.6


def test_padding_repeats_the_last_row_and_scales_bytes():
    x = prepared(picture(1, 180, 320), 8)
    assert x.shape == (1, 3, 184, 320) and x.max() <= 1
    assert torch.equal(x[:, :, 183], x[:, :, 179])
