"""Devices and links by name or file: TOML profiles whose every figure names its source, and recorded rates.

`load_device("pi4")` reads a shipped profile, `load_device("this")` the one that `edgewise calibrate` wrote on this machine, and
`load_device("board.toml")` a person's own. A source that many figures share is written once, in the table `[sources]`.
`load_link("lte_synthetic")` reads a shipped link, and `load_link("5")` is a constant 5 Mbit/s. A file may be a link in TOML, a
mahimahi trace (`.up`, `.down`) or a table of times and rates (see `edgewise.profiles.traces`).

What it does not know: whether a quoted figure is right. It checks only that each has the unit and the sign that it must have.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from edgewise.core.device import Device
from edgewise.core.errors import ConfigError
from edgewise.core.link import Link
from edgewise.core.measurement import Measurement
from edgewise.profiles.traces import DELAY, load_trace, trace_link

HERE = Path(__file__).parent
LARGEST = 4 << 20  # bytes of a profile
LONGEST_NAME = 255  # bytes of a file's name
_RATE = re.compile(r"\d{1,6}(\.\d{1,6})?")
_UNITS = {"memory": "bytes", "idle": "W", "active": "W", "latency": "s", "energy": "J", "power": "W"}

Profile = TypeVar("Profile", bound=Struct)


class LinkProfile(Struct, frozen=True, forbid_unknown_fields=True):
    """A link in TOML: rates in bit/s, or the names of trace files beside it; one-way `delay` in s; where it is from."""

    name: str
    source: str
    rate_up: float = math.inf
    rate_down: float = math.inf
    delay: float = 0.0
    loss: float = 0.0
    radio: str = ""
    trace_up: str = ""
    trace_down: str = ""


def device_names() -> tuple[str, ...]:
    """The shipped devices, by name."""
    return tuple(sorted(p.stem for p in (HERE / "devices").glob("*.toml")))


def link_names() -> tuple[str, ...]:
    """The shipped links, by name."""
    return tuple(sorted(p.stem for p in (HERE / "links").glob("*.toml")))


def this_profile() -> Path:
    """Where the profile of this machine lies, which the name `this` stands for."""
    return Path.home() / ".edgewise" / "this.json"


def save_device(device: Device, file: Path) -> None:
    """Write a profile that `load_device` reads back as the same Device; whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(device), indent=1) + b"\n")
    part.replace(file)


def load_device(name_or_path: str | Path, calibrated: Path | None = None) -> Device:
    """A Device by its name, by the word `this`, or by its file (TOML or JSON).

    >>> load_device("pi4").run("ResNet-50", "ArmNN").latency.value
    0.332
    """
    if str(name_or_path) == "this":
        calibrated = calibrated or this_profile()
        if not calibrated.is_file():
            raise ConfigError(
                "this machine has no profile yet",
                got=calibrated,
                allowed="the file that a calibration writes",
                hint="Run `edgewise calibrate` first (about a minute).",
            )
        return read_device(calibrated)
    return read_device(_file("device", name_or_path, device_names()))


def load_link(name_or_path: str | Path) -> Link:
    """A Link by its name, by its file, or from a number: a constant rate in Mbit/s, both ways, over a radio that is not known.

    >>> load_link("step").rate(at=30.0)
    300000.0
    """
    if _RATE.fullmatch(str(name_or_path)):
        rate = float(str(name_or_path)) * 1e6
        return Link(f"{name_or_path} Mbit/s", rate, rate, delay=DELAY, radio="unknown")
    file = _file("link", name_or_path, link_names())
    if file.suffix != ".toml":
        return trace_link(file)
    profile = _decoded(file, _tables(file), LinkProfile)
    up, down = (load_trace(_beside(file, t)) if t else None for t in (profile.trace_up, profile.trace_down))
    return Link(
        name=profile.name,
        rate_up=profile.rate_up,
        rate_down=profile.rate_down,
        delay=profile.delay,
        loss=profile.loss,
        radio=profile.radio,
        trace_up=up,
        trace_down=down,
    )


def read_device(file: Path) -> Device:
    """The profile in a file; ConfigError with the place of the first thing that is wrong."""
    tables = _tables(file)
    sources = tables.pop("sources", {})
    if not isinstance(sources, dict) or not all(isinstance(s, str) for s in sources.values()):
        raise ConfigError(f"the table [sources] of {file} is not one of texts", got=sources)
    try:
        device = _decoded(file, _sourced(tables, sources), Device)
    except RecursionError:
        raise ConfigError(f"{file} nests its tables too deeply to be a profile") from None
    for place, figure in _figures(device):
        unit = _UNITS[place.rsplit(".", 1)[-1]]
        if figure.unit != unit or not 0 < figure.value < math.inf:
            raise ConfigError(
                f"{place} in {file} is no such figure", got=f"{figure.value} {figure.unit}", allowed=f"more than 0, in {unit}"
            )
        if not figure.source:
            raise ConfigError(f"{place} in {file} names no source", allowed="where the figure is from")
    return device


def _figures(device: Device) -> Iterator[tuple[str, Measurement]]:
    for name in ("memory", "idle", "active"):
        if (figure := getattr(device, name)) is not None:
            yield name, figure
    for i, run in enumerate(device.runs):
        for name in ("latency", "energy", "power"):
            if (figure := getattr(run, name)) is not None:
                yield f"runs[{i}].{name}", figure


def _sourced(value: Any, sources: dict[str, str]) -> Any:
    """The same tables, with each short name of a source replaced by what it stands for."""
    if isinstance(value, dict):
        return {k: sources.get(v, v) if k == "source" and isinstance(v, str) else _sourced(v, sources) for k, v in value.items()}
    return [_sourced(v, sources) for v in value] if isinstance(value, list) else value


def _file(what: str, name_or_path: str | Path, names: tuple[str, ...]) -> Path:
    if str(name_or_path) in names:
        return HERE / f"{what}s" / f"{name_or_path}.toml"
    file = Path(name_or_path)
    if not file.is_file():
        this, rate = ("this, ", "") if what == "device" else ("", "a rate in Mbit/s, ")
        raise ConfigError(f"there is no such {what}", got=name_or_path, allowed=f"{this}{', '.join(names)}, {rate}or a file")
    return file


def _beside(file: Path, name: str) -> Path:
    """The file of this name in the same folder: a profile may have been written by somebody else."""
    if Path(name).name != name or name == ".." or len(name.encode()) > LONGEST_NAME:
        raise ConfigError(f"{file} names a trace that is not beside it", got=repr(name[:60]), allowed="the name of a file")
    return file.parent / name


def _tables(file: Path) -> dict[str, Any]:
    if file.stat().st_size > LARGEST:
        raise ConfigError(f"{file} is too large for a profile", got=f"{file.stat().st_size} bytes", allowed=f"{LARGEST} bytes")
    try:
        text = file.read_text(encoding="utf-8")
        tables = msgspec.json.decode(text) if file.suffix == ".json" else tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(
            f"{file} cannot be read", got=str(error), allowed="TOML, or JSON in a file that ends in .json"
        ) from error
    if not isinstance(tables, dict):
        raise ConfigError(f"{file} is no profile", got=type(tables).__name__, allowed="a table of named figures")
    return tables


def _decoded(file: Path, tables: dict[str, Any], kind: type[Profile]) -> Profile:
    try:
        return msgspec.convert(tables, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{file} is no profile of a {kind.__name__}", got=str(error)) from error
