"""The region between: cells are those of the exact choice, shares fill the plane, and where split should win it does."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from edgewise.core.device import Device
from edgewise.core.link import Link
from edgewise.core.placement import Part, Placement
from edgewise.plan.between import Between, between, floor
from edgewise.plan.candidates import Candidate, Kind
from edgewise.plan.map import KINDS, draw_plane
from edgewise.plan.region import NOTHING, Scene

SCENE = Scene({"device": Device("pi", "a device"), "edge": Device("server", "a server")}, Link("cable", rate_up=1e6))


def way(name: str, kind: Kind, seconds: float, size: float, quality: float | None) -> Candidate:
    head = Part(name, "device", seconds, seconds)
    if kind == "local":
        return Candidate(Placement(name, (head,), (0.0,)), kind, name, quality)
    return Candidate(Placement(name, (head, Part(name, "edge", 0.01, 0.01)), (size, 0.0)), kind, name, quality)


WAYS = [
    way("local", "local", 0.5, 0, 0.90),
    way("split", "split", 0.1, 2e3, 0.95),
    way("jpeg", "image", 0.01, 20e3, 0.95),
]


def test_split_stands_between_the_slow_links_and_the_quick_ones() -> None:
    found = between(WAYS, SCENE)
    row = [found.map.at(rate, 1.0) for rate in found.map.rates]
    assert row[0] == "local" and row[-1] == "picture" and "split" in row
    assert row.index("split") < row.index("picture") and "local" not in row[row.index("split") :]
    first = next(r for r, name in zip(found.map.rates, row) if name == "split")
    assert first == pytest.approx(2e3 * 8 / 0.39, rel=0.3)  # R* against local
    last = next(r for r, name in zip(found.map.rates, row) if name == "picture")
    assert last == pytest.approx(18e3 * 8 / 0.09, rel=0.3)  # R* against the picture


def test_the_shares_fill_the_plane_and_the_ends_hold_every_cell_of_split() -> None:
    found = between(WAYS, SCENE)
    assert sum(found.share.values()) == pytest.approx(1.0)
    cells = [
        (r, s)
        for i, s in enumerate(found.map.speeds)
        for j, r in enumerate(found.map.rates)
        if found.map.names[found.map.best[i][j]] == "split"
    ]
    assert found.share["split"] == pytest.approx(len(cells) / (len(found.map.rates) * len(found.map.speeds)))
    assert found.rates == (min(r for r, _ in cells), max(r for r, _ in cells))
    assert found.speeds == (min(s for _, s in cells), max(s for _, s in cells))
    assert "intermediate option" in str(found)


def test_a_floor_takes_the_plane_from_what_is_worse() -> None:
    asked = between(WAYS, SCENE, 0.94)
    assert "local" not in asked.share and asked.share["split"] > between(WAYS, SCENE).share["split"]
    assert floor(WAYS, 0.01) == pytest.approx(0.94) and floor(WAYS[:1]) is None
    none = between(WAYS, SCENE, 0.99)
    assert set(none.share) == {NOTHING} and none.rates is None


def test_a_split_that_sends_more_and_takes_longer_has_no_cell_and_says_so() -> None:
    worse = [WAYS[0], way("split", "split", 0.6, 30e3, 0.95), WAYS[2]]
    found = between(worse, SCENE)
    assert "split" not in found.share and found.rates is None
    assert "No cell of the plane is split's" in str(found)


def test_the_plane_is_drawn_in_the_colours_of_its_kinds(tmp_path: Path) -> None:
    found: Between = between(WAYS, SCENE)
    draw_plane(found, "test", "pi", (1e6, "here"), tmp_path / "plane.png")
    with Image.open(tmp_path / "plane.png") as picture:
        assert picture.size == (1280, 800)
        counted = picture.convert("RGB").getcolors(1 << 20) or []
    colours = {c for n, c in counted if n > 5000}
    for kind in ("local", "split", "picture"):
        assert tuple(bytes.fromhex(KINDS[kind][0][1:])) in colours, kind
