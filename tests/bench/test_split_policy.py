"""The shipped detector with points of the coder offers every one of them, each with a worth and the bytes of its payloads."""

from __future__ import annotations

from bench.split_policy import LEVELS, with_rans
from edgewise.apps.vision.bundles import find
from edgewise.runtime.bundle import Bundle


def test_every_point_of_the_coder_is_offered() -> None:
    bundle = Bundle.open(find("vehicles"))
    found = with_rans(bundle, quick=True)
    coded = [p for p in found.points if p.codec == "rans"]
    assert {p.name for p in coded} == set(found.codings) == set(LEVELS)
    sizes = [p.bytes_up for p in sorted(coded, key=lambda p: LEVELS[p.name])]
    assert sizes == sorted(sizes) and sizes[0] > 0  # more levels are more bytes
    assert all(p.worth() > 0.5 for p in coded)
    kept = {p.name for p in bundle.manifest.points if p.mode in ("local", "image")}
    assert kept <= {p.name for p in found.points}
