"""What the bytes are worth: seconds, joules and the papers' claims of both, in one call for `bench/split.py`.

    latency    heads, tails and coders timed in turns; end-to-end latency over link rates on this machine and on modelled boards
    energy     joules and mean watts of the device, modelled
    claims     BottleFit's claims of power and latency on the networks that it was measured on, row by row

Jobs leave two files in the work folder (`pieces.json`, `published.json`); everything else is made of those and of the records.
"""

from __future__ import annotations

from pathlib import Path

from bench.rates import claims, energy, latency
from bench.report import Row, Target


def rows(work: Path) -> tuple[list[Row], list[Target], dict[str, bytes]]:
    """Rows, targets and PNG files by name, from what the jobs of a work folder left; what was not measured is said by a target."""
    found, targets, figures = latency.rows(work)
    more, claimed, drawn = claims.rows(work)
    return [*found, *energy.rows(work), *more], [*targets, *claimed], {**figures, **drawn}
