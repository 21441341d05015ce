"""Clips and cameras: a real file made with OpenCV, a camera of scripted grabs, and the machine without OpenCV."""

import builtins
import math
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.core.errors import InputError, SourceError
from edgewise.data.source import open_source
from edgewise.data.sources import camera
from edgewise.data.sources.camera import LOST, STALE, Camera, rtsp, without_password
from edgewise.data.sources.video import PASSED_OVER


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames at 10 a second, each brighter than the one before."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for i in range(20):
        writer.write(np.full((48, 64, 3), (0, 0, 10 * i), np.uint8))  # BGR: red
    writer.release()
    return path


def test_a_clip_gives_every_frame_in_rgb(clip: Path) -> None:
    samples = list(open_source(str(clip), rate=math.inf))
    assert [s.identity for s in samples] == [f"clip.mp4#{i}" for i in range(20)]
    red = np.array([s.image[24, 32] for s in samples], int)
    assert np.abs(red[:, 0] - 10 * np.arange(20)).max() < 12
    assert red[:, 2].max() < 30


def test_a_lower_rate_passes_frames_over_and_keeps_the_time_of_the_picture(clip: Path) -> None:
    now = [0.0]
    source = open_source(str(clip), rate=4, clock=lambda: now[0])
    source.pace._pause = lambda s: bool(now.__setitem__(0, now[0] + s))  # type: ignore[attr-defined]
    samples = list(source)
    shown = [int(s.identity.split("#")[1]) for s in samples]
    assert shown == [0, 2, 5, 7, 10, 12, 15, 17]
    assert [s.captured for s in samples] == pytest.approx([i / 4 for i in range(8)])
    assert len(shown) + source.skipped[PASSED_OVER] == 20


def test_a_clip_loops_and_its_own_rate_is_the_most(clip: Path) -> None:
    source = open_source(str(clip), rate=1000, loop=True)
    assert source.rate == 10
    source.pace.interval = 0.0
    frames = [s.identity for s in islice(source, 25)]
    assert frames[20:] == frames[:5]


def test_a_clip_that_vanishes_between_two_rounds_is_a_sentence(clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    samples = iter(open_source(str(copy), rate=math.inf, loop=True))
    for _ in range(20):
        next(samples)
    copy.unlink()
    with pytest.raises(SourceError, match="gone or unreadable"):
        next(samples)


def test_a_clip_cut_short_is_a_sentence_or_a_count(clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    try:
        source = open_source(str(cut), rate=math.inf)
        assert len(list(source)) + sum(source.skipped.values()) == 20
    except SourceError as error:
        assert "cut.mp4" in str(error)


def frame(value: int) -> np.ndarray[Any, Any]:
    return np.full((4, 4, 3), value, np.uint8)


def test_a_camera_shows_the_present_and_counts_what_it_dropped() -> None:
    asked, ready = threading.Event(), threading.Event()

    def grabs() -> Iterator[Any]:
        yield frame(0)
        asked.wait(5)
        for i in range(1, 6):
            yield frame(i)
        ready.set()
        yield None

    script = grabs()
    released = threading.Event()
    source = Camera("cam", lambda: (lambda: next(script), released.set))
    samples = iter(source)
    assert next(samples).image[0, 0, 0] == 0
    asked.set()
    ready.wait(5)
    assert next(samples).image[0, 0, 0] == 5
    assert source.skipped[STALE] == 4
    with pytest.raises(SourceError, match=r"went away while it was running.*2 frames"):
        next(samples)
    assert released.wait(5)


def test_a_camera_that_comes_back_is_opened_again_in_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "RETRY", 0.001)
    opened: list[int] = []

    def opener() -> Any:
        opened.append(1)
        if len(opened) in (2, 3):
            raise SourceError("the camera cannot be opened")
        script = iter([frame(len(opened)), None])
        return (lambda: next(script)), (lambda: None)

    source = Camera("cam", opener, loop=True)
    assert [int(s.image[0, 0, 0]) for s in islice(source, 2)] == [1, 4]
    assert source.skipped[LOST] == 1
    source.close()


def test_closing_ends_a_camera_that_gives_nothing() -> None:
    silent = threading.Event()
    source = Camera("cam", lambda: (lambda: frame(1) if silent.wait(5) else None, lambda: None))
    thread = threading.Thread(target=lambda: list(source))
    thread.start()
    source.close()
    thread.join(3)
    assert not thread.is_alive()
    silent.set()


def test_a_real_capture_that_ends_is_a_camera_that_went_away(clip: Path) -> None:
    source = Camera("clip", rtsp(str(clip)))
    with pytest.raises(SourceError, match="went away"):
        list(source)
    assert source.given + source.skipped[STALE] == 20


def test_a_password_is_never_shown() -> None:
    assert without_password("rtsp://me:p@ss@gate:554/1") == "rtsp://…@gate:554/1"
    pytest.importorskip("cv2")
    with pytest.raises(SourceError, match="cannot be opened") as caught:
        open_source("rtsp://me:secret@127.0.0.1:9/1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("spec", ["clip", "/dev/video0", "rtsp://host/1"])
def test_without_opencv_the_sentence_names_the_command(clip: Path, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    imported: Callable[..., Any] = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "cv2":
            raise ImportError("No module named 'cv2'")
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SourceError, match=r"needs OpenCV.*pip install -c constraints.txt '\.\[camera\]'"):
        open_source(str(clip) if spec == "clip" else spec)


def test_the_rendered_junction_is_the_same_at_any_pace() -> None:
    pytest.importorskip("cv2")
    quick = list(islice(open_source("junction:7", rate=math.inf), 3))
    paced = list(islice(open_source("junction:7:clear"), 2))
    assert [s.identity for s in quick] == [f"junction:7:clear@{t:.3f}" for t in (0, 0.1, 0.2)]
    assert (quick[1].image == paced[1].image).all()
    assert (quick[0].image != quick[2].image).any()
    with pytest.raises(InputError, match="no such condition"):
        open_source("junction:7:sandstorm")
