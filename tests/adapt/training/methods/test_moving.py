"""Statistics that follow the stream as on a device: the same rules, at home while nothing changed, any batch alike."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

torch = pytest.importorskip("torch")

from edgewise.adapt.training.methods.moving import Following, MovingStatistics  # noqa: E402
from edgewise.adapt.training.methods.still import Unchanged  # noqa: E402
from edgewise.adapt.training.methods.subject import subject  # noqa: E402
from edgewise.adapt.training.student import of_parts  # noqa: E402
from edgewise.core.decoding import Classes  # noqa: E402
from edgewise.runtime.follow import PLAIN  # noqa: E402
from edgewise.runtime.tracked import Tracked  # noqa: E402
from tests.adapt.training import small_parts  # noqa: E402
from tests.adapt.training.methods import colours  # noqa: E402


@pytest.fixture(scope="module")
def net() -> colours.Net:
    return colours.trained()


def batches(pictures, size):
    return [pictures[i : i + size] for i in range(0, len(pictures), size)]


def test_a_device_that_sees_the_same_frames_has_the_same_statistics():
    model, paths = small_parts.part("batch", pictures=True)
    draw = np.random.default_rng(3)
    frames = (draw.random((300, 5, 5, 3)) * 90).astype(np.uint8)  # darker than what the part's statistics are of
    device = Tracked(model, {p.initialiser: path for path, p in paths.items()}, aside=False)
    ours = Following(subject(of_parts({"local": model}, paths, Classes("logits")), ("a", "b", "c")))
    assert list(ours.layers) == [layer.path for layer in device.layers]
    for frame in frames:
        said = device.run({"picture": frame[None]})["logits"]
        device.told(int(said[0].argmax()), 3)
        ours.logits(frame[None])
    assert device.course.gone > 0, "the frames changed nothing, so nothing was compared"
    for a, b in ((device.course.running, ours.course.running), (device.course.plain, ours.course.plain)):
        np.testing.assert_allclose(a.mean, b.mean, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(a.second, b.second, rtol=2e-3, atol=2e-3)
    assert ours.course.away == pytest.approx(device.course.away, rel=0.02)


def test_a_stream_has_the_same_answers_and_statistics_however_it_is_cut(net):
    """Clean, dusk, clean: what a device that sees frame after frame would do, whatever the batch."""
    pictures, _ = colours.drawn(900, 6)
    pictures[300:600] = colours.dark(pictures[300:600])
    answers, courses = [], []
    for size in (1, 8, 50):
        following = Following(colours.of(net))
        answers.append(np.concatenate([following.logits(batch).argmax(1) for batch in batches(pictures, size)]))
        courses.append(following.course)
    assert courses[0].alarms, "nothing happened on this stream"
    for answer, course in zip(answers[1:], courses[1:]):
        assert (answer == answers[0]).mean() >= 0.99
        assert (course.alarms, course.compared) == (courses[0].alarms, courses[0].compared)
        np.testing.assert_allclose(course.running.mean, courses[0].running.mean, atol=1e-3)
        np.testing.assert_allclose(course.running.second, courses[0].running.second, atol=1e-3)


def test_nothing_is_watched_between_frames_that_are_due(net):
    clean, _ = colours.drawn(400, 8)
    following = Following(colours.of(net), replace(PLAIN, calm=10.0))
    for batch in batches(clean, 50):
        following.logits(batch)
    settled = 400 - PLAIN.dense + PLAIN.prior  # the first samples weigh as the prior does
    assert following.course.running.samples == PLAIN.dense + settled // PLAIN.every


def test_while_nothing_changes_the_model_is_the_source_bit_for_bit(net):
    clean, _ = colours.drawn(400, 8)
    quiet = replace(PLAIN, calm=10.0)
    method, source = MovingStatistics(colours.of(net), quiet), Unchanged(colours.of(net))
    for batch in batches(clean[:200], 1):
        np.testing.assert_array_equal(method.answer(batch), source.answer(batch))
    for batch in batches(clean[200:], 20):  # cut elsewhere, which rounds elsewhere
        np.testing.assert_allclose(method.answer(batch), source.answer(batch), atol=1e-6)


def test_at_dusk_statistics_win_back_much_of_what_was_lost(net):
    pictures, labels = colours.drawn(600, 9)
    dusk = colours.dark(pictures)
    right = []
    for method in (Unchanged(colours.of(net)), MovingStatistics(colours.of(net))):
        said = np.concatenate([method.answer(batch) for batch in batches(dusk, 25)])
        right.append((said.argmax(1) == labels)[200:].mean())
    assert right[1] > right[0] + 0.1


def test_frames_that_are_no_numbers_change_nothing_and_are_counted():
    model, paths = small_parts.part("batch")
    method = MovingStatistics(subject(of_parts({"local": model}, paths, Classes("logits")), ("a", "b", "c")))
    frames = small_parts.pictures(30)
    method.answer(frames)
    before = method.following.statistics
    said = method.answer(np.full((4, 3, 5, 5), np.nan, np.float32))
    assert np.isnan(said).all() and method.tally().reasons == {"moments are no numbers": 4}
    for path, one in method.following.statistics.items():
        np.testing.assert_array_equal(one.mean, before[path].mean)


def test_a_net_without_batch_normalisation_is_as_it_was():
    model, paths = small_parts.part("group")
    of = subject(of_parts({"local": model}, paths, Classes("logits")), ("a", "b", "c"))
    frames = small_parts.pictures(40)
    np.testing.assert_allclose(
        MovingStatistics(of).answer(frames), torch.from_numpy(small_parts.answered(model, frames)).softmax(1), atol=1e-5
    )
