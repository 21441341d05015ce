"""A camera's picture made to fit what a model part wants to see; the one description for training and for devices.

A part states its Picture (width × height) in the manifest. The frame is stretched to it, its shape not kept: boxes are
fractions of width and height, which no stretching changes. Scaling to 0..1, padding and the change to channel-height-width
are inside the ONNX graph, so that a device moves bytes only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgewise.core.artifact import Picture
from edgewise.core.errors import ImageError

WIDEST = 640  # px of the longer side; a larger picture is scaled down before it is sent as one


def fit(image: NDArray[np.uint8], picture: Picture) -> NDArray[np.uint8]:
    """`image` (height, width, 3; RGB) as (1, picture.height, picture.width, 3); no copy where the sizes agree.

    >>> fit(np.zeros((360, 640, 3), np.uint8), Picture(320, 180)).shape
    (1, 180, 320, 3)
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(
            "a picture has the wrong form",
            got=f"{image.dtype} {image.shape}",
            allowed="uint8 (height, width, 3), RGB",
            hint="Convert greyscale and alpha pictures to RGB where they are read.",
        )
    height, width = image.shape[:2]
    if (height, width) == (picture.height, picture.width):
        return image[None]
    if height % picture.height == 0 and width % picture.width == 0:
        # A whole factor: the mean of each block, which Pillow computes faster than a general resampling filter.
        reduced = Image.fromarray(image).reduce((width // picture.width, height // picture.height))
        return np.asarray(reduced)[None]
    # `reducing_gap` halves first where the picture is much larger, at no visible loss.
    resized = Image.fromarray(image).resize((picture.width, picture.height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(resized)[None]


def narrow(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (height, width, 3) as a device sends it whole: the longer side at most WIDEST.

    >>> narrow(np.zeros((720, 1280, 3), np.uint8)).shape
    (360, 640, 3)
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer <= WIDEST:
        return image
    small: NDArray[np.uint8] = fit(
        image, Picture(max(1, round(width * WIDEST / longer)), max(1, round(height * WIDEST / longer)))
    )[0]
    return small
