"""What verbs share: the console, and JSON files of what they return."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console(quiet: bool = False) -> Console:
    """Standard output, for a person."""
    from rich.console import Console

    return Console(quiet=quiet)


def complain(sentence: str) -> None:
    """One sentence on standard error."""
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True, soft_wrap=True).print(f"[red]edgewise:[/] {escape(sentence)}", highlight=False)


def write_json(path: Path | None, value: Any) -> None:
    """Write what a verb returned, where a file was asked for."""
    if path is not None:
        import msgspec

        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
