"""Fitting a picture: form, exactness where sizes agree, and refusals in sentences."""

import numpy as np
import pytest

from edgewise.core.artifact import Picture
from edgewise.core.errors import ImageError
from edgewise.data.preprocess import WIDEST, fit, narrow


def test_a_fitting_picture_is_passed_through_without_a_copy():
    image = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    fitted = fit(image, Picture(160, 90))
    assert np.shares_memory(fitted, image) and np.array_equal(fitted[0], image)


@pytest.mark.parametrize("size", [(360, 640), (180, 320), (481, 333), (45, 80), (1080, 1920)])
def test_any_picture_takes_the_wanted_form_and_keeps_its_colours(size):
    image = np.empty((*size, 3), np.uint8)
    image[:] = (200, 100, 50)
    image[:, : size[1] // 2] = (10, 20, 30)
    fitted = fit(image, Picture(320, 180))
    assert fitted.shape == (1, 180, 320, 3) and fitted.dtype == np.uint8
    assert np.abs(fitted[0, :, 40].astype(int) - (10, 20, 30)).max() <= 1
    assert np.abs(fitted[0, :, 280].astype(int) - (200, 100, 50)).max() <= 1


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_colour_picture_is_refused_with_a_sentence(bad):
    with pytest.raises(ImageError, match="allowed: uint8"):
        fit(bad, Picture(320, 180))


@pytest.mark.parametrize(("size", "sent"), [((1080, 1920), (360, 640)), ((900, 10), (640, 7)), ((1, 5000), (1, 640))])
def test_a_picture_is_sent_no_wider_than_it_may_be_and_in_its_shape(size, sent):
    assert narrow(np.zeros((*size, 3), np.uint8)).shape == (*sent, 3)
    small = np.zeros((WIDEST, WIDEST, 3), np.uint8)
    assert narrow(small) is small
