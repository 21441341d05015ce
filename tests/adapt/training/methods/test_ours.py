"""Ours on recorded data: the budget holds, answers are whose they are said to be, and the device holds what its server thinks."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

torch = pytest.importorskip("torch")

from edgewise.adapt.recipe import Recipe  # noqa: E402
from edgewise.adapt.replay import OURS, STATISTICS  # noqa: E402
from edgewise.adapt.training.methods.ours import Ours  # noqa: E402
from edgewise.adapt.training.methods.table import METHODS, made  # noqa: E402
from edgewise.codec.delta import decode  # noqa: E402
from edgewise.core.errors import ConfigError  # noqa: E402
from edgewise.core.wire import FRAME_HEADER  # noqa: E402
from tests.adapt.training.methods import colours  # noqa: E402

RATE, BATCH = 10.0, 20
FREELY = Recipe(samples=1e6, bytes=1e6, trial=0.8, fresh=16, replayed=32, rate=3e-3)


@pytest.fixture(scope="module")
def net() -> colours.Net:
    return colours.trained()


def through(setting, methods, pictures, watch=lambda first: None):
    """The answers of each method to all pictures."""
    said = {name: [] for name in methods}
    for first in range(0, len(pictures), BATCH):
        batch = pictures[first : first + BATCH]
        setting.crossing.show(batch, first, np.arange(first, first + len(batch)) / RATE)
        for name, method in methods.items():
            said[name].append(method.answer(batch))
        watch(first)
    return {name: np.concatenate(rows) for name, rows in said.items()}


def test_a_cascade_gives_the_teachers_answers_and_otherwise_its_own(net):
    dusk = colours.dark(colours.drawn(400, 11)[0])
    setting = colours.setting(net, colours.Knowing(), replace(FREELY, cascade=0.3))
    methods = made(["cascade", STATISTICS], setting)
    said = through(setting, methods, dusk)
    tally = methods["cascade"].tally()
    other = (said["cascade"] != said[STATISTICS]).any(1)
    assert other.sum() == tally.answered > 0 and tally.deltas == tally.steps == 0
    assert 0.2 < tally.answered / 400 < 0.4
    crossing = setting.crossing
    crossing.show(dusk, 0, np.zeros(400))
    np.testing.assert_allclose(said["cascade"][other], crossing.told(np.flatnonzero(other).tolist()), rtol=1e-5)


def test_uploads_stay_in_their_budget_of_bytes_and_selections_share_it(net):
    dusk = colours.dark(colours.drawn(600, 12)[0])
    budget = 1000.0  # B/s, of pictures of some 800 at ten a second
    setting = colours.setting(net, colours.Knowing(), replace(FREELY, bytes=budget))
    names = ["random uploads", "entropy uploads", "window uploads"]
    methods = made(names, setting)
    over = []

    def watch(first):
        seconds = (first + BATCH) / RATE
        over.extend(m.tally().bytes_up - budget * (seconds + 5) for m in methods.values())

    through(setting, methods, dusk, watch)
    assert max(over) <= 0
    for name in names:
        tally = methods[name].tally()
        assert tally.bytes_up > 0.5 * budget * 60, f"{name} leaves its budget unused"
        assert tally.answered == 0 and sum(n for why, n in tally.reasons.items() if not why.startswith("server")) == 600


def test_the_device_holds_what_its_server_believes_to_the_bit(net):
    pictures = colours.drawn(600, 13)[0]
    setting = colours.setting(colours.disturbed(net, 3), colours.Knowing(), FREELY, delay=2)
    method = METHODS[OURS](setting)
    assert isinstance(method, Ours)
    source = method.affine()
    shipped = []
    deltas = method.adapter.deltas
    method.adapter.deltas = lambda: [shipped.append(s) or s for s in deltas()]  # type: ignore[assignment]
    through(setting, {OURS: method}, pictures)
    tally = method.tally()
    assert tally.deltas > 2
    there = method.adapter.there
    for path, value in method.affine().items():
        np.testing.assert_array_equal(value, there[path])
    assert any((value != source[path]).any() for path, value in method.affine().items())
    arrived = shipped[: tally.deltas]
    assert tally.bytes_down == sum(len(s.data) + FRAME_HEADER for s in arrived)
    assert all(decode(s.data).parent == s.parent for s in arrived)


def test_learning_mends_what_statistics_cannot(net):
    pictures, labels = colours.drawn(1000, 14)
    setting = colours.setting(colours.disturbed(net, 3), colours.Knowing(), FREELY)
    methods = made(["random uploads", STATISTICS], setting)
    said = through(setting, methods, pictures)
    right = {name: (s.argmax(1) == labels)[600:].mean() for name, s in said.items()}
    assert right["random uploads"] > right[STATISTICS] + 0.1


def test_where_there_is_nothing_to_win_the_device_is_left_alone(net):
    dusk = colours.dark(colours.drawn(800, 13)[0])
    setting = colours.setting(net, colours.Knowing(), FREELY)
    methods = made(["random uploads", STATISTICS], setting)
    counts = []
    said = through(setting, methods, dusk, lambda first: counts.append(methods["random uploads"].tally().uploaded))
    assert (counts[-1] - counts[19]) / 400 < 0.06, "it goes on sending at 80 % though its teacher has nothing to say"
    assert methods["random uploads"].tally().deltas == 0
    np.testing.assert_array_equal(said["random uploads"], said[STATISTICS])


def test_a_broken_teacher_teaches_nothing_and_answers_nothing(net):
    dusk = colours.dark(colours.drawn(300, 15)[0])
    setting = colours.setting(net, colours.Knowing(broken=True), replace(FREELY, cascade=0.3))
    methods = made([OURS, "upload all", STATISTICS, "none"], setting)
    said = through(setting, methods, dusk)
    np.testing.assert_array_equal(said[OURS], said[STATISTICS])
    np.testing.assert_allclose(said["upload all"], said["none"], rtol=1e-5, atol=1e-6)
    assert methods[OURS].tally().deltas == methods[OURS].tally().steps == 0
    assert methods["upload all"].tally().reasons == {"no answer of the teacher": 300}


def test_everything_sent_is_everything_answered_by_the_teacher(net):
    pictures, labels = colours.drawn(60, 16)
    teacher = colours.Knowing()
    setting = colours.setting(net, teacher)
    methods = made(["upload all", "CEMA as shipped"], setting)
    said = through(setting, methods, pictures)
    tally = methods["upload all"].tally()
    assert tally.uploaded == tally.answered == tally.seen == 60 and tally.uploaded_share == 1
    assert (said["upload all"].argmax(1) == labels).mean() > 0.9
    assert teacher.asked == 60, "two methods asked the teacher twice about one picture"


def test_a_method_that_is_none_is_named(net):
    with pytest.raises(ConfigError, match="got Tante; allowed: none, batch statistics"):
        made(["none", "Tante"], colours.setting(net, colours.Knowing()))
