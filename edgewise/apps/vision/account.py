"""What a device says of itself: to the server while it works, to a terminal beside it, and at its end. All of it reads alone."""

from __future__ import annotations

import asyncio
import sys

from rich.console import Console
from rich.live import Live
from rich.table import Table as Grid

from edgewise import __version__
from edgewise.apps.vision.outcome import RunOutcome
from edgewise.apps.vision.reporter import Reporter
from edgewise.apps.vision.status import NodeStatus
from edgewise.core.errors import StoreError
from edgewise.core.measurement import Measurement
from edgewise.data.source import Source
from edgewise.meter.memory import resident
from edgewise.node.agent import Agent
from edgewise.node.device import DeviceNode
from edgewise.node.store.outbox import Outbox


def status(agent: Agent, source: Source, outbox: Outbox, *, link_kind: str, budget: str) -> NodeStatus:
    """The device now, for the page and for `edgewise nodes`. What waits in a store that cannot be read is unknown."""
    table = agent.ledger.table()
    ended = table.answered + sum(table.dropped.values()) + sum(table.failed.values())
    rows, session, last = agent.rows, agent.session, agent.last
    waiting, size = _waiting(outbox)
    return NodeStatus(
        node=agent.config.node,
        connected=session.open,
        link_kind=link_kind,
        link_rate=agent.policy.link.rate,
        round_trip=agent.policy.link.round_trip,
        mode=last.mode if last else None,
        point=last.point if last else "",
        why=last.why if last else "",
        condition=agent.config.condition,
        fps=source.rate,
        deadline=agent.config.deadline,
        sent=table.sent,
        open=table.sent - ended + (rows.waiting_rows if rows is not None else 0),
        records_lost=rows.lost if rows is not None else 0,
        source=source.name,
        model=session.hello.bundle[:12],
        version=__version__,
        quality=agent.policy.points[last.point].worth(agent.config.condition)
        if last and last.point in agent.policy.points
        else None,
        outbox=waiting,
        outbox_bytes=size,
        budget=budget,
    )


def _waiting(outbox: Outbox) -> tuple[int | None, int | None]:
    try:
        return len(outbox), outbox.size
    except StoreError:
        return None, None


def outcome(
    agent: Agent,
    device: DeviceNode,
    source: Source,
    reporter: Reporter | None,
    began: float,
    *,
    link_kind: str,
    watts: str,
    measured: Measurement | None,
) -> RunOutcome:
    """What the run came to. `began` is the clock's second at its start, `watts` by which model joules are said."""
    table = agent.ledger.table()
    return RunOutcome(
        node=agent.config.node,
        sent=table.sent,
        answered=table.answered,
        dropped=table.dropped,
        failed=table.failed,
        modes=table.modes,
        balanced=table.balanced,
        link_kind=link_kind,
        first_frame=device.first_record - began if device.first_record else None,
        memory=resident(),
        skipped=dict(source.skipped),
        warnings=tuple(dict.fromkeys([*device.sentences, *agent.warnings])),
        torch_imported="torch" in sys.modules,
        broken=device.broken,
        bytes_frames=table.bytes_up,
        bytes_up=device.bytes_up,
        bytes_down=device.bytes_down,
        bytes_reports=reporter.bytes_sent if reporter else 0,
        reports_failed=reporter.failed if reporter else 0,
        tried=table.tried,
        missed=table.missed,
        cut=table.cut,
        guarded=table.guarded,
        samples=table.samples,
        sample_bytes=table.sample_bytes,
        asked=agent.lessons.counts["asked"],
        taught=agent.lessons.counts["taught"],
        energy=table.energy,
        energy_source=watts,
        measured=measured,
    )


async def show(console: Console, agent: Agent) -> None:
    """A living line a mode while the device works; until cancelled."""
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            table = agent.ledger.table()
            grid = Grid.grid(padding=(0, 2))
            state = "connected" if agent.session.open else "alone"
            grid.add_row(
                agent.config.node,
                state,
                f"{table.answered} of {table.sent} answered",
                f"{agent.policy.link.rate / 1e6:.2g} Mbit/s",
            )
            for mode, row in table.modes.items():
                grid.add_row("", mode, f"{row.n} frames", f"{row.latency_p50 * 1e3:.0f} ms")
            live.update(grid)
            await asyncio.sleep(0.25)
