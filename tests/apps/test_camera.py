"""A picture is shown with the answer of its own frame, whichever of the two comes first."""

from __future__ import annotations

import pytest

from edgewise.apps.vision.camera import HELD, KEPT, PATIENCE, Camera
from edgewise.apps.vision.status import NodeStatus
from edgewise.core.answer import Answer, Box, FrameRecord
from edgewise.core.errors import ImageError

JPEG = b"\xff\xd8\xff\xe0 picture of frame %d"


def record(frame: int) -> FrameRecord:
    answer = Answer((Box(0, 0, 1, 1, frame / 1000, "vehicle"),))
    return FrameRecord("n", frame, frame / 10, "answered", "split", "p", "w", answer=answer)


def shown(camera: Camera) -> tuple[int | None, float | None, bytes | None]:
    view = camera.picture()
    assert view is not None
    return view.frame, view.boxes[0].score if view.boxes else None, camera.jpeg(view.version)


@pytest.mark.parametrize("picture_first", [True, False])
def test_picture_and_answer_of_one_frame_meet(picture_first: bool) -> None:
    camera = Camera("n", 0, 0.0)
    camera.record(record(5), 0.0)
    if picture_first:
        assert not camera.preview(JPEG % 7, 7, 0.0)
        assert camera.picture() is None
        assert camera.record(record(7), 0.1)
    else:
        camera.record(record(7), 0.0)
        assert camera.preview(JPEG % 7, 7, 0.1)
    camera.record(record(8), 0.2)
    assert shown(camera) == (7, 0.007, JPEG % 7)


def test_pictures_at_full_rate_meet_records_that_come_in_batches() -> None:
    camera = Camera("n", 0, 0.0)
    for frame in range(10):
        camera.preview(JPEG % frame, frame, 0.0)
    for frame in range(6):
        camera.record(record(frame), 1.0)
    assert shown(camera) == (5, 0.005, JPEG % 5)
    assert not camera.overdue(1.0)


def test_a_picture_whose_answer_never_comes_is_shown_without() -> None:
    camera = Camera("n", 0, 0.0)
    camera.preview(JPEG % 3, 3, 0.0)
    assert not camera.overdue(PATIENCE)
    assert camera.overdue(PATIENCE + 0.1)
    assert shown(camera) == (3, None, JPEG % 3)
    assert not camera.overdue(PATIENCE + 9)


def test_a_picture_without_a_number_goes_with_the_last_answer() -> None:
    camera = Camera("n", 0, 0.0)
    camera.record(record(4), 0.0)
    assert camera.preview(JPEG % 4, None, 0.0)
    assert shown(camera) == (4, 0.004, JPEG % 4)


def test_a_browser_gets_the_version_it_asks_for_and_few_are_kept() -> None:
    camera = Camera("n", 0, 0.0)
    for frame in range(1, 20):
        camera.record(record(frame), 0.0)
        camera.preview(JPEG % frame, frame, 0.0)
    assert camera.jpeg(18) == JPEG % 18
    assert camera.jpeg(None) == JPEG % 19
    assert camera.jpeg(19 - KEPT) is None
    for frame in range(100, 400):
        camera.preview(JPEG % frame, frame, 0.0)
    assert len(camera._pictures) == HELD


def test_the_mode_is_the_records_while_they_come_and_then_the_status() -> None:
    camera = Camera("n", 0, 0.0)
    status = NodeStatus("n", True, mode="local", point="small", why="the link is down", quality=0.7)
    camera.record(record(1), 0.0)
    camera.said(status, 0.5)
    view = camera.view(0.6)
    assert (view.mode, view.point, view.why, view.quality) == ("split", "p", "w", None)
    view = camera.view(5.0)
    assert (view.mode, view.point, view.why, view.quality) == ("local", "small", "the link is down", 0.7)
    camera.record(record(2), 6.0)
    assert camera.view(9.0).mode == "split"


@pytest.mark.parametrize("body", [b"", b"GIF89a", b"<script>", b"\xff\xd8\xff" + bytes(2 << 20)])
def test_what_is_no_jpeg_is_refused(body: bytes) -> None:
    camera = Camera("n", 0, 0.0)
    with pytest.raises(ImageError, match="preview picture is none"):
        camera.preview(body, 1, 0.0)
    assert camera.picture() is None
