"""A rendered four-way junction: `Junction(seed, condition).frame(t)` gives picture, boxes and occupied cells.

Recorded traffic, a pole camera, weather; needs OpenCV (the `camera` extra), which is imported when `Junction` is asked for, so
that a device without it can import everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.core.errors import ConfigError

if TYPE_CHECKING:
    from edgewise.data.junction.scene import Junction as Junction

__all__ = ["Junction"]


def __getattr__(name: str) -> object:
    if name != "Junction":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from edgewise.data.junction.scene import Junction
    except ModuleNotFoundError as missing:
        if missing.name != "cv2":
            raise
        raise ConfigError(
            "the rendered junction needs OpenCV",
            got="an environment without it",
            allowed="opencv-python-headless 4.10 or newer",
            hint="Install it with: pip install 'edgewise[camera]'.",
        ) from None
    return Junction
