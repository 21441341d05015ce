"""A live camera: V4L2 (/dev/videoN) or RTSP, through OpenCV (the [camera] extra).

A camera does not wait. A thread of its own takes every frame from the driver and keeps only the newest; what nobody asked for
in time is stale and counted, so a slow consumer sees the present and not a queue of the past. In a `loop` a camera that
goes away is opened again; otherwise its end is an error. Passwords in an address are never shown.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.core.errors import SourceError
from edgewise.data.sources.feed import Clock, Picture, Sample, Source
from edgewise.data.sources.video import opencv

STALE = "stale: a newer frame came before it was asked for"
LOST = "the camera went away and was opened again"
PATIENCE = 5.0  # s without a frame after which a camera counts as gone
RETRY = 1.0  # s between two attempts to open it again

Grab = Callable[[], NDArray[np.uint8] | None]  # the next frame, RGB; None where the camera is gone
Opener = Callable[[], tuple[Grab, Callable[[], None]]]  # grab and release


class Camera(Source):
    """Newest frames of a live camera, at `rate` a second or as the camera gives them."""

    def __init__(
        self, name: str, opener: Opener, rate: float | None = None, loop: bool = False, clock: Clock = time.monotonic
    ) -> None:
        super().__init__(name, rate, clock)
        self._opener, self._loop = opener, loop
        self._tap: _Tap | None = self._open()  # a camera that is not there is told at once

    def pictures(self) -> Iterator[Picture]:
        return ((sample.identity, sample.image) for sample in self)

    def __iter__(self) -> Iterator[Sample]:
        while self._tap is not None:
            while self.pace.tick():
                newest = self._tap.newest(self._closing)
                if newest is None:
                    break
                captured, picture = newest
                yield self.sample(f"{self.name}#{self.given}", picture, captured)
            if self._closing.is_set():
                return
            if not self._loop:
                raise SourceError(
                    "the camera went away while it was running",
                    got=f"{self.name} after {self.given} frames ({self._tap.gone})",
                    hint="Check the cable or the network; `--loop` opens it again by itself.",
                )
            self.skipped[LOST] += 1
            self._tap = self._open_again()

    def close(self) -> None:
        super().close()
        if self._tap is not None:
            self._tap.close()

    def _open(self) -> _Tap:
        return _Tap(*self._opener(), self._clock, self.skipped)

    def _open_again(self) -> _Tap | None:
        while not self._closing.wait(RETRY):
            try:
                return self._open()
            except SourceError:
                continue
        return None


class _Tap:
    """One opening of a camera: its thread grabs, keeps the newest frame, and releases the camera at the end."""

    def __init__(self, grab: Grab, release: Callable[[], None], clock: Clock, skipped: Counter[str]) -> None:
        self.gone = ""
        self._grab, self._release, self._clock, self._skipped = grab, release, clock, skipped
        self._fresh = threading.Condition()
        self._newest: tuple[float, NDArray[np.uint8]] | None = None
        threading.Thread(target=self._run, name="camera", daemon=True).start()

    def newest(self, closing: threading.Event) -> tuple[float, NDArray[np.uint8]] | None:
        """When it came and the frame, as soon as there is one; None once the camera is gone or closed."""
        with self._fresh:
            if not self._fresh.wait_for(lambda: self._newest or self.gone or closing.is_set(), PATIENCE):
                self.gone = f"no frame for {PATIENCE:g} s"
            newest, self._newest = self._newest, None
            return None if closing.is_set() else newest

    def close(self) -> None:
        with self._fresh:
            self.gone = self.gone or "closed"
            self._fresh.notify_all()

    def _run(self) -> None:
        try:
            while not self.gone:
                picture = self._grab()
                with self._fresh:
                    if picture is None:
                        self.gone = self.gone or "it gives no more frames"
                    else:
                        self._skipped[STALE] += self._newest is not None
                        self._newest = (self._clock(), picture)
                    self._fresh.notify_all()
        finally:
            self._release()


def v4l2(device: str) -> Opener:
    """An opener for /dev/videoN."""
    cv2 = opencv("a camera")

    def opened() -> tuple[Grab, Callable[[], None]]:
        if not Path(device).exists():
            there = ", ".join(str(p) for p in sorted(Path("/dev").glob("video*"))) or "none on this machine"
            raise SourceError("there is no such camera", got=device, allowed=there, hint="Plug it in, or give another one.")
        if not os.access(device, os.R_OK | os.W_OK):
            hint = "Add yourself to the group `video` (`sudo usermod -aG video $USER`) and log in again."
            raise SourceError("the camera may not be opened by this user", got=device, hint=hint)
        return _capture(cv2, int(device.removeprefix("/dev/video")), cv2.CAP_V4L2, device)

    return opened


def rtsp(address: str) -> Opener:
    """An opener for rtsp:// and rtsps:// addresses."""
    cv2 = opencv("a network camera")
    return lambda: _capture(cv2, address, cv2.CAP_FFMPEG, without_password(address))


def without_password(address: str) -> str:
    """The address as it may be shown.

    >>> without_password("rtsp://me:secret@gate/1")
    'rtsp://…@gate/1'
    """
    return re.sub(r"//[^/]*@", "//…@", address)


def _capture(cv2: Any, source: str | int, backend: int, shown: str) -> tuple[Grab, Callable[[], None]]:
    patience = int(PATIENCE * 1000)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, patience, cv2.CAP_PROP_READ_TIMEOUT_MSEC, patience]
    capture = cv2.VideoCapture(source, backend, limits if backend == cv2.CAP_FFMPEG else [])
    if not capture.isOpened():
        capture.release()
        raise SourceError(
            "the camera cannot be opened",
            got=shown,
            hint="Is another program using it? Is the address (with user and password) right, and the network up?",
        )

    def grab() -> NDArray[np.uint8] | None:
        good, frame = capture.read()
        picture: NDArray[np.uint8] | None = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if good else None
        return picture

    return grab, capture.release
