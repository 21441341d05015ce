"""Recorded rates as Traces: mahimahi's packet opportunities, and tables of times and rates.

*mahimahi* (`.up`, `.down`): one whole number a line, the millisecond at which a packet of 1,500 bytes may pass; a number
repeated is several packets. The last number is the length of the trace, after which it starts again. Packets are gathered in
bins of 0.1 s, so that the bits of the whole trace are kept exactly and a dead second stays dead.

*Times and rates*: two columns (commas, tabs or spaces), time in s and rate, in Mbit/s unless a first line names the unit
(`time_s,rate_bit_s`). A rate holds until the next time, the last for the median step; times are shifted to begin at 0.

A trace knows nothing of delay, so `trace_link` takes one: 0.02 s one way unless it is told otherwise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

from edgewise.core.errors import ConfigError
from edgewise.core.link import Link, Trace

PACKET = 1500 * 8  # bits of one opportunity
BIN = 0.1  # s
LARGEST = 64 << 20  # bytes of a trace file
LONGEST = 86_400.0  # s
DELAY = 0.02  # s one way, where a recording holds rates alone
_RATES = {"rate_bit_s": 1.0, "rate_kbit_s": 1e3, "rate_mbit_s": 1e6}
_RADIOS = {"lte": "lte", "wifi": "wifi", "3g": "3g", "umts": "3g", "evdo": "3g", "hsdpa": "3g"}
MAHIMAHI = (".up", ".down")


def load_trace(file: Path) -> Trace:
    """The Trace in a file; ConfigError with the line of the first thing that is wrong."""
    return mahimahi(_lines(file), str(file)) if file.suffix in MAHIMAHI else time_rate(_lines(file), str(file))


def trace_link(file: Path, delay: float = DELAY) -> Link:
    """A link from one recording. A mahimahi `.up` takes the `.down` beside it; a single recording serves both directions.

    The radio is read off the file's name (LTE, UMTS, EVDO, 3G, WiFi); where that says nothing it is `unknown`, and so is its
    energy.
    """
    up = down = load_trace(file)
    if file.suffix in MAHIMAHI:
        other = file.with_suffix(".down" if file.suffix == ".up" else ".up")
        if other.is_file():
            up, down = (up, load_trace(other)) if file.suffix == ".up" else (load_trace(other), down)
    words = re.split(r"[^a-z0-9]+", file.stem.lower())
    radio = next((_RADIOS[w] for w in words if w in _RADIOS), "unknown")
    return Link(name=file.stem, delay=delay, radio=radio, trace_up=up, trace_down=down)


def mahimahi(lines: Iterator[tuple[int, str]], source: str) -> Trace:
    """Packet opportunities as rates in bins of 0.1 s.

    >>> mahimahi(iter([(1, "50"), (2, "100")]), "two packets in 0.1 s").rates
    (240000.0,)
    """
    packets: list[int] = []
    for number, line in lines:
        if not line.isascii() or not line.isdigit() or len(line) > 12:
            raise ConfigError(
                f"line {number} of {source} is no millisecond", got=repr(line[:40]), allowed="a whole number a line"
            )
        if packets and int(line) < packets[-1]:
            raise ConfigError(f"line {number} of {source} goes back in time", got=line, allowed=f"{packets[-1]} ms or later")
        packets.append(int(line))
    if not packets or packets[-1] == 0:
        raise ConfigError(f"{source} holds no packet after its start", allowed="one whole number of ms a line, rising")
    duration = packets[-1] / 1000
    _bounded(duration, source)
    count = math.ceil(round(duration / BIN, 6))
    passed = [0] * count
    for at in packets:
        passed[min(int(at / 1000 / BIN + 1e-9), count - 1)] += 1  # the packet at the very end belongs to the last bin
    times = [i * BIN for i in range(count)]
    widths = [b - a for a, b in pairwise([*times, duration])]
    return _joined(times, [n * PACKET / w for n, w in zip(passed, widths)], duration, source)


def time_rate(lines: Iterator[tuple[int, str]], source: str) -> Trace:
    """A table of times (s) and rates.

    >>> time_rate(iter([(1, "0 2.5"), (2, "1 0.5")]), "two seconds").rates
    (2500000.0, 500000.0)
    """
    unit = 1e6
    times: list[float] = []
    rates: list[float] = []
    for number, line in lines:
        cells = [c for c in re.split(r"[,;\s]+", line) if c]
        if not times and cells and cells[0].lower().startswith("time"):
            if len(cells) < 2 or cells[1].lower() not in _RATES:
                raise ConfigError(
                    f"line {number} of {source} names no unit", got=line[:60], allowed=", ".join(f"time_s,{r}" for r in _RATES)
                )
            unit = _RATES[cells[1].lower()]
            continue
        try:
            at, rate = (float(c) for c in cells[:2])
        except ValueError:
            raise ConfigError(
                f"line {number} of {source} is no time and rate", got=repr(line[:60]), allowed="two numbers"
            ) from None
        if not math.isfinite(at) or not (0 <= rate < math.inf) or (times and at <= times[-1]):
            raise ConfigError(
                f"line {number} of {source} is impossible",
                got=line[:60],
                allowed="times that rise, rates of 0 or more, both finite",
            )
        times.append(at)
        rates.append(rate * unit)
    if len(times) < 2:
        raise ConfigError(f"{source} holds too few lines", got=len(times), allowed="two or more lines of time and rate")
    steps = [b - a for a, b in pairwise(times)]
    shifted = [t - times[0] for t in times]
    duration = shifted[-1] + median(steps)
    _bounded(duration, source)
    return _joined(shifted, rates, duration, source)


def _joined(times: list[float], rates: list[float], duration: float, source: str) -> Trace:
    """A Trace without the times at which the rate does not change."""
    kept = [i for i in range(len(times)) if i == 0 or rates[i] != rates[i - 1]]
    return Trace(tuple(times[i] for i in kept), tuple(rates[i] for i in kept), duration, source)


def _bounded(duration: float, source: str) -> None:
    if duration > LONGEST:
        raise ConfigError(
            f"{source} is too long", got=f"{duration:.0f} s", allowed=f"{LONGEST:.0f} s", hint="Are its times in seconds?"
        )


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that say something: neither empty nor a comment."""
    if not file.is_file():
        raise ConfigError(
            "there is no such trace", got=file, allowed="a mahimahi file (.up, .down) or a table of times and rates"
        )
    if file.stat().st_size > LARGEST:
        raise ConfigError(f"{file} is too large for a trace", got=f"{file.stat().st_size} bytes", allowed=f"{LARGEST} bytes")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file} is no text", got=str(error), allowed="a mahimahi file or a table of times and rates"
        ) from error
    for number, line in enumerate(text.splitlines(), 1):
        if (said := line.strip()) and not said.startswith("#"):
            yield number, said
