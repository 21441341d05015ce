"""What jobs leave below a work folder, each file whole or not there: until it is finished it lies beside under another name.

It does not know what is in them: records say that themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

UNFINISHED = ".unfinished"


def arrays(path: Path, **values: Any) -> Path:
    """Arrays by name, compressed, at `path` (.npz); what lay there is replaced."""
    unfinished = _beside(path, UNFINISHED + path.suffix)  # numpy would add the suffix itself
    np.savez_compressed(unfinished, **values)
    return unfinished.replace(path)


def document(path: Path, value: Any) -> Path:
    """A value as JSON that a person can read; what lay there is replaced."""
    unfinished = _beside(path, path.suffix + UNFINISHED)
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1))
    return unfinished.replace(path)


def finished(folder: Path) -> list[Path]:
    """The files of arrays that are finished, by name."""
    return [path for path in sorted(folder.glob("*.npz")) if not path.stem.endswith(UNFINISHED)]


def _beside(path: Path, suffix: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_suffix(suffix)
