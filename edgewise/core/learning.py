"""What a server wants of its devices to learn from (`Learning`), and what comes up for it (`Sample`).

A server that adapts a model tells each device in its WELCOME, and again when it changes its mind, how much may go up and how it
is chosen. The device answers as ever; now and then it sends a picture, flagged where it was drawn blindly (an audit).

| symbol | name | unit |
|---|---|---|
| r | `samples` | 1/s |
| b | `bytes` | B/s |
| Emin, E0 | `floor`, `ceiling` | ln C, so that 1 is the entropy of knowing nothing |
| d | `margin` | cosine; 0: off |

Constants: adapt notes, 2.3 and §6 of the long runs; `margin` is the filter of EATA (Niu et al. 2022). Both travel as rows without
field names. It does not know who chooses (`edgewise.adapt.select`), nor who learns.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from msgspec import Meta, Struct

from edgewise.core.errors import ConfigError

Selection = Literal["random", "entropy", "window"]
SELECTIONS: tuple[Selection, ...] = ("random", "entropy", "window")
AUDIT = 1  # flag of a Sample: drawn blindly, so that it stands for all frames; never filtered
DROPPED = 2  # flag of a Sample: the filter had left the frame out, so that nobody answered it
CARRIED = 4  # flag of a Sample: its picture went up as a frame, to be answered; only the server gives it
LARGEST_PICTURE = 1 << 20  # bytes
LARGEST_STATISTICS = 1 << 20  # bytes

Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(ge=0, le=1e9)]


class Learning(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """What a device is to do for learning. Without one it does nothing; with no `samples` it sends audits alone.

    `samples` (1/s) and `bytes` (B/s) are never exceeded over more than seconds; `bytes` holds for samples, audits and cascade
    together, `samples` for chosen samples. `audit` is the share of all frames that go up whatever they show. `selection`:
    `random`, `entropy` (the most doubtful that the budget allows) or `window` (doubt between `floor` and the moving `ceiling`);
    `margin` leaves out what looks like the mean of those that went. `cascade` is the share of frames that the teacher answers.
    `statistics` asks for the device's normalisation statistics with some samples; `level` is the quality of the JPEG.
    """

    samples: Rate = 1.0
    bytes: Rate = 20_000.0
    audit: Share = 0.02
    selection: Selection = "random"
    floor: Share = 0.1
    ceiling: Share = 0.4
    margin: Share = 0.0
    cascade: Share = 0.0
    statistics: bool = True
    level: Annotated[int, Meta(ge=1, le=95)] = 85


class Sample(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """What goes up to be learned from: a frame's number, when it was `captured` (s, the device's clock), its `picture` (JPEG).

    `flags` are AUDIT, DROPPED and CARRIED (then `captured` is 0, for a frame does not carry it). `doubt` is the entropy of the
    device's own answer in units of ln C; None where there was no answer. `version` is the address of the model that gave it.
    `statistics` (packed by `edgewise.core.moments`) come with some samples,
    and are empty with the others.
    """

    frame: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
    captured: Annotated[float, Meta(ge=0)]
    picture: Annotated[bytes, Meta(min_length=1, max_length=LARGEST_PICTURE)]
    flags: Annotated[int, Meta(ge=0, le=0xFF)] = 0
    doubt: Share | None = None
    version: Annotated[str, Meta(max_length=64)] = ""
    statistics: Annotated[bytes, Meta(max_length=LARGEST_STATISTICS)] = b""

    @property
    def audit(self) -> bool:
        return bool(self.flags & AUDIT)

    @property
    def dropped(self) -> bool:
        return bool(self.flags & DROPPED)


def checked(learning: Learning) -> Learning:
    """The same, where its figures can be meant; a ConfigError says which cannot. The wire and a user's options are read by it.

    >>> checked(Learning(cascade=0.3)).cascade
    0.3
    """
    shares = (learning.audit, learning.floor, learning.ceiling, learning.margin, learning.cascade)
    if not all(0 <= share <= 1 for share in shares):
        raise ConfigError(
            "a share of learning is impossible", got=shares, allowed="audit, floor, ceiling, margin, cascade in 0..1"
        )
    if not all(0 <= rate <= 1e9 and math.isfinite(rate) for rate in (learning.samples, learning.bytes)):
        raise ConfigError("an upload budget is impossible", got=f"{learning.samples}/s, {learning.bytes} B/s", allowed="0 to 1e9")
    if learning.selection not in SELECTIONS or not 1 <= learning.level <= 95:
        got = f"{learning.selection}, JPEG {learning.level}"
        raise ConfigError("samples cannot be chosen or coded so", got=got, allowed=f"{', '.join(SELECTIONS)}; JPEG 1 to 95")
    if learning.floor >= learning.ceiling:
        raise ConfigError(
            "no doubt lies between floor and ceiling",
            got=f"{learning.floor:g} and {learning.ceiling:g} ln C",
            allowed="a floor below the ceiling",
        )
    return learning
