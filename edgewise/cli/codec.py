"""The entropy coder: check it on this machine."""

from __future__ import annotations

from pathlib import Path

from edgewise.cli.screen import console, write_json


def check(n: float = 1e6, frames: int = 1000, seed: int = 0, json: Path | None = None) -> int:
    """How quick the coder is here, how near to the entropy, and whether every symbol comes back.

    Args:
        n: symbols of the sequence that is timed, such as 1e6.
        frames: random frames that are coded and decoded beside it.
        seed: of all that is random.
        json: write {encode_symbols_s, decode_symbols_s, overhead, errors, …} there.
    """
    from rich.progress import Progress

    from edgewise.codec.check import check as examine
    from edgewise.core.errors import ConfigError

    if n != int(n):
        raise ConfigError("a sequence has no whole number of symbols", got=n, allowed="a whole number such as 1e6")
    screen = console()
    with Progress(console=screen, transient=True) as bar:
        task = bar.add_task("coding", total=1.0)
        found = examine(int(n), frames, seed, lambda share: bar.update(task, completed=share))
    screen.print(
        f"{found.symbols:,} symbols: {found.encode_symbols_s / 1e6:.1f} million a second encoded, "
        f"{found.decode_symbols_s / 1e6:.1f} decoded, {found.bytes:,} bytes, {100 * found.overhead:.3f} % over their entropy"
    )
    screen.print(f"{found.errors} wrong symbols in it and in {found.frames:,} random frames")
    write_json(json, found)
    return 1 if found.errors else 0
