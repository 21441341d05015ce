"""A real site for the benchmarks of delivery: `edgewise serve` as a process, its keys, and new versions of the shipped bundle."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from bench.report import ROOT
from edgewise.apps.vision import keys
from edgewise.apps.vision.bundles import find
from edgewise.core.delta import Delta, Rows
from edgewise.core.errors import LinkError
from edgewise.runtime.bundle import bundle_files
from edgewise.runtime.update import manifest_of, parameters, updated

PATIENCE = 40.0  # s for a process to begin


class Yard(Struct, frozen=True):
    """Keys and the server's port; `process` is its number."""

    keys: Path
    port: int
    process: int

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def root(self) -> str:
        return (self.keys / "root.public").read_text().strip()


@contextlib.contextmanager
def yard(folder: Path, devices: tuple[str, ...]) -> Iterator[Yard]:
    """A site with certificates for `devices` and a running server, which is ended whatever happens."""
    home = folder / "keys"
    keys.init(home)
    for name in devices:
        keys.issue_node(home, name)
    words = ["serve", "--keys", str(home), "--host", "127.0.0.1", "--port", "0", "--headless"]
    words += ["--announce", str(folder / "ready")]
    with (folder / "serve.log").open("wb") as log:
        process = started(words, log)
        try:
            ports = announced(process, folder / "ready")
            yield Yard(home, ports["port"], process.pid)
        finally:
            ended(process)


def started(words: list[str], log: object) -> subprocess.Popen[bytes]:
    """An edgewise command as a process."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, "-m", "edgewise", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **threads, "PYTHONPATH": str(ROOT)})  # type: ignore[call-overload,no-any-return]


def announced(process: subprocess.Popen[bytes], file: Path) -> dict[str, int]:
    """What the process wrote when it was ready."""
    until = time.monotonic() + PATIENCE
    while not file.exists():
        if process.poll() is not None or time.monotonic() > until:
            raise LinkError("a process of the benchmark did not begin", got=f"status {process.poll()}")
        time.sleep(0.05)
    return msgspec.json.decode(file.read_bytes(), type=dict[str, int])


def ended(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def version(folder: Path, values: int, scale: float, seed: int = 0, base: Path | None = None) -> Path:
    """A bundle in `folder` with `values` weights of its tail's filters changed by noise of `scale`."""
    old = bundle_files(base or find("vehicles"))
    manifest, random, left = manifest_of(old), np.random.default_rng(seed), values
    changes = {}
    for path, value in parameters(old, manifest).items():
        if value.ndim == 4 and path.startswith("tail.") and left > 0:
            row = value[0].size
            count = min(len(value), -(-left // row))
            noise = (scale * random.standard_normal((count, *value.shape[1:]))).astype(np.float32)
            changes[path] = Rows(np.arange(count), noise)
            left -= count * row
    folder.mkdir(parents=True)
    for name, data in updated(old, Delta(manifest.address, manifest.address, "noise", changes)).items():
        (folder / name).write_bytes(data)
    return folder
