"""A Judge takes the uncut model's word as the device would hear it: all its boxes, at the bundle's own threshold."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgewise.core.answer import Answer, Box
from edgewise.core.artifact import Grid
from edgewise.runtime.bundle import Bundle
from edgewise.split.gallery import Gallery
from edgewise.split.judged import Judge, Sessions

VEHICLES = Path(__file__).parents[2] / "edgewise" / "bundles" / "vehicles"


@pytest.mark.parametrize(("threshold", "worth"), [(0.3, 0.5), (0.45, 1.0)])
def test_boxes_count_from_the_thresholds_of_the_decoding(threshold: float, worth: float) -> None:
    """Two boxes of 0.48 and 0.35, of which the split has the first: half right, or right where only that one is said."""
    bundle = Bundle.open(VEHICLES)
    head, tail, whole = (bundle.session(part) for part in ("head", "tail", "local"))
    picture = bundle.manifest.pictures["local"]
    gallery = Gallery(np.zeros((4, picture.height, picture.width, 3), np.uint8), ("0.png", "1.png", "2.png", "3.png"))
    decoding = bundle.manifest.decoding
    assert isinstance(decoding, Grid)
    judge = Judge(
        Sessions(head, tail, whole),
        gallery,
        range(4),
        msgspec.structs.replace(decoding, threshold=threshold),
        bundle.manifest.labels,
    )
    sure, faint = Box(0.1, 0.1, 0.3, 0.3, 0.48, "vehicle"), Box(0.6, 0.6, 0.9, 0.9, 0.35, "vehicle")
    judge.whole = [Answer(boxes=(sure, faint))] * 4
    assert judge.worth([Answer(boxes=(sure,))] * 4)["all"].value == pytest.approx(worth)
    assert judge.measure.startswith("AP50 by agreement") and f"from {threshold:g} on" in judge.measure
