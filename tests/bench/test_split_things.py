"""The curve of JPEG: better pictures cost more bytes, at both sizes, and each point holds an answer to every frame."""

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from bench.split_things import curve, rows_of  # noqa: E402
from edgewise.core.wire import socket_bytes  # noqa: E402
from edgewise.data.junction.footage import footage  # noqa: E402
from edgewise.training.nets import fpn  # noqa: E402


def test_quality_costs_bytes_and_every_frame_is_answered():
    torch.manual_seed(0)
    frames = list(footage([100, 101], 1, ("clear",)))
    raw, *points = curve(fpn.build().eval(), frames, (30, 80))
    assert raw.bytes == (socket_bytes(216 * 384 * 3),) * 2
    assert [p.case for p in points] == [f"JPEG q{q} of {w} px" for w in (384, 640) for q in (30, 80)]
    small, better, wide, widest = (sum(p.bytes) for p in points)
    assert small < better and wide < widest and small < wide and better < widest
    assert all(len(p.answers) == 2 for p in (raw, *points))
    rows = rows_of(points[0], "junction")
    assert [r.metric for r in rows][:3] == ["frame", "AP of boxes", "AP50 of boxes"] and len(rows) == 7
