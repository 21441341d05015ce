"""`edgewise run`: a camera, a bundle, certificates and the agent, wired into one device."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table as Grid

from edgewise import __version__
from edgewise.apps.vision import logs
from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.children import announce as say_ready
from edgewise.apps.vision.keys import device_identity
from edgewise.apps.vision.outcome import RunOutcome, ledger_table
from edgewise.apps.vision.reporter import Reporter
from edgewise.apps.vision.status import NodeStatus
from edgewise.core.answer import FrameRecord
from edgewise.core.cost import Budget
from edgewise.core.device import Device
from edgewise.core.errors import ConfigError, MeterError
from edgewise.core.placement import OperatingPoint
from edgewise.core.power import RADIOS
from edgewise.data.source import Sample, Source, open_source
from edgewise.meter.energy import EnergyModel, best_meter
from edgewise.meter.instrument import Meter
from edgewise.meter.memory import resident
from edgewise.net.connect import connect, url
from edgewise.net.identity import Identity, client_context
from edgewise.net.messages import Hello
from edgewise.net.session import DeviceSession
from edgewise.node.agent import Agent, AgentConfig
from edgewise.node.background import background, cancel
from edgewise.node.device import DeviceNode
from edgewise.node.heads import Heads
from edgewise.node.rows import Rows
from edgewise.node.store.outbox import MemoryOutbox
from edgewise.plan.online import OnlinePolicy
from edgewise.profiles.load import load_device
from edgewise.runtime.bundle import Bundle

PORT = 8765
STILLS = 10.0  # frames a second of pictures that have no rate of their own


class RunConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `edgewise run` was asked for; see its help."""

    source: str
    server: str | None = None
    bundle: str = "vehicles"
    keys: str | None = None
    name: str | None = None
    rate: float | None = None
    loop: bool = False
    deadline: float = 0.2
    condition: str | None = None
    budget: str = ""
    only: tuple[str, ...] = ()
    profile: str = "pi4"
    radio: str = ""
    preview: float = 0.0
    seconds: float | None = None
    frames: int | None = None
    threads: int = 1
    records: str | None = None
    log: str = "text"
    report: str | None = None
    link_kind: str = "real"


def run_device(config: RunConfig, console: Console, announce: Path | None = None) -> RunOutcome:
    """Run until the source ends, the time is over or SIGINT; the closing table is shown."""
    logs.begin(config.log)
    outcome = asyncio.run(_run(config, console, announce))
    console.print(ledger_table({outcome.node: outcome}))
    for sentence in outcome.warnings:
        console.print(f"[yellow]·[/] {escape(sentence)}", highlight=False)
    return outcome


async def _run(config: RunConfig, console: Console, announce: Path | None) -> RunOutcome:
    if config.deadline <= 0 or (config.seconds is not None and config.seconds <= 0):
        raise ConfigError(
            "a time is impossible", got=f"deadline {config.deadline} s, seconds {config.seconds}", allowed="more than 0"
        )
    began = time.monotonic()
    bundle = Bundle.open(find(config.bundle))
    identity = device_identity(Path(config.keys), config.name) if config.keys else None
    if config.server is not None and identity is None:
        raise ConfigError(
            "a device needs keys to join a server",
            got="no --keys",
            allowed="the folder that `edgewise keys issue NAME` made on the server",
            hint="Without --server it answers alone.",
        )
    source = open_source(config.source, config.rate, config.loop, stills=STILLS)
    profile = load_device(config.profile)
    agent, heads = _agent(config, bundle, source, profile, identity.node if identity else config.name or "device")
    link = partial(connect, _address(config.server), identity) if config.server is not None else None
    meter = _instrument()
    reporter = _reporter(config, identity)
    with contextlib.ExitStack() as stack:
        write = _record_writer(config.records, stack)
        device = DeviceNode(agent, heads, source, link, on_record=write, on_sample=_shower(reporter))
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, device.stop)
        tasks = (
            [background(_show(console, agent), "the display", device.say)] if console.is_terminal and not console.quiet else []
        )
        if reporter is not None:
            tasks.append(background(reporter.run(partial(_status, config, agent, source)), "the reporter", device.say))
        if meter is not None:
            meter.start()
        say_ready(announce, {})
        await device.run(config.seconds, config.frames)
        measured = meter.stop() if meter is not None else None
        await cancel(*tasks)
        if reporter is not None:
            await reporter.last(_status(config, agent, source))
    table = agent.ledger.table()
    return RunOutcome(
        node=agent.config.node,
        sent=table.sent,
        answered=table.answered,
        dropped=table.dropped,
        failed=table.failed,
        modes=table.modes,
        balanced=table.balanced,
        link_kind=config.link_kind if config.server else "none",
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
        energy=table.energy,
        energy_source=f"modelled: watts of {profile.title}, busy seconds of this machine"
        + (f", radio {config.radio}" if config.radio else ""),
        measured=measured,
    )


