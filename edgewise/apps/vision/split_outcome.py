"""What a report on split inference says: rows of figures by operating point, and the sentences that a person reads first.

Every figure says by what it was got: bytes were counted on a socket, quality on the data, seconds measured here; latency and
joules on another device are modelled from these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from edgewise.core.placement import CROSSING, Mode
from edgewise.plan.between import Between
from edgewise.plan.break_even import BreakEven, Stretch, spoken

Of = Literal["labels", "the uncut model"]


class PointRow(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One way to answer. Bytes are means over all samples (0 for one that the filter dropped); seconds are medians.

    `bytes_mean` = `payload` + `header` + `websocket` + `tls`; intervals are 95 %. `bytes_sent` is the
    mean over the samples that the filter let go, `dropped` how many it did not. `baseline` marks what the report added to
    compare with. `device_seconds` and `edge_seconds` were measured here; `latency`, `latency_p95` and `energy` (J) are modelled
    for the device and over the link's trace; `curve` is the latency at each of the report's `rates`.
    """

    name: str
    mode: Mode
    codec: str
    level: int
    baseline: bool
    bytes_mean: float
    bytes_low: float
    bytes_high: float
    bytes_p95: float
    payload: float
    header: float
    websocket: float
    tls: float
    quality: float
    quality_low: float
    quality_high: float
    n: int
    more: dict[str, float] = {}
    dropped: int = 0
    bytes_sent: float = 0.0
    device_seconds: float
    edge_seconds: float
    steps: dict[str, float] = {}
    latency: float | None = None
    latency_p95: float | None = None
    energy: float | None = None
    energy_provenance: str = "modelled"
    curve: tuple[float, ...] = ()


class SplitReport(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole report. `metric` against `quality_of`; `uncut` is the model's own quality where there are labels to judge it
    by.
    """

    bundle: str
    address: str
    task: str
    data: str
    data_kind: str
    metric: str
    quality_of: Of
    n: int
    points: tuple[PointRow, ...]
    uncut: float | None
    frame_bytes_source: str
    secure: bool
    device: str
    edge: str
    link: str
    link_rate: float
    rates: tuple[float, ...]
    break_even: tuple[BreakEven, ...]
    fastest: tuple[Stretch, ...]
    fastest_at_quality: tuple[Stretch, ...]
    within: float
    between: Between | None
    filter_recall: float | None
    filter_n: int
    unreadable: dict[str, str]
    sentences: tuple[str, ...]
    notes: tuple[str, ...]


def against_pictures(rows: Sequence[PointRow]) -> list[str]:
    """For each split: whether a JPEG, or another picture, has its quality with fewer bytes; plainly."""
    said = []
    pictures = [r for r in rows if r.mode == "image"]
    for row in (r for r in rows if r.mode in CROSSING):
        as_good = [p for p in pictures if p.quality >= row.quality]
        least = min(as_good, key=lambda p: p.bytes_mean, default=None)
        mine = f"{row.name} ({row.quality:.3f}, {row.bytes_mean:,.0f} bytes)"
        if least is None and pictures:
            best = max(pictures, key=lambda p: p.quality)
            said.append(f"No picture that was tried is as good as {mine}: the best is {best.name} ({best.quality:.3f}).")
        elif least is not None and least.bytes_mean < row.bytes_mean:
            said.append(
                f"A JPEG is smaller than {mine} at equal quality: {least.name} has {least.quality:.3f} with "
                f"{least.bytes_mean:,.0f} bytes. Send the picture, unless the edge must not see it or the head is quicker."
            )
        elif least is not None:
            share = row.bytes_mean / least.bytes_mean if least.bytes_mean else 0.0
            said.append(f"{mine} takes {share:.0%} of the bytes of the smallest picture that is as good, {least.name}.")
    return said


def by_rate(stretches: Sequence[Stretch]) -> list[str]:
    """At which link rates which way is the fastest."""
    said = []
    for s in stretches:
        high = float("inf") if s.high is None else s.high
        if s.low == 0 and high == float("inf"):
            where = "at any uplink rate"
        elif s.low == 0:
            where = f"below {spoken(high)}"
        else:
            where = f"above {spoken(s.low)}" if high == float("inf") else f"from {spoken(s.low)} to {spoken(high)}"
        said.append(f"{where}: {s.name}")
    return said
