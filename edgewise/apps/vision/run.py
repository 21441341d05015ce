"""`edgewise run`: a camera, a bundle, certificates and the agent, wired into one device."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from zlib import crc32

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.markup import escape

from edgewise import __version__
from edgewise.adapt.device import DeviceLearner, seed_of
from edgewise.apps.vision import logs
from edgewise.apps.vision.account import outcome, show, status
from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.children import announce as say_ready
from edgewise.apps.vision.keys import device_identity
from edgewise.apps.vision.outcome import RunOutcome, ledger_table
from edgewise.apps.vision.reporter import Reporter
from edgewise.apps.vision.trust import ROOT_PUBLIC
from edgewise.apps.vision.updates import Store, Updates
from edgewise.core.answer import FrameRecord
from edgewise.core.cost import Budget
from edgewise.core.decoding import Classes, Grid, Regions, Things
from edgewise.core.device import Device
from edgewise.core.errors import ConfigError, MeterError, StoreError
from edgewise.core.placement import OperatingPoint
from edgewise.core.power import RADIOS
from edgewise.data.source import Sample, Source, open_source
from edgewise.meter.energy import EnergyModel, best_meter
from edgewise.meter.instrument import Meter
from edgewise.net.connect import connect, url
from edgewise.net.fetch import Fetcher
from edgewise.net.identity import Identity, client_context
from edgewise.net.messages import Hello
from edgewise.net.renewal import keep
from edgewise.net.session import DeviceSession
from edgewise.node.agent import Agent, AgentConfig
from edgewise.node.background import background, cancel
from edgewise.node.device import DeviceNode
from edgewise.node.heads import Heads
from edgewise.node.rows import Outbox as Waiting
from edgewise.node.rows import Rows
from edgewise.node.store.database import IN_USE
from edgewise.node.store.outbox import MemoryOutbox
from edgewise.plan.online import OnlinePolicy
from edgewise.profiles.load import load_device
from edgewise.runtime.bundle import Bundle

log = logging.getLogger("edgewise.run")
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
    state: str | None = None
    link_kind: str = "real"


def run_device(config: RunConfig, console: Console, announce: Path | None = None) -> RunOutcome:
    """Run until the source ends, the time is over or SIGINT; the closing table is shown."""
    logs.begin(config.log)
    ended = asyncio.run(_run(config, console, announce))
    console.print(ledger_table({ended.node: ended}))
    for sentence in ended.warnings:
        console.print(f"[yellow]·[/] {escape(sentence)}", highlight=False)
    return ended


async def _run(config: RunConfig, console: Console, announce: Path | None) -> RunOutcome:
    if config.deadline <= 0 or (config.seconds is not None and config.seconds <= 0):
        raise ConfigError(
            "a time is impossible", got=f"deadline {config.deadline} s, seconds {config.seconds}", allowed="more than 0"
        )
    began = time.monotonic()
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
    async with contextlib.AsyncExitStack() as stack:
        store, bundle, said_of_store = _store(config, identity, stack)
        outbox = store.outbox if store is not None else MemoryOutbox()
        agent, heads = _agent(config, bundle, source, profile, identity.node if identity else config.name or "device", outbox)
        tls = partial(client_context, clock=store.trusted_time, revoked=store.revoked) if store is not None else client_context
        context = tls(identity) if identity is not None else None
        link = partial(connect, _address(config.server), identity, tls=tls) if config.server is not None else None
        meter = _instrument()
        reporter = (
            Reporter(_https(config), context, config.preview) if config.server is not None and context is not None else None
        )
        write = _record_writer(config.records, stack)
        said = partial(status, agent, source, outbox, link_kind=config.link_kind, budget=config.budget)
        device = DeviceNode(agent, heads, source, link, on_record=write, on_sample=_shower(reporter))
        if said_of_store:
            device.say(said_of_store)
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, device.stop)
        tasks = [background(show(console, agent), "the display", device.say)] if console.is_terminal and not console.quiet else []
        if store is not None and identity is not None and context is not None:
            updates = await _updates(config, store, context, bundle, device, stack)
            tasks.append(background(updates.run(), "delivery", device.say))
            renewed = partial(_renewed, identity, context)
            tasks.append(background(keep(_https(config), identity, renewed, store.trusted_time), "the certificate", device.say))
        if reporter is not None:
            tasks.append(background(reporter.run(said), "the reporter", device.say))
        if meter is not None:
            meter.start()
        say_ready(announce, {})
        await device.run(config.seconds, config.frames)
        measured = meter.stop() if meter is not None else None
        await cancel(*tasks)
        if reporter is not None:
            await reporter.last(said())
        if store is not None and not device.broken:
            store.ended()
    return outcome(
        agent,
        device,
        source,
        reporter,
        began,
        link_kind=config.link_kind if config.server else "none",
        watts=_watts(config, profile),
        measured=measured,
    )


def _watts(config: RunConfig, profile: Device) -> str:
    """By which model joules are said."""
    radio = f", radio {config.radio}" if config.radio else ""
    return f"modelled: watts of {profile.title}, busy seconds of this machine{radio}"


def _store(config: RunConfig, identity: Identity | None, stack: contextlib.AsyncExitStack) -> tuple[Store | None, Bundle, str]:
    """What the device keeps between runs, its version, and a sentence where something is not as a person would expect.

    There is no store without a server, with keys of a site that signs no versions, or on a disk that fails or is full: frames
    without delivery are better than none.
    """
    folder = find(config.bundle)
    if config.server is None or identity is None or config.keys is None or not (Path(config.keys) / ROOT_PUBLIC).exists():
        return None, Bundle.open(folder), ""
    root = (Path(config.keys) / ROOT_PUBLIC).read_text().strip()
    try:
        store = Store(Path(config.state or Path(config.keys) / "state"), identity.node, root)
        stack.callback(store.close)
        return store, store.begin(folder, partial(_points, only=config.only)), store.sentence
    except StoreError as error:
        if error.what == IN_USE:
            raise
        log.error("the device runs without its store: %s", error)
        return None, Bundle.open(folder), f"Nothing is kept over a restart and no new version is taken: {error}"


async def _updates(
    config: RunConfig, store: Store, tls: ssl.SSLContext, bundle: Bundle, device: DeviceNode, stack: contextlib.AsyncExitStack
) -> Updates:
    """The rim of delivery, joined to the device: news come in, versions are swapped."""
    fetcher = await stack.enter_async_context(Fetcher(_https(config), tls))

    def ready(new: Bundle) -> Callable[[], Awaitable[None]]:
        heads, points = Heads(new, config.threads), _points(new, config.only)
        heads.warm()
        heads.succeed(device.heads)
        return partial(device.swap, heads, points)

    updates = Updates(store, bundle, fetcher, ready, device.health, device.say)
    device.on_news = updates.news
    return updates


def _renewed(identity: Identity, context: ssl.SSLContext, ends: float) -> None:
    """Connections that begin from now on show the new certificate."""
    context.load_cert_chain(identity.certificate, identity.key)


def _https(config: RunConfig) -> str:
    return config.report or f"https://{_address(config.server)}"


def _agent(config: RunConfig, bundle: Bundle, source: Source, profile: Device, node: str, outbox: Waiting) -> tuple[Agent, Heads]:
    heads = Heads(bundle, config.threads)
    streams = heads.streams()
    points = _points(bundle, config.only)
    declared = config.source.split(":")[2] if config.source.startswith("junction:") and config.source.count(":") == 2 else "all"
    settings = AgentConfig(node, config.deadline, config.condition or declared, insured=any(p.mode == "local" for p in points))
    rows = Rows(outbox, time.time) if config.server is not None else None
    learner = _learner(bundle, node)
    session = DeviceSession(Hello(node, __version__, streams, bundle.address), rows, learns=learner is not None)
    if config.radio not in RADIOS:
        raise ConfigError("there is no such radio", got=config.radio, allowed=", ".join(r for r in RADIOS if r))
    if profile.idle is None or profile.active is None:
        raise ConfigError("a profile has no power figures", got=config.profile, allowed="one with idle and active power")
    energy = EnergyModel(profile.idle.value, profile.active.value, RADIOS[config.radio])
    interval = 1 / (source.rate or STILLS)
    joules = lambda *spent: energy.of(*spent).value  # noqa: E731 (one line, as everywhere)
    policy = OnlinePolicy(points, interval, Budget.parse(config.budget), joules=joules, seed=crc32(node.encode()))
    ways = {s.point: s.id for s in streams}
    return Agent(settings, policy, session, ways, energy, rows, heads.filter, learner), heads


def _learner(bundle: Bundle, node: str) -> DeviceLearner | None:
    """What chooses frames to be learned from, should the server ask for any; None for models whose answers are no classes or
    cells.
    """
    decoding = bundle.manifest.decoding
    if isinstance(decoding, Classes):
        return DeviceLearner(max(2, len(bundle.manifest.labels)), seed_of(node))
    return DeviceLearner(2, seed_of(node)) if isinstance(decoding, Grid | Things | Regions) else None


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


def _shower(reporter: Reporter | None) -> Callable[[int, Sample], None] | None:
    return reporter.sample if reporter is not None else None


def _record_writer(path: str | None, stack: contextlib.AsyncExitStack) -> Callable[[FrameRecord], None] | None:
    if path is None:
        return None
    file = stack.enter_context(Path(path).open("wb"))  # noqa: SIM115 (the stack closes it)

    def write(record: FrameRecord) -> None:
        file.write(msgspec.json.encode(record) + b"\n")

    return write
