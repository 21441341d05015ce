"""What a device pays before it sees a frame: installed bytes, memory, and seconds from a fresh process to its first answer.

The command itself is run, `edgewise run` against `edgewise serve`, with the shipped bundle, on pictures made for the purpose.
In a full run it is installed first, without extras, into an environment of its own, as on a device; its packages are weighed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
from msgspec import Struct
from PIL import Image

from bench.report import ROOT, Row, summary
from edgewise.core.errors import LinkError

INSTALL_SECONDS = 420.0
_TOOLS = ("pip", "setuptools", "_distutils_hack", "distutils-precedence.pth", "pkg_resources", "wheel")


class Installed(Struct, frozen=True):
    """The interpreter of the environment, its bytes without tools and caches, and the heaviest packages (bytes)."""

    python: str
    size: int
    heaviest: dict[str, int]


class Start(Struct, frozen=True):
    """One fresh agent: seconds from its start to the first answer, its largest memory (bytes), and what it did."""

    first: float
    memory: float
    modes: dict[str, int]
    balanced: bool
    torch_imported: bool


def install(folder: Path) -> Installed:
    """`pip install -c constraints.txt .` without extras into a fresh environment below `folder`."""
    copy, venv = folder / "source", folder / "venv"
    listed = _run(["git", "ls-files", "-coz", "--exclude-standard"], ROOT, 30).split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    _run([sys.executable, "-m", "venv", str(venv)], ROOT, 120)
    python = venv / "bin" / "python"
    _run([str(python), "-m", "pip", "install", "-q", "-c", "constraints.txt", "."], copy, INSTALL_SECONDS)
    site = Path(_run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder, 30).strip())
    size, packages = weigh(site)
    return Installed(str(python), size, packages)


def weigh(site: Path) -> tuple[int, dict[str, int]]:
    """Bytes of site-packages apart from pip, setuptools and __pycache__, and those of the heaviest packages."""
    packages: dict[str, int] = {}
    for file in site.rglob("*"):
        parts = file.relative_to(site).parts
        tool = parts[0] in _TOOLS or parts[0].split("-")[0] in _TOOLS
        if not tool and "__pycache__" not in parts and file.is_file() and not file.is_symlink():
            packages[parts[0]] = packages.get(parts[0], 0) + file.stat().st_size
    heaviest = sorted(packages, key=lambda name: -packages[name])[:5]
    return sum(packages.values()), {name: packages[name] for name in heaviest}


def pictures(folder: Path, count: int = 24) -> Path:
    """JPEG files of a frame's size, smooth with some noise, as a camera's are."""
    folder.mkdir()
    generator = np.random.default_rng(3)
    for i in range(count):
        coarse = Image.fromarray(generator.integers(0, 255, (9, 16, 3), np.uint8)).resize((640, 360), Image.Resampling.BICUBIC)
        noisy = np.asarray(coarse, int) + generator.integers(-8, 8, (360, 640, 3))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{i}.jpg", quality=85)
    return folder


@contextlib.contextmanager
def serving(python: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """`edgewise serve` with the shipped bundle: its address, and the folder of a device's keys."""
    keys, announce = folder / "keys", folder / "announce.json"
    words = ["serve", "--keys", str(keys), "--host", "127.0.0.1", "--port", "0", "--headless", "--announce", str(announce)]
    command, log = [python, "-m", "edgewise", *words], folder / "serve.log"
    with log.open("wb") as said, subprocess.Popen(command, cwd=folder, env=_environment(python), stdout=said, stderr=said) as it:
        try:
            end = time.monotonic() + 30
            while not announce.exists():
                if it.poll() is not None or time.monotonic() > end:
                    raise LinkError("edgewise serve did not come up", got=f"status {it.poll()}: {_last_line(log)}")
                time.sleep(0.05)
            _run([python, "-m", "edgewise", "keys", "issue", "camera", "--keys", str(keys)], folder, 60, python)
            yield f"127.0.0.1:{json.loads(announce.read_text())['port']}", keys / "devices" / "camera"
        finally:
            it.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                it.wait(10)
            it.kill()


def start(python: str, folder: Path, source: Path, server: tuple[str, Path] | None, frames: int, rate: float = 10.0) -> Start:
    """A fresh `edgewise run` of so many frames; its clock is ours, so that its own records say when it answered."""
    records, table = folder / "records.jsonl", folder / "table.json"
    words = ["--source", str(source), "--loop", "--rate", str(rate), "--frames", str(frames)]
    words += ["--records", str(records), "--json", str(table)]
    if server is not None:
        words += ["--server", server[0], "--keys", str(server[1])]
    began, largest = time.monotonic(), 0.0
    command = [python, "-m", "edgewise", "run", *words]
    log = folder / "run.log"
    with log.open("wb") as out, subprocess.Popen(command, cwd=folder, env=_environment(python), stdout=out, stderr=out) as it:
        watched, end = psutil.Process(it.pid), time.monotonic() + frames / rate + 60
        while it.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                largest = max(largest, float(watched.memory_info().rss))
            if time.monotonic() > end:
                it.kill()
                raise LinkError("the agent did not end", got=f"{frames} frames at {rate:g} a second")
            time.sleep(0.02)
    if it.returncode != 0 or not table.exists():
        raise LinkError("the agent failed", got=f"status {it.returncode}: {_last_line(log)}")
    ended = [json.loads(line) for line in records.read_text().splitlines()]
    answered = [r for r in ended if r["outcome"] == "answered"]
    if not answered:
        raise LinkError("the agent answered nothing", got=f"{len(ended)} records")
    said = json.loads(table.read_text())
    modes: dict[str, int] = {}
    for r in answered:
        modes[r["mode"]] = modes.get(r["mode"], 0) + 1
    first = min(r["captured"] + r["latency"] for r in answered) - began
    return Start(first, largest, modes, bool(said["balanced"]), bool(said["torch_imported"]))


def rows(installed: Installed | None, alone: Sequence[Start], joined: Start) -> list[Row]:
    out = [
        summary("fresh agent", "first answer after its start", [s.first for s in alone], "s"),
        Row("agent with the shipped bundle, alone", "largest memory", max(s.memory for s in alone), "bytes", len(alone)),
        Row("agent with the shipped bundle, on a server", "largest memory", joined.memory, "bytes"),
    ]
    out += [Row("agent on a server", f"answered by {mode}", n, "frames") for mode, n in sorted(joined.modes.items())]
    if installed is not None:
        out.append(Row("device install", "site-packages", installed.size, "bytes"))
        out += [Row("device install", name, size, "bytes") for name, size in installed.heaviest.items()]
    return out


def _last_line(log: Path) -> str:
    return "".join(log.read_text(errors="replace").strip().splitlines()[-1:])


def _environment(python: str) -> dict[str, str]:
    """One thread; an installed edgewise is found by itself, this interpreter's is the working tree."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return {**kept, **threads, **({"PYTHONPATH": str(ROOT)} if python == sys.executable else {})}


def _run(command: list[str], where: Path, seconds: float, python: str = "") -> str:
    try:
        done = subprocess.run(
            command, cwd=where, env=_environment(python) if python else None, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise LinkError("a step of the benchmark takes too long", got=f"{' '.join(command[:4])} after {seconds:g} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise LinkError("a step of the benchmark failed", got=f"{' '.join(command[:4])}: {''.join(said)}")
    return done.stdout
