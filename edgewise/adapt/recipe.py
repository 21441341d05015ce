"""A Recipe is everything that one adaptation is told: how much goes up, how it is learned from, when it is given up.

| group | fields | where from |
|---|---|---|
| uploads | `samples` (1/s), `bytes` (B/s), `audit`, `trial`, `cascade`, `selection`, `level` | the user; long runs §4, §6 |
| learning | `fresh`, `replayed`, `steps`, `patience`, `late` (s), `rate`, `reservoir` | adapt notes 2.4; long runs §6 |
| proof | `probe`, `held`, `points`, `clean` | adapt notes 2.5 |
| giving up | in `edgewise.adapt.watch` | long runs §4 |
| sending | `precision`, `memory` | adapt notes 2.6, 2.8 |

It does not know the model.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from edgewise.codec.delta import Precision
from edgewise.core.learning import Selection

Count = Annotated[int, Meta(ge=1, le=100_000)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """Of uploads: `audit` is the share of frames drawn blindly while it learns or rests, `trial` while it has to be shown
    whether learning helps; `cascade` the share that the teacher answers, `selection` how the rest is chosen. `learn` off:
    nobody is taught, so that a cascade stands alone.

    Of learning: what came is labelled when there is a batch of `fresh`, or after `patience` seconds. A step takes up to
    `fresh` new pictures and `replayed` old ones of a reservoir of `reservoir`; `steps` are made for each `fresh` that came, or
    for `least` of them once they waited for `late` seconds. `rate` is the step size to begin with.

    Of proof: each `held`-th upload is kept apart, the newest `probe` of them judge a step; agreement with the teacher may sink by
    `points` there, accuracy on calibration pictures by `clean`.
    """

    samples: Annotated[float, Meta(ge=0, le=1e9)] = 1.0
    bytes: Annotated[float, Meta(ge=0, le=1e9)] = 20_000.0
    audit: Share = 0.02
    trial: Share = 0.33
    cascade: Share = 0.0
    selection: Selection = "random"
    level: Annotated[int, Meta(ge=1, le=95)] = 85
    learn: bool = True
    statistics: bool = True
    fresh: Count = 32
    replayed: Annotated[int, Meta(ge=0, le=100_000)] = 64
    least: Count = 8
    steps: Count = 1
    patience: Positive = 5.0
    late: Positive = 60.0
    rate: Positive = 1e-3
    reservoir: Count = 2000
    probe: Count = 200
    held: Annotated[int, Meta(ge=2, le=1000)] = 5
    points: Share = 0.01
    clean: Share = 0.02
    precision: Precision = "int8"
    memory: Annotated[int, Meta(ge=0, le=1000)] = 8
    seed: int = 0