def _agent(config: RunConfig, bundle: Bundle, source: Source, profile: Device, node: str) -> tuple[Agent, Heads]:
    heads = Heads(bundle, config.threads)
    streams = heads.streams()
    points = _points(bundle, config.only)
    declared = config.source.split(":")[2] if config.source.startswith("junction:") and config.source.count(":") == 2 else "all"
    settings = AgentConfig(node, config.deadline, config.condition or declared, insured=any(p.mode == "local" for p in points))
    rows = Rows(MemoryOutbox(), time.time) if config.server is not None else None
    session = DeviceSession(Hello(node, __version__, streams, bundle.address), rows)
    if config.radio not in RADIOS:
        raise ConfigError("there is no such radio", got=config.radio, allowed=", ".join(r for r in RADIOS if r))
    if profile.idle is None or profile.active is None:
        raise ConfigError("a profile has no power figures", got=config.profile, allowed="one with idle and active power")
    energy = EnergyModel(profile.idle.value, profile.active.value, RADIOS[config.radio])
    interval = 1 / (source.rate or STILLS)
    policy = OnlinePolicy(points, interval, Budget.parse(config.budget), joules=lambda *spent: energy.of(*spent).value)
    return Agent(settings, policy, session, {s.point: s.id for s in streams}, energy, rows), heads


def _instrument() -> Meter | None:
    """An energy counter of this machine; None where it has none, and joules are modelled."""
    try:
        return best_meter()
    except MeterError:
        return None


def _points(bundle: Bundle, only: tuple[str, ...]) -> tuple[OperatingPoint, ...]:
    """The bundle's operating points, or those of them that were named."""
    points = {p.name: p for p in bundle.manifest.points if p.mode != "drop"}
    if unknown := [name for name in only if name not in points]:
        raise ConfigError("the bundle has no such operating point", got=", ".join(unknown), allowed=", ".join(points))
    return tuple(points[name] for name in only or points)


def _address(server: str | None) -> str:
    """host:port, with our port where none is said; ConfigError for what is no address."""
    assert server is not None
    address = server if ":" in server else f"{server}:{PORT}"
    url(address, secure=True)
    return address


def _reporter(config: RunConfig, identity: Identity | None) -> Reporter | None:
    """Status for the page always, where there is a server; pictures where they are asked for."""
    if config.server is None or identity is None:
        return None
    address = config.report or f"https://{_address(config.server)}"
    return Reporter(address, client_context(identity), config.preview)


def _shower(reporter: Reporter | None) -> Callable[[int, Sample], None] | None:
    return reporter.sample if reporter is not None else None


def _record_writer(path: str | None, stack: contextlib.ExitStack) -> Callable[[FrameRecord], None] | None:
    if path is None:
        return None
    file = stack.enter_context(Path(path).open("wb"))  # noqa: SIM115 (the stack closes it)

    def write(record: FrameRecord) -> None:
        file.write(msgspec.json.encode(record) + b"\n")

    return write


def _status(config: RunConfig, agent: Agent, source: Source) -> NodeStatus:
    table = agent.ledger.table()
    ended = table.answered + sum(table.dropped.values()) + sum(table.failed.values())
    rows, session = agent.rows, agent.session
    last = agent.last
    return NodeStatus(
        node=agent.config.node,
        connected=session.open,
        link_kind=config.link_kind,
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
        model=agent.session.hello.bundle[:12],
        version=__version__,
        quality=agent.policy.points[last.point].worth(agent.config.condition)
        if last and last.point in agent.policy.points
        else None,
    )


async def _show(console: Console, agent: Agent) -> None:
    """A living line a mode while the device works."""
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
