"""What this machine offers to edgewise: versions, execution providers, kinds of link, browser, energy meters."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec import Struct

from edgewise import __version__

PACKAGES = {
    "device": ("aiohttp", "cryptography", "msgspec", "numpy", "onnxruntime", "pillow", "rich", "safetensors", "tyro"),
    "camera": ("opencv-python-headless",),
    "server": ("matplotlib", "onnx", "prometheus-client", "scipy"),
    "train": ("onnxscript", "torch"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Doctor(Struct, frozen=True):
    """`links` and `meters` map a kind to "available" or to the sentence that says why it is not."""

    python: str
    system: str
    processor: str
    cores: int
    versions: dict[str, str | None]
    missing: dict[str, str]
    providers: tuple[str, ...]
    links: dict[str, str]
    meters: dict[str, str]
    browser: str | None


def examine() -> Doctor:
    """Look, and change nothing."""
    versions = {p: _version(p) for packages in PACKAGES.values() for p in packages}
    missing = {
        extra: f"{', '.join(p for p in packages if versions[p] is None)}: pip install -c constraints.txt 'edgewise[{extra}]'"
        for extra, packages in PACKAGES.items()
        if any(versions[p] is None for p in packages)
    }
    return Doctor(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(),
        cores=os.cpu_count() or 1,
        versions={"edgewise": __version__, **versions},
        missing=missing,
        providers=_providers(),
        links={"virtual": "available", "proxy": "available", "tun": _tun(), "netem": _netem()},
        meters=_meters(),
        browser=next((found for name in BROWSERS if (found := shutil.which(name))), None),
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    if file.exists():
        names = [
            line.partition(":")[2].strip() for line in file.read_text().splitlines() if line.startswith(("model name", "Model"))
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _providers() -> tuple[str, ...]:
    import onnxruntime

    return tuple(onnxruntime.get_available_providers())


def _tun() -> str:
    if not Path("/dev/net/tun").exists():
        return "the kernel has no /dev/net/tun."
    return "the kernel has it; it needs root." if os.geteuid() != 0 else "the kernel has it; no link of ours uses it yet."


def _netem() -> str:
    tc = shutil.which("tc")
    if tc is None:
        return "the program tc is not installed (Debian: iproute2)."
    probe = subprocess.run(["modprobe", "-n", "sch_netem"], capture_output=True) if shutil.which("modprobe") else None
    if probe is not None and probe.returncode == 0:
        return "the kernel has it; no link of ours uses it yet."
    return "the kernel does not offer sch_netem."


def _meters() -> dict[str, str]:
    from edgewise.meter.energy import meters

    return {name: sentence or "available" for name, sentence in meters().items()}
