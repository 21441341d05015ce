"""Vehicle states recorded from SUMO, replayed at any moment; SUMO itself is not needed.

`states.npz` is written by `scripts/record_junction.py` (command, seed and versions are inside it, see `about`). Positions
are metres from the middle of the junction, x to the east and y to the north; headings are radians, counter-clockwise from
the east. Between two recorded moments (0.5 s apart) a vehicle moves on a straight line, so a turn is a polygon of short chords.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.errors import ConfigError

STATES = Path(__file__).with_name("states.npz")
Role = Literal["show", "test", "validate", "train"]


class Traffic(Struct, frozen=True):
    """The vehicles of one moment: `identity` and `kind` (index into the kinds of `about`), centre (n, 2), heading (n)."""

    identity: NDArray[np.int64]
    kind: NDArray[np.int64]
    centre: NDArray[np.float64]
    heading: NDArray[np.float64]

    def thinned(self, share: float) -> Traffic:
        """Those of a `share` of all vehicles, the same ones at every moment: a vehicle is on the road or it is not."""
        kept = (self.identity + 1) * 2654435761 % 2**32 < share * 2**32  # Knuth's multiplier scatters neighbouring numbers
        return Traffic(self.identity[kept], self.kind[kept], self.centre[kept], self.heading[kept])


NOBODY = Traffic(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0))  # a road without vehicles


class Episode(Struct, frozen=True):
    """One stretch of recorded traffic; `at(t)` repeats it from its start after `seconds`."""

    kind: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    offset: NDArray[np.int64]
    tracks: NDArray[np.float64]  # (state, 3): x, y, heading
    step: float
    seconds: float

    def at(self, t: float) -> Traffic:
        moment, part = divmod((t % (self.seconds - self.step)) / self.step, 1.0)
        since = int(moment) - self.start
        here = np.flatnonzero((since >= 0) & (since + 1 < self.length))
        first = self.offset[here] + since[here]
        state = self.tracks[first] * (1 - part) + self.tracks[first + 1] * part
        return Traffic(here, self.kind[here], state[:, :2], state[:, 2])


@lru_cache(maxsize=1)
def about() -> dict[str, Any]:
    """How the recording was made: command, seed, version of SUMO, roles of the episodes, sizes of the vehicles."""
    with np.load(STATES) as arrays:
        found: dict[str, Any] = json.loads(arrays["about"].tobytes())
    return found


def episodes(role: Role) -> list[int]:
    """Numbers of the episodes recorded for `role`; roles never share traffic."""
    found = [number for number, name in enumerate(about()["roles"]) if name == role]
    if not found:
        raise ConfigError("no traffic was recorded for this role", got=role, allowed=sorted(set(about()["roles"])))
    return found


@lru_cache(maxsize=4)
def episode(number: int) -> Episode:
    facts = about()
    with np.load(STATES) as arrays:
        kind, start, length, states = (
            arrays[f"{number}_{name}"].astype(np.int64) for name in ("kind", "start", "length", "states")
        )
    offset = np.cumsum(length) - length
    tracks = np.empty(states.shape)
    for first, count in zip(offset, length):
        tracks[first : first + count] = _summed(states[first : first + count])
    scale = np.array([0.01, 0.01, np.radians(0.1)])
    return Episode(kind, start, length, offset, tracks * scale, facts["step"], facts["seconds"])


def _summed(second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Undo the second differences of one track (state, 3)."""
    velocity = np.cumsum(second[1:], axis=0)
    summed: NDArray[np.int64] = np.cumsum(np.concatenate([second[:1], velocity]), axis=0)
    return summed
