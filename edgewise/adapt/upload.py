"""An Upload is a picture that came up to be learned from; a Calibration is what the model could do at home, before it was sent
out.

Both hold decoded pictures, uint8 (height, width, 3), RGB, of whatever size. What an Upload says of itself was said by a
device, and devices lie (`edgewise.adapt.suspicion`); what a Calibration says was said by whoever made the bundle. Neither
knows the model.
"""

from __future__ import annotations

from msgspec import Struct

from edgewise.adapt.step import Values
from edgewise.adapt.teacher import Picture
from edgewise.core.moments import Statistics


class Upload(Struct, frozen=True, eq=False):
    """One picture, from a `device`. `audit`: drawn blindly, so that it stands for all that the device sees.

    `soft` (C,): the teacher's answer where it was asked already (a cascade). `statistics`: the device's, where they came along.
    `size`: bytes on the link. `version`: the address of the model that the device ran, "" where it did not say.
    """

    device: str
    picture: Picture
    audit: bool = False
    soft: Values | None = None
    statistics: Statistics | None = None
    size: int = 0
    version: str = ""


class Calibration(Struct, frozen=True, eq=False):
    """Pictures of the model's own domain, and their `truth` (n, C), one-hot or occupied; without, the source's own answers."""

    pictures: tuple[Picture, ...]
    truth: Values | None = None
