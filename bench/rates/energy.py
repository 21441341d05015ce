"""Joules of the device for an answer, and its mean watts meanwhile, by every way at equal accuracy. All of it is modelled.

    E = P_idle · T + (P_active − P_idle) · t_busy + radio        (`edgewise.core.power`)

Idle and active power come from the boards' profiles, seconds from `bench.rates.boards`, the radio's coefficients from Huang et
al. (2012): phones of that year, so that ratios between ways count, not joules. No instrument measured any of it, here or on a
board; `edgewise.meter` does, where there is one. A board whose idle power no source states has no joules: AGX Orin has active
power alone.

It does not know the tail in which a radio stays awake, nor what a camera, a screen or a supply takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.rates.boards import DEVICES, Board, board
from bench.rates.latency import FILE, Measured, ours
from bench.rates.recipes import reached
from bench.rates.record import records
from bench.rates.ways import ROUND_TRIPS, Way, cost, link
from bench.report import Row, Target
from edgewise.plan.break_even import spoken

RADIOS = ("wifi", "lte")
TABLE = (250e3, 1e6, 5e6)  # bit/s


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    """Joules and mean watts of every way, radio and rate on the boards whose power is known; what ours saves. No targets."""
    path = work / FILE
    kept = records(work)
    if not path.is_file() or not any(r.about.method == "teacher" for r in kept):
        return [], []
    timed = msgspec.json.decode(path.read_bytes(), type=Measured).pieces
    ways, server = reached(kept, timed).ways, board("this", {})
    boards = [board(name, timed) for name in DEVICES]
    found: list[Row] = []
    for here in (b for b in boards if b.device.idle is not None and b.device.active is not None):
        for radio in RADIOS:
            found += _of(ways, here, server, radio)
    return found, []


def _of(ways: Sequence[Way], here: Board, server: Board, radio: str) -> list[Row]:
    mine, found = ours(ways), []
    for rate in TABLE:
        case = f"{here.name}, {radio}, {spoken(rate)}, {1e3 * ROUND_TRIPS[0]:g} ms round trip"
        of = {w.name: cost(w, here, server, link(rate, ROUND_TRIPS[0], radio)) for w in ways}
        for name, one in of.items():
            assert one.energy is not None and one.power is not None  # idle and active power are known
            found.append(Row(case, f"{name}, joules a picture", one.energy, "J", provenance="modelled"))
            found.append(Row(case, f"{name}, mean power", one.power, "W", provenance="modelled"))
        if mine is not None:
            least = min((w for w in ways if w is not mine), key=lambda w: of[w.name].energy or 0.0, default=None)
            own, other = of[mine.name].energy, None if least is None else of[least.name].energy
            if least is not None and own is not None and other:
                found.append(
                    Row(
                        case,
                        f"{mine.name} against the leanest other, {least.name}",
                        100 * (own / other - 1),
                        "%",
                        provenance="modelled",
                    )
                )
    return found
