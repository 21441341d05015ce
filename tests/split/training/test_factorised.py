"""The picture codec: it gives back a picture's shape at any size its stride divides, and refuses a place that is none."""

from __future__ import annotations

import pytest
import torch

from edgewise.core.errors import ModelError
from edgewise.split.training.bottleneck import Geometry
from edgewise.split.training.designs import design
from edgewise.split.training.factorised import factorised, halvings


@pytest.mark.parametrize(("side", "stride"), [(32, 4), (64, 16), (128, 16)])
def test_a_picture_comes_back_in_its_shape(side: int, stride: int) -> None:
    split = factorised(Geometry((3, side, side), (3, side, side), True), 8, 0.25)
    for rows, columns in ((side, side), (stride, 3 * stride)):
        codes = split.encoder(torch.zeros(2, 3, rows, columns))
        assert codes.shape == (2, 8, rows // stride, columns // stride)
        assert split.decoder(codes).shape == (2, 3, rows, columns)


def test_it_learns_to_give_back_what_it_takes() -> None:
    torch.manual_seed(0)
    split = factorised(Geometry((3, 32, 32), (3, 32, 32), True), 16, 0.5)
    pictures = torch.nn.functional.interpolate(torch.randn(8, 3, 4, 4), size=32, mode="bilinear")
    optimiser = torch.optim.Adam(split.parameters(), 3e-3)
    errors = []
    for _ in range(60):
        error = (split(pictures) - pictures).square().mean() / pictures.var()
        optimiser.zero_grad()
        error.backward()
        torch.nn.utils.clip_grad_norm_(split.parameters(), 5)
        optimiser.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.3 * errors[0]


def test_places_that_are_none_are_refused() -> None:
    with pytest.raises(ModelError, match="gives back"):
        factorised(Geometry((3, 64, 64), (16, 32, 32)))
    with pytest.raises(ModelError, match="halved"):
        halvings((72, 100))
    assert design("factorised").priced
