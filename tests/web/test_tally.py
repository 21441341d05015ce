"""The books keep every frame, whatever its fate and however many reasons there are."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.answer import FrameRecord
from edgewise.core.placement import MODES
from edgewise.web.tally import MOST_REASONS, OTHER, Counts, Tally

records = st.builds(
    FrameRecord,
    node=st.just("north"),
    frame=st.integers(0, 1 << 31),
    captured=st.floats(0, 1e6),
    outcome=st.sampled_from(["answered", "dropped", "failed"]),
    mode=st.sampled_from(MODES),
    point=st.just("p"),
    why=st.just("because"),
    reason=st.text(max_size=3),
    latency=st.floats(0, 3),
    late=st.booleans(),
    bytes_up=st.integers(0, 100_000),
    energy=st.floats(0, 1),
    provenance=st.sampled_from(["measured", "modelled"]),
)


@given(st.lists(records, max_size=60))
def test_no_frame_is_lost_between_counts_and_rows(run: list[FrameRecord]) -> None:
    tally = Tally("north")
    for record in run:
        tally.add(record)
    counts, rows = tally.counts(), tally.rows()
    assert counts.total == tally.total == len(run)
    assert sum(r.answered for r in rows) == counts.answered == sum(r.outcome == "answered" for r in run)
    assert sum(r.dropped for r in rows) == sum(counts.dropped.values())
    assert sum(r.failed for r in rows) == sum(counts.failed.values())
    assert sum(r.late for r in rows) == counts.late <= counts.answered
    assert sum(r.bytes_up for r in rows) == sum(r.bytes_up for r in run)
    assert math.isclose(sum(r.energy for r in rows), sum(r.energy for r in run), abs_tol=1e-9)


def record(reason: str, provenance: str = "modelled") -> FrameRecord:
    return FrameRecord("n", 1, 0.0, "failed", "split", "p", "w", reason=reason, provenance=provenance)  # type: ignore[arg-type]


def test_a_device_cannot_fill_the_memory_with_reasons() -> None:
    tally = Tally("n")
    for i in range(1000):
        tally.add(record(f"refused: {i}"))
    failed = tally.counts().failed
    assert len(failed) == MOST_REASONS + 1
    assert failed[OTHER] == 1000 - MOST_REASONS
    assert tally.total == 1000


def test_unlike_joules_are_mixed() -> None:
    tally = Tally("n")
    tally.add(record("a", "measured"))
    assert tally.rows()[0].provenance == "measured"
    tally.add(record("a", "quoted"))
    assert tally.rows()[0].provenance == "mixed"


def test_counts_of_two_devices_add_reason_by_reason() -> None:
    both = Counts(3, 1, {"expired": 1}, {}).plus(Counts(2, 0, {"expired": 2}, {"deadline": 1}))
    assert both == Counts(5, 1, {"expired": 3}, {"deadline": 1})
