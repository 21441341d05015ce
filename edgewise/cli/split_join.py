"""The verb that puts several tails behind one head: `edgewise split join`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from edgewise.cli.screen import console
from edgewise.core.errors import ConfigError


def join(
    tails: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="TASK=BUNDLE")]],
    out: Path = Path("joined-bundle"),
    name: str = "",
) -> int:
    """Several tails behind one head: bundles of one encoder become a bundle that answers all their tasks from one frame.

    Train the first with `split fit`; train the others behind the same encoder, which no tail changes. Devices send what they
    sent before; the server runs the tails as one model, in which a decoder that they share runs once.

      edgewise split join weather=weather-bundle vehicles=vehicles-bundle --out bundle
      edgewise serve bundle

    Args:
        tails: a word for each task (lower case), and the folder of its bundle.
        out: the folder of the new bundle.
        name: its name; the words of the tasks unless told.
    """
    from edgewise.split.join import joined

    wrong = next((t for t in tails if not all(t.partition("=")[::2])), None)
    if wrong is not None or not tails:
        raise ConfigError("a tail is not named", got=wrong or "none", allowed="TASK=BUNDLE, such as weather=weather-bundle")
    places = {task: Path(folder) for task, _, folder in (t.partition("=") for t in tails)}
    if len(places) < len(tails):
        raise ConfigError("two tails have one name", got=", ".join(tails), allowed="a word of its own for each")
    manifest = joined(places, out, name or "-".join(places))
    console().print(
        f"{out}: {', '.join(places)} behind one head; {', '.join(p.name for p in manifest.points)} ({manifest.address[:12]})",
        markup=False,
        highlight=False,
    )
    return 0
