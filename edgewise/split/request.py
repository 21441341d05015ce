"""What `edgewise split quick` is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from edgewise.core.artifact import Task


class Quick(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `edgewise split quick` is asked for. `calibrate` is a folder or tar of pictures or .npy arrays; sizes in px."""

    model: Path
    calibrate: Path
    out: Path = Path("split-bundle")
    """The bundle's folder."""
    name: str = ""
    at: str = ""
    """The tensor to cut at; without, every candidate is tried and one chosen."""
    task: Task | None = None
    labels: tuple[str, ...] = ()
    width: Annotated[int, Meta(ge=0)] = 0
    height: Annotated[int, Meta(ge=0)] = 0
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    bgr: bool = False
    layout: Literal["NCHW", "NHWC"] | None = None
    agreement: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Agreement with the uncut model that the points aim at; 0: 0.99, and 0.98 of mAP for detectors."""
    bytes: Annotated[int, Meta(ge=0)] = 0
    """Largest mean frame, payload and header (24 bytes), WebSocket and TLS apart; 0: none asked."""
    device: str = ""
    link: str = ""
    edge: str = "this"
    edge_share: Annotated[float, Meta(ge=0, lt=1)] = 0.25
    """Share of the FLOPs that the tail must have where no device and link choose."""
    samples: Annotated[int, Meta(ge=8)] = 192
    judged: Annotated[int, Meta(ge=8)] = 300
    rates: Annotated[int, Meta(ge=1, le=8)] = 5
    int8: bool = False
    """Head and tail as QDQ int8, too: measured, and taken where they agree."""
    local: bool = True
    """The uncut model on the device as well."""
    most_bad: Annotated[float, Meta(ge=0, le=1)] = 0.05
    seed: int = 0
    threads: Annotated[int, Meta(ge=1)] = 1
