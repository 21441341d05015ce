"""The line of versions: what devices hold is known to the bit through losses, reverts and ways back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edgewise.adapt.affine import HELD, Line
from edgewise.codec.delta import decode
from edgewise.core.delta import apply
from edgewise.core.errors import ModelError

Phi = dict[str, np.ndarray]


def source() -> Phi:
    r = np.random.default_rng(0)
    shapes = {"a.weight": 16, "a.bias": 16, "b.weight": 40, "b.bias": 40}
    return {path: r.normal(1, 0.3, n).astype(np.float32) for path, n in shapes.items()}


def moved(phi: Mapping[str, np.ndarray], random: np.random.Generator) -> Phi:
    return {path: (v + random.normal(0, 0.004, v.shape)).astype(np.float32) for path, v in phi.items()}


def same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(one[p].tobytes() == other[p].tobytes() for p in one)


class Device:
    """Holds versions, applies what comes."""

    def __init__(self) -> None:
        self.versions, self.version = {"base": source()}, "base"

    def take(self, data: bytes, version: str) -> None:
        delta = decode(data)
        assert delta.parent == self.version, "a delta of another version is refused"
        self.versions[version] = apply(self.versions[self.version], delta)
        self.version = version

    @property
    def phi(self) -> Phi:
        return self.versions[self.version]


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_device_and_line_agree_to_the_bit_through_losses_and_ways_back(precision: str) -> None:
    random = np.random.default_rng(1)
    line, device, wanted = Line(source(), "base", precision), Device(), source()  # type: ignore[arg-type]
    for turn in range(60):
        wanted = moved(wanted, random)
        data = line.ship(wanted)
        fate = random.random()
        if fate < 0.6:
            device.take(data, f"v{turn}")
            line.acknowledged(data, f"v{turn}")
        elif fate < 0.75:
            back = str(random.choice(line.versions))
            device.version = back
            wanted = line.back(back)
        assert same(line.there, device.phi) and line.version == device.version, turn
    assert len(line.versions) <= HELD + 1
    device.version = "base"
    assert same(line.back("base"), source()) and same(line.there, device.phi), "the source, bit by bit"


def test_what_is_lost_in_one_delta_is_part_of_the_next() -> None:
    line, random = Line(source(), "base"), np.random.default_rng(2)
    wanted = moved(source(), random)
    line.ship(wanted)
    wanted = moved(wanted, random)
    data = line.ship(wanted)
    line.acknowledged(data, "v1")
    for path, value in line.there.items():
        lacking = np.abs(wanted[path] - source()[path]).max()
        assert np.abs(value - wanted[path]).max() <= lacking / 254 * 1.001 + 1e-6


def test_nothing_to_say_costs_nothing() -> None:
    assert Line(source(), "base").ship(source()) == b""


def test_a_version_that_is_not_held_and_values_that_are_none_are_sentences() -> None:
    line = Line(source(), "base")
    with pytest.raises(ModelError, match="not remembered"):
        line.back("elsewhere")
    with pytest.raises(ModelError, match="not on its way"):
        line.acknowledged(Line(source(), "base").ship(moved(source(), np.random.default_rng(3))), "v1")
    for wrong in (np.full(16, np.nan, np.float32), np.zeros((4, 4), np.float32), np.zeros(16)):
        with pytest.raises(ModelError, match="no usable values"):
            line.ship({"a.weight": wrong})
