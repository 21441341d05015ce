"""The ledger's law: sent = answered + dropped + failed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.answer import FrameRecord
from edgewise.node.ledger import Ledger


def record(frame: int, outcome: str, mode: str, latency: float) -> FrameRecord:
    reason = "" if outcome == "answered" else "because"
    return FrameRecord("n", frame, 0.0, outcome, mode, mode, "", reason=reason, latency=latency, bytes_up=10, energy=0.5)  # type: ignore[arg-type]


FATES = st.lists(
    st.tuples(st.sampled_from(["answered", "dropped", "failed"]), st.sampled_from(["local", "split"]), st.floats(0, 1))
)


@given(FATES)
def test_balanced_when_every_frame_has_a_fate(fates: list[tuple[str, str, float]]) -> None:
    ledger = Ledger()
    for i, fate in enumerate(fates):
        ledger.took()
        ledger.add(record(i, *fate))
    table = ledger.table()
    assert table.balanced
    assert table.answered == sum(outcome == "answered" for outcome, _, _ in fates)
    for row in table.modes.values():
        assert 0 <= row.latency_p50 <= row.latency_p95 <= 1


def test_a_frame_without_a_fate_shows() -> None:
    ledger = Ledger()
    ledger.took()
    assert not ledger.table().balanced
    ledger.add(record(0, "dropped", "drop", 0.0))
    assert ledger.table().balanced
    assert ledger.table().dropped == {"because": 1}
