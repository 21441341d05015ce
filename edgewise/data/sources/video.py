"""A video file as a camera: it plays at its own speed, or at a lower rate by leaving frames out.

OpenCV (the [camera] extra) decodes. A rate below the clip's own takes the frame that is due at each tick, so that time in
the picture stays true; the frames between are counted as passed over. Whether a clip was cut short is judged by the number of
frames that its header announces, which some containers only estimate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgewise.core.errors import SourceError
from edgewise.data.sources.feed import Clock, Picture, Source

PASSED_OVER = "between two ticks of the rate"
CUT_SHORT = "announced by the clip but not in it"
SUFFIXES = frozenset({".mp4", ".m4v", ".mkv", ".avi", ".mov", ".webm", ".mpg", ".mpeg", ".ts", ".h264", ".h265", ".mjpeg"})
_COMMON_RATES = (1.0, 240.0)  # frames a second that a header may claim; some hold 0 or a clock's 90,000


def opencv(what: str) -> Any:
    """The module cv2, or a sentence that says how to get it; `what` needs it."""
    try:
        import cv2
    except ImportError:
        raise SourceError(
            f"{what} needs OpenCV, which is not installed here",
            hint="Install it with `pip install -c constraints.txt '.[camera]'`.",
        ) from None
    return cv2


class Video(Source):
    """The frames of the clip at `path`; `rate` None is the clip's own, infinite is as fast as they are asked for."""

    def __init__(self, path: Path, rate: float | None = None, loop: bool = False, clock: Clock = time.monotonic) -> None:
        self._cv2 = opencv("a video file")
        self._path, self._loop = path, loop
        capture = self._open()
        claimed = float(capture.get(self._cv2.CAP_PROP_FPS))
        capture.release()
        self.own_rate = claimed if _COMMON_RATES[0] <= claimed <= _COMMON_RATES[1] else 25.0
        paced = self.own_rate if rate is None else rate
        super().__init__(str(path), paced if paced == math.inf else min(paced, self.own_rate), clock)

    def pictures(self) -> Iterator[Picture]:
        while not self._closing.is_set():
            shown = 0
            capture = self._open()
            try:
                for index, picture in self._round(capture):
                    shown += 1
                    yield f"{self._path.name}#{index}", picture
            finally:
                capture.release()
            if shown == 0 and not self._closing.is_set():
                raise SourceError("the video holds no frame that can be decoded", got=self._path)
            if not self._loop:
                return

    def _round(self, capture: Any) -> Iterator[tuple[int, Any]]:
        assert self.rate is not None
        step = 1.0 if self.rate == math.inf else self.own_rate / self.rate
        announced = int(capture.get(self._cv2.CAP_PROP_FRAME_COUNT))
        index, ticks = 0, 0
        while not self._closing.is_set() and capture.grab():
            if index < math.floor(ticks * step + 1e-9):
                self.skipped[PASSED_OVER] += 1
            else:
                good, frame = capture.retrieve()
                if good:
                    yield index, self._cv2.cvtColor(frame, self._cv2.COLOR_BGR2RGB)
                else:
                    self.skipped["the frame is damaged"] += 1
                ticks += 1
            index += 1
        if index < announced and not self._closing.is_set():
            self.skipped[CUT_SHORT] += announced - index

    def _open(self) -> Any:
        try:
            size = self._path.stat().st_size
        except OSError as error:
            raise SourceError("the video is gone or unreadable", got=f"{self._path} ({error.strerror})") from None
        if size == 0:
            raise SourceError("the video is empty", got=f"{self._path} with 0 bytes")
        capture = self._cv2.VideoCapture(str(self._path), self._cv2.CAP_FFMPEG)
        if not capture.isOpened():
            capture.release()
            raise SourceError(
                "the file cannot be opened as a video",
                got=f"{self._path} with {size} bytes",
                allowed="what FFmpeg decodes: mp4, mkv, avi, mov, webm …",
                hint="A recording that was broken off often lacks its index; `ffmpeg -i IN -c copy OUT` may mend it.",
            )
        return capture
