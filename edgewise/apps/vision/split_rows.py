"""From the frames of one operating point to its row of figures: means and intervals of bytes, medians of seconds, quality,
costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

import numpy as np

from edgewise.apps.vision.split_costs import Priced, Timed
from edgewise.apps.vision.split_outcome import PointRow
from edgewise.apps.vision.split_wire import Crossing
from edgewise.core.link import Link
from edgewise.core.placement import OperatingPoint
from edgewise.data.scoring import Scored
from edgewise.net.frame import HEADER_SIZE
from edgewise.plan.candidates import Machine

DRAWS = 300


def timed(point: OperatingPoint, found: Sequence[Crossing], scored: Scored) -> Timed:
    """A way to answer as it was measured: medians of seconds, means of bytes."""
    return Timed(
        point.name,
        point.mode,
        _median(sum(c.device.values()) for c in found),
        _median(c.edge for c in found if not c.dropped),
        float(np.mean([c.wire for c in found])),
        float(np.mean([c.down for c in found])),
        scored.value,
    )


def row(point: OperatingPoint, found: Sequence[Crossing], scored: Scored, priced: Priced, baseline: bool) -> PointRow:
    """The row of a point; `found` are its frames, one a sample."""
    wire = np.array([c.wire for c in found], np.float64)
    generator = np.random.default_rng(0)
    means = wire[generator.integers(0, len(wire), (DRAWS, len(wire)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    steps: dict[str, list[float]] = {}
    for crossing in found:
        for name, seconds in crossing.device.items():
            steps.setdefault(name, []).append(seconds)
    return PointRow(
        name=point.name,
        mode=point.mode,
        codec=point.codec,
        level=point.level,
        baseline=baseline,
        bytes_mean=round(float(wire.mean()), 2),
        bytes_low=round(float(low), 2),
        bytes_high=round(float(high), 2),
        bytes_p95=float(np.quantile(wire, 0.95)),
        payload=float(np.mean([c.payload for c in found])),
        header=float(np.mean([HEADER_SIZE if c.wire else 0 for c in found])),
        websocket=float(np.mean([c.websocket for c in found])),
        tls=float(np.mean([c.tls for c in found])),
        quality=round(scored.value, 6),
        quality_low=round(scored.low, 6),
        quality_high=round(scored.high, 6),
        n=scored.n,
        more=scored.more,
        dropped=sum(c.dropped for c in found),
        bytes_sent=round(float(np.mean([c.wire for c in found if not c.dropped] or [0])), 2),
        device_seconds=_median(sum(c.device.values()) for c in found),
        edge_seconds=_median(c.edge for c in found if not c.dropped),
        steps={name: median(seconds) for name, seconds in steps.items()},
        latency=priced.latency,
        latency_p95=priced.latency_p95,
        energy=priced.energy,
        curve=priced.curve,
    )


def notes(rows: Sequence[PointRow], here: Machine, link: Link) -> tuple[str, ...]:
    """How the figures came about."""
    known = here.slowness is not None
    radio = f" and the radio {link.radio}" if link.radio else ""
    said = [
        "Bytes were counted on a TCP socket on loopback with TLS 1.3: payload, 24 bytes of frame header, WebSocket framing and "
        "TLS records, each in a column of the JSON. The tail had nothing but what it decoded from them.",
        f"Latency: device seconds measured here, times {here.slowness:.3g} for {here.device.title}; edge seconds as measured "
        f"here; over {link.name}."
        if known
        else f"Latency is unknown: nothing is known of how much slower {here.device.title} is.",
        f"Energy is modelled from the watts of {here.device.title}{radio}."
        if any(r.energy is not None for r in rows)
        else f"Energy is unknown: {here.device.title} has no known watts, or {link.name} no known radio.",
    ]
    if any(r.baseline and r.mode == "image" for r in rows):
        said.append(
            "Points `small-jpeg-Q` are baselines of this report: the picture, scaled to what the model takes first, as a JPEG."
        )
    if any(r.baseline and r.mode == "local" for r in rows):
        said.append("Point `uncut-on-device` is the whole model here: the bundle has no local part, so a device cannot take it.")
    return tuple(said)


def _median(seconds: Iterable[float]) -> float:
    """The median; 0 where there are none."""
    return median([*seconds] or [0.0])
