"""What a device says of itself: its outbox as it is, its budget as it was said."""

from __future__ import annotations

import pytest

from edgewise.apps.vision.account import status
from edgewise.core.errors import StoreError
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.data.source import open_source
from edgewise.meter.energy import EnergyModel
from edgewise.net.messages import Hello
from edgewise.net.session import DeviceSession
from edgewise.node.agent import Agent, AgentConfig
from edgewise.node.store.outbox import OVERHEAD, MemoryOutbox
from edgewise.plan.online import OnlinePolicy

LOCAL = OperatingPoint("local", "local", device_time=0.01, quality={"all": Quality(0.5, 0.4, 0.6, 9)})
AGENT = Agent(AgentConfig("n", 0.2), OnlinePolicy((LOCAL,), 0.1), DeviceSession(Hello("n", "0", ())), {}, EnergyModel(2.0, 5.0))
SOURCE = open_source("junction:14:clear", None, False, stills=10.0)


def test_a_status_says_what_waits_in_the_outbox_and_no_longer_what_the_server_has() -> None:
    outbox = MemoryOutbox()
    for body in (b"one", b"three"):
        outbox.put("rows", body, 0.0)
    said = status(AGENT, SOURCE, outbox, link_kind="real", budget="bytes_up<=50KB/s")
    assert (said.outbox, said.outbox_bytes, said.budget) == (2, 8 + 2 * OVERHEAD, "bytes_up<=50KB/s")
    outbox.acked(outbox.last)
    said = status(AGENT, SOURCE, outbox, link_kind="real", budget="")
    assert (said.outbox, said.outbox_bytes) == (0, 0)


def test_what_waits_in_a_store_that_cannot_be_read_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = MemoryOutbox()

    def broken(self: MemoryOutbox) -> int:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(MemoryOutbox, "__len__", broken)
    said = status(AGENT, SOURCE, outbox, link_kind="real", budget="")
    assert (said.outbox, said.outbox_bytes) == (None, None)
