"""A Python for aarch64 under qemu-user, to try a device's processor on a server: `python -m bench.aarch64` makes it.

Debian's packages of that architecture are unpacked beside the project (build/aarch64, about 100 MB; 45 are downloaded, half of
them apt's lists, kept apart from the machine's own), so that nothing of the machine changes but qemu-user, where it is missing
and this is root. NumPy and msgspec are the wheels of the versions that run here. qemu translates instructions: it shows that
results are the same, not how long they take.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

from edgewise.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "aarch64"
QEMU = ("qemu-aarch64", "qemu-aarch64-static")
WHEELS = ("numpy", "msgspec")
HINT = "As root on Debian: python -m bench.aarch64"


def command(folder: Path = FOLDER) -> list[str]:
    """The words that start its interpreter; ConfigError, with what to run, where it was not made."""
    qemu = next((found for name in QEMU if (found := shutil.which(name))), None)
    python = next(iter(sorted((folder / "root" / "usr" / "bin").glob("python3.*"))), None)
    if qemu is None or python is None or not (folder / "site" / "numpy").is_dir():
        raise ConfigError(
            "there is no Python for aarch64 here", got=f"{qemu or 'no qemu-user'}, {python or 'no packages'}", hint=HINT
        )
    return [qemu, "-L", str(folder / "root"), str(python)]


def environment(folder: Path = FOLDER) -> dict[str, str]:
    """What its interpreter needs to find this project, NumPy and msgspec."""
    return {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{folder / 'site'}",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def make(folder: Path = FOLDER) -> None:
    """Download and unpack it; ConfigError with the words of the program that could not."""
    if not any(map(shutil.which, QEMU)):
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "qemu-user")
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("lists/partial", "cache/archives/partial", "packages", "wheels", "root", "site"):
        (folder / name).mkdir(parents=True)
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
        "Dir::State::Lists": str(folder / "lists"),
        "Dir::Cache": str(folder / "cache"),
    }
    apt = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    _run("apt-get", "-qq", *apt, "update")
    minor = _minor(_run("apt-cache", *apt, "show", "--no-all-versions", "python3-minimal"))
    python = (f"python{minor}-minimal", f"libpython{minor}-minimal", f"libpython{minor}-stdlib")
    libraries = ("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8")
    _run("apt-get", "-qq", *apt, "download", *libraries, *python, folder=folder / "packages")
    for package in sorted((folder / "packages").glob("*.deb")):
        _run("dpkg", "-x", str(package), str(folder / "root"))
    tags = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
    platforms = [word for tag in tags for word in ("--platform", tag)]
    pip = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version", minor)
    _run(*pip, *platforms, "-d", str(folder / "wheels"), *(f"{name}=={version(name)}" for name in WHEELS))
    for wheel in sorted((folder / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "site")
    for name in ("lists", "cache", "packages", "wheels"):
        shutil.rmtree(folder / name)


def _minor(shown: str) -> str:
    """`3.11` of what apt-cache shows of python3-minimal."""
    numbers = next((line.split()[1] for line in shown.splitlines() if line.startswith("Version:")), "").split(".")
    if len(numbers) < 2:
        raise ConfigError("Debian's Python for aarch64 is not known here", got=shown[:200] or "nothing", hint="Is this Debian?")
    return ".".join(numbers[:2])


def _run(*words: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError("a Python for aarch64 cannot be made", got=error, allowed="Debian with apt, dpkg and pip") from None
    if done.returncode:
        raise ConfigError("a Python for aarch64 cannot be made", got=f"{words[0]}: {done.stderr.strip()[-300:]}", hint=HINT)
    return done.stdout


if __name__ == "__main__":
    try:
        make()
    except ConfigError as error:
        sys.exit(f"{error}")
