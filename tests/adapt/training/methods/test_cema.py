"""CEMA as published: its exclusions, its replay, and what it would really send."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

torch = pytest.importorskip("torch")

from edgewise.adapt.training.methods.cema import PAPER, SHIPPED, Cema, Published  # noqa: E402
from edgewise.adapt.training.methods.table import Setting  # noqa: E402
from edgewise.core.wire import FRAME_HEADER  # noqa: E402
from tests.adapt.training.methods import colours  # noqa: E402
from tests.adapt.training.methods.test_ours import through  # noqa: E402


@pytest.fixture(scope="module")
def net() -> colours.Net:
    return colours.trained()


def cema(net, published: Published = PAPER) -> tuple[Setting, Cema]:
    setting = colours.setting(net, colours.Knowing())
    return setting, Cema(setting.subject, setting.uplink, setting.prepare, 0, published)


def test_exclusions_leave_out_what_they_say_and_all_is_counted(net):
    dusk = colours.dark(colours.drawn(300, 21)[0])
    setting, method = cema(net, replace(PAPER, warm=None))
    through(setting, {"cema": method}, dusk)
    tally = method.tally()
    left = sum(tally.reasons.values())
    assert tally.uploaded + left == 300 and 0 < tally.uploaded < 300
    assert tally.reasons["low-informative"] > 0
    nobody, blind = cema(net, replace(PAPER, warm=None, floor=0.4))
    through(nobody, {"cema": blind}, dusk)
    assert blind.tally().uploaded == 0 and blind.tally().steps == 0 and blind.tally().bytes_down == 0


def test_a_threshold_that_moves_follows_the_mean_doubt(net):
    clean, _ = colours.drawn(200, 22)
    dusk = colours.dark(colours.drawn(200, 23)[0])
    still, moving = (cema(net, replace(PAPER, floor=None, warm=w, rate=1e-9))[1] for w in (None, 100))
    for method in (still, moving):
        setting = colours.setting(net, colours.Knowing())
        method._uplink = setting.uplink
        through(setting, {"cema": method}, np.concatenate([clean, dusk]))
    assert moving.tally().uploaded != still.tally().uploaded  # doubt rises at dusk, and the released threshold with it


def test_the_configuration_that_ships_is_another_method(net):
    dusk = colours.dark(colours.drawn(300, 24)[0])
    setting, method = cema(net, SHIPPED)
    through(setting, {"cema": method}, dusk)
    reasons = method.tally().reasons
    assert "low-informative" not in reasons and reasons["redundant"] > 0


def test_the_device_gets_statistics_too_and_every_byte_is_counted(net):
    dusk = colours.dark(colours.drawn(600, 25)[0])
    setting, method = cema(net, replace(PAPER, warm=None, floor=None))
    through(setting, {"cema": method}, dusk)
    tally = method.tally()
    assert tally.deltas > 0 and tally.steps >= tally.deltas
    for path, layer in method._there.items():
        torch.testing.assert_close(layer.mean, method._here[path].mean)
        torch.testing.assert_close(layer.weight, method._here[path].weight)
        assert not torch.equal(layer.variance, net.get_submodule(path.removeprefix("net.")).running_var)
    values = sum(p.numel() for p in method._affine.values())
    each = tally.bytes_down / tally.deltas - FRAME_HEADER
    assert 4 * 2 * values < each < 4 * 2 * values + 2000  # γ, β, μ and σ², float32, and a header


def test_it_steps_without_uploads_once_there_is_enough_to_replay(net):
    dusk = colours.dark(colours.drawn(800, 26)[0])
    setting, method = cema(net, replace(PAPER, warm=None, floor=None, least=64))
    through(setting, {"cema": method}, dusk)
    assert method.tally().steps > method.tally().uploaded // 32
