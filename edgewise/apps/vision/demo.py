"""`edgewise demo`: an edge server and some devices as separate processes on this machine, joined through shaped links.

The parent makes certificates for the run, shapes each device's link with a proxy of its own, and adds up the devices'
ledgers at the end. Nothing is downloaded, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console

from edgewise.apps.vision import children
from edgewise.apps.vision.children import Child
from edgewise.apps.vision.keys import init, issue_node
from edgewise.apps.vision.outcome import RunOutcome, ledger_table
from edgewise.apps.vision.serve import ServeOutcome
from edgewise.core.errors import LinkError
from edgewise.core.measurement import Provenance, joint
from edgewise.core.placement import Mode
from edgewise.net.links.proxy import start as start_proxy
from edgewise.profiles.load import load_link

SCENES = tuple(f"junction:{s}" for s in ("14:clear", "4:fog", "6:night", "20:rain", "21:haze", "34:low_light"))
LINKS = ("lte_synthetic", "wifi_synthetic", "3g_synthetic")  # of the devices after the first
PATIENCE = 60.0  # s that a child may take to start or to end


class DemoConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What `edgewise demo` was asked for; see its help."""

    seconds: float | None = None
    headless: bool = False
    link: str = "step"
    devices: int = 2
    port: int = 8770


class DemoMode(Struct, frozen=True):
    """One mode over all devices: frames, the worst device's median latency (s), bytes and device energy (J) a frame."""

    n: int
    latency_p50: float
    bytes: float
    energy: float
    provenance: Provenance


class DemoOutcome(Struct, frozen=True):
    """The demo's ledger over all devices, and what the server says of itself. `crashed` names who ended by itself."""

    sent: int
    answered: int
    dropped: dict[str, int]
    failed: int
    failures: dict[str, int]
    modes: dict[Mode, DemoMode]
    link_kind: str
    torch_imported: bool
    crashed: tuple[str, ...]
    devices: dict[str, RunOutcome]
    server: ServeOutcome | None

    @property
    def well(self) -> bool:
        """The sum holds, answers came back from the server, and nobody crashed."""
        ends = self.answered + sum(self.dropped.values()) + self.failed
        remote = sum(row.n for mode, row in self.modes.items() if mode in ("split", "image"))
        return self.sent == ends and remote > 0 and not self.crashed and all(d.balanced for d in self.devices.values())


def run_demo(config: DemoConfig, console: Console) -> DemoOutcome:
    """Run until SIGINT or for `config.seconds`; the closing table is shown."""
    outcome = asyncio.run(_demo(config, console))
    console.print(ledger_table(outcome.devices))
    lost = f"{sum(outcome.dropped.values())} dropped + {outcome.failed} failed"
    word = "[green]the sum holds[/]" if outcome.well else "[red]not well[/]"
    console.print(f"{outcome.sent} sent = {outcome.answered} answered + {lost}: {word}")
    for name in outcome.crashed:
        console.print(f"[red]{name} ended by itself[/]")
    return outcome


