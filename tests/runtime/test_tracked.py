"""A part that follows: exact where the law is exact, the source bit for bit where nothing changed, cheap, and hard to upset."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.core.errors import ModelError
from edgewise.core.moments import packed, unpacked, widths
from edgewise.runtime.follow import PLAIN
from edgewise.runtime.initialisers import patched
from edgewise.runtime.session import Session
from edgewise.runtime.tracked import Tracked
from tests.normalised import dimmed, network, pictures

EXACT = replace(PLAIN, deep=1.0, every=8)  # many samples, so that what is left is not the draw


def source() -> bytes:
    """The network with the statistics of its own pictures."""
    model = network()
    course = Tracked(model, aside=False, rules=replace(EXACT, calm=1e-9))
    for batch in np.split(pictures(0, 2048), 32):
        course.run({"x": batch})
    new: dict[str, NDArray[np.float32]] = {}
    for path, one in course.statistics.items():
        new[f"{path}.running_mean"], new[f"{path}.running_var"] = one.mean, one.variance
    return patched(model, new)


MODEL = source()
HOME = Session.load(MODEL)


def seen(part: Tracked, batch: NDArray[np.float32], size: int = 1) -> NDArray[np.float32]:
    return np.concatenate([part.run({"x": batch[i : i + size]})["scores"] for i in range(0, len(batch), size)])


@pytest.mark.parametrize("size", [1, 8])
def test_a_shift_that_statistics_can_take_back_is_taken_back(size: int) -> None:
    part = Tracked(MODEL, rules=EXACT, aside=False)
    seen(part, dimmed(pictures(1, 1600)), size)
    wanted = HOME.run({"x": pictures(2)})["scores"]
    off = np.abs(HOME.run({"x": dimmed(pictures(2))})["scores"] - wanted).mean()
    left = np.abs(seen(part, dimmed(pictures(2)), size) - wanted).mean()
    assert left < 0.15 * off
    assert part.course.gone == 1 and part.tally.built >= 1


def test_where_nothing_changes_the_source_answers_bit_for_bit() -> None:
    part = Tracked(MODEL, aside=False)
    seen(part, pictures(3, 400))
    assert not part.course.gone and not part.tally.built
    fresh = pictures(4, 200)
    got = seen(part, fresh)
    wanted = np.concatenate([HOME.run({"x": one[None]})["scores"] for one in fresh])
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)  # watched frames: other kernels, the same arithmetic
    assert (got == wanted).all(axis=1).mean() > 0.9
    for path, one in part.used.items():
        assert (one.mean == part.source[path].mean).all()


def test_settled_it_watches_one_frame_in_so_many() -> None:
    part = Tracked(MODEL, aside=False)
    seen(part, pictures(3, 200))
    before = part.tally
    seen(part, pictures(5, 400))
    assert part.tally.runs - before.runs == 400
    assert abs(part.tally.watched - before.watched - 400 / PLAIN.every) <= 1


def test_clean_again_it_is_the_source_again() -> None:
    part = Tracked(MODEL, aside=False)
    seen(part, dimmed(pictures(1, 300)))
    assert part.course.gone
    seen(part, pictures(6, 900))
    assert not part.course.gone
    one = pictures(7, 1)
    assert (part.run({"x": one})["scores"] == HOME.run({"x": one})["scores"]).all()


def test_another_version_goes_on_where_the_last_one_was() -> None:
    part = Tracked(MODEL, aside=False)
    seen(part, dimmed(pictures(1, 400)))
    learned = patched(MODEL, {"first.bias": np.full(6, 0.25, np.float32)})
    after = Tracked(learned, aside=False)
    after.succeed(part)
    one = dimmed(pictures(8, 1))
    new = {
        f"{path}.{name}": value
        for path, m in after.used.items()
        for name, value in (("running_mean", m.mean), ("running_var", m.variance))
    }
    np.testing.assert_allclose(
        after.run({"x": one})["scores"], Session.load(patched(learned, new)).run({"x": one})["scores"], rtol=1e-4
    )
    elsewhere = Tracked(patched(MODEL, {"first.running_mean": np.full(6, 9, np.float32)}), aside=False)
    elsewhere.succeed(part)
    assert not elsewhere.course.gone


def test_garbage_changes_nothing_and_is_counted() -> None:
    part = Tracked(MODEL, aside=False)
    seen(part, pictures(3, 50))
    before = part.course
    for bad in (np.nan, np.inf, 1e30):
        part.run({"x": np.full((1, 3, 8, 8), bad, np.float32)})
    assert part.course is before and part.tally.refused == 3
    seen(part, np.zeros((200, 3, 8, 8), np.float32))  # constant pictures are a stream like any other
    assert np.isfinite(seen(part, pictures(3, 100))).all()


def test_statistics_travel_in_half_floats() -> None:
    part = Tracked(MODEL, paths={"first.weight": "local.first.weight"}, aside=False)
    seen(part, dimmed(pictures(1, 200)))
    assert set(part.statistics) == {"local.first", "second"}
    came = unpacked(packed(part.statistics), widths(part.source))
    for path, one in part.statistics.items():
        np.testing.assert_allclose(came[path].variance, one.variance, rtol=1e-2)


def test_a_session_is_built_aside_and_swapped_between_two_frames() -> None:
    part = Tracked(MODEL)
    batch = dimmed(pictures(1, 200))
    seen(part, batch)
    for thread in threading.enumerate():
        if thread.name == "edgewise-statistics":
            thread.join()
    assert part.tally.built >= 1
    seen(part, batch[:30])
    off = np.abs(seen(part, batch[:30]) - HOME.run({"x": batch[:30]})["scores"])
    assert off.max() > 0.01


def test_a_model_without_statistics_is_refused() -> None:
    from onnx import TensorProto, helper

    told = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g", [told], [helper.make_tensor_value_info("y", 1, ["n", 3])]
    )
    with pytest.raises(ModelError, match="no normalisation"):
        Tracked(helper.make_model(graph).SerializeToString())
