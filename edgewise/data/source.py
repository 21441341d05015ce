"""Where samples come from: one word of the user → a Source. A folder, a tar, a clip, a camera or the rendered junction.

    pictures/            a folder of pictures, with its folders      junction:7         the rendered junction, seed 7
    pictures.tar         the same in a tar                           junction:7:fog     the same in fog
    clip.mp4             a video file                                /dev/video0        a V4L2 camera
    still.jpg            one picture                                 rtsp://host/path   a network camera
    arrays/              a folder or .tar of .npy files, for models that take no picture

A Source blocks while it is iterated and ends soon after `close()`. What it left out stands in `skipped`, by reason.
"""

from __future__ import annotations

import time
from pathlib import Path, PurePosixPath

from edgewise.core.errors import SourceError
from edgewise.data import picture
from edgewise.data.pack import FilePack, open_pack
from edgewise.data.sources.arrays import SUFFIX as ARRAY
from edgewise.data.sources.arrays import Arrays, arrays
from edgewise.data.sources.feed import Clock, Sample, Source
from edgewise.data.sources.stills import Stills

__all__ = ["Sample", "Source", "moves", "open_source"]

ALLOWED = "pictures or .npy arrays in a folder or .tar, or one; a video, /dev/videoN, rtsp://HOST/PATH, junction:SEED[:CONDITION]"


def open_source(
    spec: str, rate: float | None = None, loop: bool = False, clock: Clock = time.monotonic, stills: float | None = None
) -> Source:
    """The source that `spec` names; `rate` in frames a second (None: its own), `loop` starts it again at its end.

    Pictures have no rate of their own: without one they come at `stills`, or as fast as they are asked for. `clock` stamps the
    samples. SourceError says what is wrong with `spec`, here or once the iteration meets it.
    """
    if spec.startswith("junction:"):
        return _rendered(spec, rate, clock)
    if spec.lower().startswith(("rtsp://", "rtsps://")):
        from edgewise.data.sources.camera import Camera, rtsp, without_password

        return Camera(without_password(spec), rtsp(spec), rate, loop, clock)
    if spec.startswith("/dev/video"):
        from edgewise.data.sources.camera import Camera, v4l2

        if not spec.removeprefix("/dev/video").isdecimal():
            raise SourceError("this is no name of a camera", got=spec, allowed="/dev/video0, /dev/video1 …")
        return Camera(spec, v4l2(spec), rate, loop, clock)
    if "://" in spec:
        raise SourceError("this kind of address is not a source", got=spec.split("://")[0] + "://", allowed=ALLOWED)
    return _file(Path(spec).expanduser(), rate, loop, clock, stills)


def moves(spec: str) -> bool:
    """Whether its frames come one after the other, and cannot be asked for by number: a clip, a camera, the junction."""
    from edgewise.data.sources import video

    return "://" in spec or spec.startswith(("junction:", "/dev/video")) or Path(spec).suffix.lower() in video.SUFFIXES


def _file(path: Path, rate: float | None, loop: bool, clock: Clock, stills: float | None) -> Source:
    from edgewise.data.sources import video

    suffix = path.suffix.lower()
    if not path.is_file() or suffix == ".tar":
        pack, each = open_pack(path), stills if rate is None else rate
        pictured = any(PurePosixPath(name).suffix.lower() in picture.SUFFIXES for name in pack.names)
        return Arrays(pack, each, loop, clock) if not pictured and arrays(pack) else Stills(pack, each, loop, clock)
    if suffix == ARRAY:
        return Arrays(FilePack(path), stills if rate is None else rate, loop, clock)
    if suffix in picture.SUFFIXES:
        return Stills(FilePack(path), stills if rate is None else rate, loop, clock)
    if suffix in video.SUFFIXES:
        return video.Video(path, rate, loop, clock)
    raise SourceError("this kind of file is not a source", got=path, allowed=ALLOWED)


def _rendered(spec: str, rate: float | None, clock: Clock) -> Source:
    from edgewise.data.sources.rendered import Rendered

    _, seed, *condition = spec.split(":")
    if not seed.isdecimal() or len(condition) > 1 or condition == [""]:
        raise SourceError("the junction is not well named", got=spec, allowed="junction:SEED or junction:SEED:CONDITION")
    return Rendered(int(seed), condition[0] if condition else "clear", rate, clock)