async def _demo(config: DemoConfig, console: Console) -> DemoOutcome:
    stop = asyncio.Event()
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(end, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgewise-demo-")))
        init(folder / "keys")
        server = await children.start(_server_words(folder, config), folder / "server.log")
        stack.push_async_callback(server.end, signal.SIGTERM)
        ports = await server.announced(folder / "server.ready", PATIENCE)
        devices: dict[str, Child] = {}
        for i in range(config.devices):
            name, link = f"camera-{i + 1}", load_link(config.link if i == 0 else LINKS[(i - 1) % len(LINKS)])
            issue_node(folder / "keys", name)
            proxy = await start_proxy(("127.0.0.1", 0), ("127.0.0.1", ports["port"]), link)
            stack.push_async_callback(proxy.close)
            words = _device_words(folder, name, i, proxy.port, ports["port"], config)
            devices[name] = await children.start(words, folder / f"{name}.log")
            stack.push_async_callback(devices[name].end, signal.SIGTERM)
            console.print(f"{name}: {SCENES[i % len(SCENES)]}, link {link.name} ({proxy.kind})")
        if ports["page"]:
            console.print(f"[bold]page: http://127.0.0.1:{ports['page']}/[/]   (Ctrl-C ends the demo)")
        for name, child in devices.items():
            if not stop.is_set():
                await child.announced(folder / f"{name}.ready", PATIENCE)
        crashed = await _wait(stop, config.seconds, {"the edge server": server, **devices})
        for child in devices.values():
            child.tell(signal.SIGINT)
        outcomes = {name: await _outcome(name, child, folder / f"{name}.json") for name, child in devices.items()}
        await server.end(signal.SIGTERM)
        return add_up(outcomes, _server_outcome(folder / "server.json"), crashed)


def _server_words(folder: Path, config: DemoConfig) -> list[str]:
    words = ["serve", "vehicles", "--keys", str(folder / "keys"), "--host", "127.0.0.1", "--port", "0"]
    words += ["--announce", str(folder / "server.ready"), "--json", str(folder / "server.json")]
    return words + (["--headless"] if config.headless else ["--page-port", str(config.port)])


def _device_words(folder: Path, name: str, i: int, port: int, direct: int, config: DemoConfig) -> list[str]:
    words = [
        "run",
        "--source",
        SCENES[i % len(SCENES)],
        "--server",
        f"127.0.0.1:{port}",
        "--keys",
        str(folder / "keys/devices" / name),
    ]
    words += ["--json", str(folder / f"{name}.json"), "--announce", str(folder / f"{name}.ready")]
    words += ["--link-kind", "proxy", "--radio", "lte", "--quiet"]
    return [*words, "--report", f"https://127.0.0.1:{direct}", "--preview", "0" if config.headless else "5"]


async def _wait(stop: asyncio.Event, seconds: float | None, all_of_them: dict[str, Child]) -> tuple[str, ...]:
    """Until somebody ends it, the time is over, or a process ends by itself; the names of those that did."""
    ends = [asyncio.create_task(c.process.wait()) for c in all_of_them.values()]
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *ends], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopped, *ends):
        task.cancel()
    return tuple(name for name, child in all_of_them.items() if not child.running)


async def _outcome(name: str, child: Child, file: Path) -> RunOutcome:
    try:
        async with asyncio.timeout(PATIENCE):
            await child.process.wait()
    except TimeoutError:
        raise LinkError(f"{name} did not end", got=f"{PATIENCE:g} s of patience") from None
    if not file.exists():
        raise LinkError(f"{name} left no ledger", got=child.last_words())
    return msgspec.json.decode(file.read_bytes(), type=RunOutcome)


def _server_outcome(file: Path) -> ServeOutcome | None:
    return msgspec.json.decode(file.read_bytes(), type=ServeOutcome) if file.exists() else None


def add_up(outcomes: dict[str, RunOutcome], server: ServeOutcome | None, crashed: tuple[str, ...] = ()) -> DemoOutcome:
    """The ledgers of all devices in one."""

    def merged(field: str) -> dict[str, int]:
        total: dict[str, int] = {}
        for o in outcomes.values():
            for reason, n in getattr(o, field).items():
                total[reason] = total.get(reason, 0) + n
        return total

    modes: dict[Mode, DemoMode] = {}
    for mode in sorted({m for o in outcomes.values() for m in o.modes}):
        rows = [o.modes[mode] for o in outcomes.values() if mode in o.modes]
        n = sum(r.n for r in rows)
        modes[mode] = DemoMode(
            n=n,
            latency_p50=max(r.latency_p50 for r in rows),
            bytes=sum(r.bytes * r.n for r in rows) / n,
            energy=sum(r.energy * r.n for r in rows) / n,
            provenance=joint(r.provenance for r in rows),
        )
    failures = merged("failed")
    torch = [o.torch_imported for o in outcomes.values()] + ([server.torch_imported] if server else [])
    return DemoOutcome(
        sent=sum(o.sent for o in outcomes.values()),
        answered=sum(o.answered for o in outcomes.values()),
        dropped=merged("dropped"),
        failed=sum(failures.values()),
        failures=failures,
        modes=modes,
        link_kind=", ".join(sorted({o.link_kind for o in outcomes.values()})),
        torch_imported=any(torch) or "torch" in sys.modules,
        crashed=crashed,
        devices=outcomes,
        server=server,
    )
