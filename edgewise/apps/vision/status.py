"""What a device and the edge server say of themselves, beside the record of each frame; the page shows both.

A device counts what it took from its camera (`sent`), and the server counts the fates that it was told. The two meet in
the page's sum: of the frames of a status, all but `open` and `records_lost` must be in the books a few seconds later.
"""

from __future__ import annotations

from msgspec import Struct

from edgewise.core.placement import Mode


class NodeStatus(Struct, frozen=True, forbid_unknown_fields=True):
    """A device now. Rates in bit/s, times in s; None is unknown.

    `sent` counts frames taken from the camera since the device started; `open` ones have no fate yet, or their record is
    still with the device; `records_lost` ones have a fate of which no record will come. `outbox` counts items that wait in the
    device's store until the server has them, `budget` is the bound that its policy keeps to, as it was said.
    """

    node: str
    connected: bool
    link_kind: str = ""
    link_rate: float | None = None
    round_trip: float | None = None
    mode: Mode | None = None
    point: str = ""
    why: str = ""
    quality: float | None = None
    condition: str = ""
    fps: float | None = None
    deadline: float | None = None
    sent: int | None = None
    open: int = 0
    records_lost: int = 0
    model: str = ""
    version: str = ""
    source: str = ""
    outbox: int | None = None
    outbox_bytes: int | None = None
    budget: str = ""


class ModelVersion(Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle that the server keeps ready: its content address, the streams that use it and what it has answered."""

    name: str
    address: str
    streams: int = 0
    answered: int = 0


class ServerStatus(Struct, frozen=True, forbid_unknown_fields=True):
    """The edge server now. `busy` and `cpu` are shares of 1 (of one core), `memory` in bytes, `wait` and `tail` in s.

    `refused` counts by sentence or kind what was turned away at the border; `links` names the emulation of each shaped
    link, as every result must.
    """

    queue: int = 0
    batch_mean: float | None = None
    batch_most: int | None = None
    wait: float | None = None
    tail: float | None = None
    busy: float | None = None
    cpu: float | None = None
    memory: int | None = None
    models: tuple[ModelVersion, ...] = ()
    refused: dict[str, int] = {}
    uptime: float | None = None
    version: str = ""
