"""Where frames end: each one's record is charged with its joules, entered in ledger and vitals, and put on its way to the server.

It does not know why a frame ended; the agent says so.
"""

from __future__ import annotations

from msgspec.structs import replace

from edgewise.core.answer import FrameRecord
from edgewise.meter.energy import EnergyModel
from edgewise.node.ledger import Ledger
from edgewise.node.rows import Rows
from edgewise.node.vitals import Vitals


class Closing:
    """The books of a device's frames. `rows` takes them to the session's outbox; None where nobody is to be told.

    `vitals` are those of the version in use, from its first frame on.
    """

    def __init__(self, node: str, energy: EnergyModel, rows: Rows | None) -> None:
        self.ledger = Ledger()
        self.vitals: Vitals | None = None
        self.last: FrameRecord | None = None
        self.rows = rows
        self._node, self._energy = node, energy
        self._ended: list[FrameRecord] = []

    def end(self, record: FrameRecord, busy: float, rate: float, now: float, *, of_version: bool) -> bool:
        """A frame's last word: it kept the device `busy` (s), over a link of `rate` (bit/s). True when rows became an item.

        `of_version` says that the version in use did the work.
        """
        energy = self._energy.of(busy, record.bytes_up, record.bytes_down, rate, rate, record.latency)
        record = replace(record, node=self._node, energy=energy.value, provenance=energy.provenance, link_rate=rate)
        self.ledger.add(record)
        if self.vitals is not None and of_version:
            self.vitals.add(record)
        self.last = record
        self._ended.append(record)
        return self.rows is not None and self.rows.add(record, now)

    def in_vain(self, parts: dict[str, float]) -> None:
        """Work whose frame had ended already: its joules are no frame's, but they were spent."""
        seconds = sum(parts.values())
        self.ledger.spent(self._energy.of(seconds, latency=seconds).value)

    def learned(self, size: int, rate: float) -> None:
        """A sample of so many bytes went up, over a link of `rate` (bit/s)."""
        on_air = size * 8 / rate if rate > 0 else 0.0
        self.ledger.learned(size, self._energy.radio.energy(size * 8, 0.0, on_air))

    def take(self) -> list[FrameRecord]:
        """The records since the last call."""
        ended, self._ended = self._ended, []
        return ended
