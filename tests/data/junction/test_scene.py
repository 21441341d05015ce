"""Rendered frames: exact boxes and masks, weather that does what physics says, and the same seed the same picture."""

import sys

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="the renderer needs OpenCV: pip install 'edgewise[camera]'")

from edgewise.core.errors import ConfigError  # noqa: E402
from edgewise.data import junction as room  # noqa: E402
from edgewise.data.boxes import occupied  # noqa: E402
from edgewise.data.junction.scene import Junction, role  # noqa: E402
from edgewise.data.junction.weather import CONDITIONS  # noqa: E402


@pytest.fixture(scope="module")
def seen():
    return {seed: Junction(seed) for seed in (0, 7)}


def test_a_box_is_the_smallest_that_holds_the_visible_pixels_of_its_vehicle(seen):
    counted = 0
    for scene in seen.values():
        for t in (4.0, 20.0, 33.0):
            frame = scene.render(t)
            for corners, number in zip(frame.boxes, frame.identity):
                rows, columns = np.nonzero(frame.mask == number)
                exact = [columns.min() / 640, rows.min() / 360, (columns.max() + 1) / 640, (rows.max() + 1) / 360]
                assert np.allclose(corners, exact)
                assert len(rows) >= 48
                counted += 1
            assert np.array_equal(frame.cells, occupied(frame.boxes))
    assert counted > 10


def test_nearer_vehicles_hide_farther_ones(seen):
    for scene in seen.values():
        frame = scene.render(20.0)
        assert np.array_equal(frame.identity, np.sort(frame.identity))  # drawn far to near
        assert (np.diff(frame.distance) <= 1e-9).all()


def test_a_frame_is_a_function_of_seed_condition_and_time():
    first, second = Junction(3, "rain"), Junction(3, "clear")
    second.set_condition("rain")
    for a, b in zip(first.frame(12.34), second.frame(12.34)):
        assert np.array_equal(a, b)
    assert not np.array_equal(first.frame(12.34)[0], first.frame(13.34)[0])


def test_vehicles_are_where_they_were_whatever_the_weather(seen):
    scene = seen[0]
    boxes = {}
    for condition in ("clear", "rain", "night"):
        scene.set_condition(condition)
        boxes[condition] = scene.frame(20.0)[1]
    scene.set_condition("clear")
    assert np.array_equal(boxes["clear"], boxes["rain"]) and np.array_equal(boxes["clear"], boxes["night"])


def contrast(image, where):
    return float(image[where].astype(float).std())


def test_fog_takes_contrast_by_distance_and_night_takes_light(seen):
    scene = seen[0]
    pictures = {}
    for condition in CONDITIONS:
        scene.set_condition(condition)
        pictures[condition] = scene.frame(20.0)[0]
        assert pictures[condition].shape == (360, 640, 3) and pictures[condition].dtype == np.uint8
    scene.set_condition("clear")
    distance = scene.camera.ground()
    near, far = distance < np.quantile(distance, 0.2), (distance > 60) & (distance < 120)
    kept = {
        name: {c: contrast(pictures[c], where) / contrast(pictures["clear"], where) for c in ("haze", "fog")}
        for name, where in (("near", near), ("far", far))
    }
    assert kept["far"]["fog"] < kept["far"]["haze"] < 1 and kept["far"]["fog"] < kept["near"]["fog"]
    brightness = {c: pictures[c].mean() for c in CONDITIONS}
    assert brightness["night"] < brightness["low_light"] < 0.6 * brightness["clear"]


def test_what_the_air_hides_is_not_counted(seen):
    scene = seen[7]
    counts = {}
    for condition in ("clear", "fog"):
        scene.set_condition(condition)
        frames = [scene.render(float(t)) for t in range(0, 60, 6)]
        counts[condition] = sum(len(f.boxes) for f in frames)
        limit = 3.0 / scene.weather.extinction if scene.weather.extinction else np.inf
        assert all((f.distance <= limit + 1e-6).all() for f in frames)
    scene.set_condition("clear")
    assert counts["fog"] <= counts["clear"]


def test_seeds_have_roles_that_are_apart():
    assert [role(s) for s in (0, 99, 100, 199, 200, 299, 300, 1000)] == [
        *("show", "show", "test", "test", "validate", "validate", "train", "train")
    ]
    with pytest.raises(ConfigError):
        role(-1)


def test_an_unknown_condition_is_refused_with_what_is_known():
    with pytest.raises(ConfigError, match="night"):
        Junction(0, "meteor shower")  # type: ignore[arg-type]


def test_without_opencv_the_room_can_be_imported_and_says_what_is_missing(monkeypatch):
    for name in [n for n in sys.modules if n.startswith("edgewise.data.junction.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match="OpenCV") as refusal:
        _ = room.Junction
    assert "pip install" in str(refusal.value)
