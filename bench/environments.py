"""Virtual environments of their own, for baselines and versions that cannot stand beside ours: made once, in build/.

CompressAI needs NumPy 1 and brings torchvision and torch_geometric; the oldest NumPy that edgewise allows is older than its
other packages. They are talked to by subprocess, with small scripts of ours.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from edgewise.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
COMPRESSAI = ("compressai==1.2.8", "torch==2.13.0")
OLD_NUMPY = ("numpy==2.0.2", "msgspec")


def python(name: str, packages: tuple[str, ...], make: bool) -> Path:
    """The interpreter of environment build/NAME with `packages`, made now if `make` allows it; ConfigError if there is none."""
    folder = ROOT / "build" / name
    found, stamp = folder / "bin" / "python", folder / "packages.txt"
    pinned = [f"{p}=={version(p)}" if "==" not in p else p for p in packages]
    if stamp.is_file() and stamp.read_text().split() == pinned:
        return found
    if not make:
        raise ConfigError(
            "this run makes no environment for a baseline", got=f"no build/{name}", hint="A run without --quick does."
        )
    for words in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(found), "-m", "pip", "install", "-q", "--disable-pip-version-check", *pinned],
    ):
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=1800)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"the environment {name} cannot be made", got=error) from None
        if done.returncode:
            raise ConfigError(f"the environment {name} cannot be made", got=done.stderr.strip()[-300:])
    stamp.write_text(" ".join(pinned))
    return found
