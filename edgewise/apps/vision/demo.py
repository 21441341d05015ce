"""`edgewise demo`: an edge server and some devices as separate processes on this machine, joined through shaped links.

The parent makes certificates for the run, shapes each device's link with a proxy of its own, and adds up the devices'
ledgers at the end. Nothing is downloaded, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console

from edgewise.apps.vision.keys import init, issue_device
from edgewise.apps.vision.run import RunOutcome, ledger_table
from edgewise.core.errors import LinkError
from edgewise.core.measurement import Provenance, joint
from edgewise.core.placement import Mode
from edgewise.net.links.proxy import Proxy
from edgewise.net.links.proxy import start as start_proxy
from edgewise.profiles.load import load_link

SCENES = (
    "junction:3:clear",
    "junction:8:fog",
    "junction:5:night",
    "junction:12:rain",
    "junction:21:haze",
    "junction:34:low_light",
)
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
    """One mode over all devices: frames, median latency (s, of the devices' medians), bytes and device energy (J) a frame."""

    n: int
    latency_p50: float
    bytes: float
    energy: float
    provenance: Provenance


class DemoOutcome(Struct, frozen=True):
    """The demo's ledger over all devices."""

    sent: int
    answered: int
    dropped: dict[str, int]
    failed: dict[str, int]
    modes: dict[Mode, DemoMode]
    link_kind: str
    torch_imported: bool
    devices: dict[str, RunOutcome]

    @property
    def well(self) -> bool:
        """The sum holds and answers arrived."""
        ends = self.answered + sum(self.dropped.values()) + sum(self.failed.values())
        return self.sent == ends and self.answered > 0 and all(d.balanced for d in self.devices.values())


def run_demo(config: DemoConfig, console: Console) -> DemoOutcome:
    """Run until SIGINT or for `config.seconds`; the closing table is shown."""
    outcome = asyncio.run(_demo(config, console))
    console.print(ledger_table(outcome.devices))
    word = "[green]the sum holds[/]" if outcome.well else "[red]the sum does not hold, or nothing was answered[/]"
    lost = f"{sum(outcome.dropped.values())} dropped + {sum(outcome.failed.values())} failed"
    console.print(f"{outcome.sent} sent = {outcome.answered} answered + {lost}: {word}")
    return outcome


async def _demo(config: DemoConfig, console: Console) -> DemoOutcome:
    stop = asyncio.Event()
    for end in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(end, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgewise-demo-")))
        keys = folder / "keys"
        init(keys)
        server, ports = await _start_server(folder, config, stack)
        devices: dict[str, tuple[asyncio.subprocess.Process, Path]] = {}
        for i in range(config.devices):
            name = f"camera-{i + 1}"
            issue_device(keys, name)
            link = load_link(config.link if i == 0 else LINKS[(i - 1) % len(LINKS)])
            proxy: Proxy = await start_proxy(("127.0.0.1", 0), ("127.0.0.1", ports["port"]), link)
            stack.push_async_callback(proxy.close)
            devices[name] = await _start_device(folder, name, i, proxy.port, ports["port"], config)
            stack.push_async_callback(_end, devices[name][0], signal.SIGKILL)
            console.print(f"{name}: {SCENES[i % len(SCENES)]}, link {link.name} ({proxy.kind})")
        if ports["page"]:
            console.print(f"[bold]page: http://127.0.0.1:{ports['page']}/[/]   (Ctrl-C ends the demo)")
        await _wait(stop, config.seconds, server, [p for p, _ in devices.values()])
        for process, _ in devices.values():
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
        outcomes = {name: await _outcome(name, process, file) for name, (process, file) in devices.items()}
        await _end(server, signal.SIGTERM)
    return add_up(outcomes)


async def _start_server(
    folder: Path, config: DemoConfig, stack: contextlib.AsyncExitStack
) -> tuple[asyncio.subprocess.Process, dict[str, int]]:
    announce = folder / "server.json"
    words = ["serve", "vehicles", "--keys", str(folder / "keys"), "--host", "127.0.0.1", "--port", "0"]
    words += ["--headless"] if config.headless else ["--page-port", str(config.port)]
    server = await _spawn([*words, "--announce", str(announce)], folder / "server.log")
    stack.push_async_callback(_end, server, signal.SIGKILL)
    until = time.monotonic() + PATIENCE
    while not announce.exists():
        if server.returncode is not None or time.monotonic() > until:
            raise LinkError("the edge server did not start", got=_last_words(folder / "server.log"))
        await asyncio.sleep(0.02)
    return server, json.loads(announce.read_text())


async def _start_device(
    folder: Path, name: str, i: int, port: int, direct: int, config: DemoConfig
) -> tuple[asyncio.subprocess.Process, Path]:
    file = folder / f"{name}.json"
    words = [
        "run",
        "--source",
        SCENES[i % len(SCENES)],
        "--server",
        f"127.0.0.1:{port}",
        "--keys",
        str(folder / "keys/devices" / name),
    ]
    words += ["--json", str(file), "--link-kind", "proxy", "--radio", "lte", "--quiet"]
    words += ["--report", f"https://127.0.0.1:{direct}", "--preview", "0" if config.headless else "5"]
    return await _spawn(words, folder / f"{name}.log"), file


async def _spawn(words: list[str], log: Path) -> asyncio.subprocess.Process:
    with log.open("wb") as out:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "edgewise",
            *words,
            stdout=out,
            stderr=out,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )


async def _wait(
    stop: asyncio.Event, seconds: float | None, server: asyncio.subprocess.Process, devices: list[asyncio.subprocess.Process]
) -> None:
    """Until somebody ends it, the time is over, or a process ends by itself."""
    ends = [asyncio.create_task(p.wait()) for p in (server, *devices)]
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *ends], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopped, *ends):
        task.cancel()


async def _outcome(name: str, process: asyncio.subprocess.Process, file: Path) -> RunOutcome:
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        raise LinkError(f"{name} did not end", got=f"{PATIENCE:g} s of patience") from None
    if not file.exists():
        raise LinkError(f"{name} left no ledger", got=_last_words(file.with_suffix(".log")))
    return msgspec.json.decode(file.read_bytes(), type=RunOutcome)


async def _end(process: asyncio.subprocess.Process, how: signal.Signals) -> None:
    """End a process that was started here, by its own number."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 5.0)


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return " / ".join(lines[-3:]) or "no word"


def add_up(outcomes: dict[str, RunOutcome]) -> DemoOutcome:
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
            latency_p50=sorted(r.latency_p50 for r in rows)[(len(rows) - 1) // 2],
            bytes=sum(r.bytes * r.n for r in rows) / n,
            energy=sum(r.energy * r.n for r in rows) / n,
            provenance=joint(r.provenance for r in rows),
        )
    kinds = {o.link_kind for o in outcomes.values()}
    return DemoOutcome(
        sent=sum(o.sent for o in outcomes.values()),
        answered=sum(o.answered for o in outcomes.values()),
        dropped=merged("dropped"),
        failed=merged("failed"),
        modes=modes,
        link_kind=", ".join(sorted(kinds)),
        torch_imported=any(o.torch_imported for o in outcomes.values()) or "torch" in sys.modules,
        devices=outcomes,
    )
