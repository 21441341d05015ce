"""Pictures become what a model's input says; what takes no picture is a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.adapt.inputs import prepared
from edgewise.core.artifact import Picture, TensorSpec
from edgewise.core.errors import ModelError

SOME = [np.full((20, 30, 3), 51, np.uint8), np.full((6, 8, 3), 255, np.uint8)]


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("uint8", (None, 6, 8, 3), None),
        ("float32", (None, 6, 8, 3), None),
        ("float32", (None, 3, 6, 8), None),
        ("float32", (None, 3, None, None), Picture(8, 6)),
        ("float32", (None, 3, 3, 3), None),
    ],
)
def test_each_layout(dtype: str, shape: tuple[int | None, ...], size: Picture | None) -> None:
    found = prepared(TensorSpec("x", dtype, shape), size)(SOME)
    assert found.dtype == dtype and len(found) == 2
    assert all(wanted in (None, got) for wanted, got in zip(shape, found.shape, strict=True))
    scale = 1 if dtype == "uint8" else 255
    assert np.allclose(found[0], 51 / scale) and np.allclose(found[1], 255 / scale)


def test_channels_first_keeps_colours_in_their_places() -> None:
    red = np.zeros((6, 8, 3), np.uint8)
    red[..., 0] = 255
    found = prepared(TensorSpec("x", "float32", (None, 3, 6, 8)))([red])
    assert found[0].mean(axis=(1, 2)).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("float32", (None, 7)), ("uint8", (None, 3, 6, 8)), ("int64", (None, 6, 8, 3)), ("float32", (None, 3, None, None))],
)
def test_what_takes_no_picture_is_a_sentence(dtype: str, shape: tuple[int | None, ...]) -> None:
    with pytest.raises(ModelError, match="input 'x'"):
        prepared(TensorSpec("x", dtype, shape))
