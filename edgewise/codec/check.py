"""The coder's self-check on this machine: how quick it is, how near to the entropy, and whether everything comes back.

Speed and overhead are of one sequence of 24 channels with alphabets of 33 letters, two-sided geometric of several widths, about
3.5 bits a symbol (split.md 4.2), coded by tables fitted to its own counts; the entropy is that of these counts, and every byte
counts.
Errors are of that sequence and of random frames: other lengths, alphabets, tables symbol by symbol, integers outside them all.

It does not know how fast a coder in C is: `bench/split_coder.py` has the baselines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec.rans import Coder
from edgewise.codec.tables import Tables, fit
from edgewise.core.errors import ConfigError, TensorError

LETTERS, CHANNELS = 33, 24
ROUNDS = 7
LEAST_SYMBOLS, MOST_SYMBOLS = 1000, 1 << 26


class Check(Struct, frozen=True):
    """Symbols a second in the best of some rounds, bytes over the entropy (0.001 is 0.1 %), symbols that came back wrong."""

    encode_symbols_s: float
    decode_symbols_s: float
    overhead: float
    errors: int
    symbols: int
    bytes: int
    entropy_bytes: float
    frames: int


class Frame(Struct, frozen=True):
    """Symbols (n,), the table of each, and the tables."""

    symbols: NDArray[np.int32]
    index: NDArray[Any]
    tables: Tables
    lanes: int | None = None


def check(n: int = 1_000_000, frames: int = 1000, seed: int = 0, advance: Callable[[float], None] | None = None) -> Check:
    """Code n symbols and `frames` random frames; ConfigError for a length that says nothing. `advance` hears the share done."""
    if not LEAST_SYMBOLS <= n <= MOST_SYMBOLS or frames < 0:
        raise ConfigError(
            "the coder cannot be checked so",
            got=f"{n} symbols, {frames} frames",
            allowed=f"{LEAST_SYMBOLS} to {MOST_SYMBOLS} symbols, 0 or more frames",
        )
    heard = advance or (lambda share: None)
    whole, counts = sequence(n, seed)
    coder = Coder(whole.tables, whole.index)
    data = coder.encode(whole.symbols)
    errors = int((coder.decode(data) != whole.symbols).sum())
    encoding, decoding = [], []
    for done in range(ROUNDS):
        start = time.perf_counter()
        coder.encode(whole.symbols)
        between = time.perf_counter()
        coder.decode(data)
        encoding.append(between - start)
        decoding.append(time.perf_counter() - between)
        heard((done + 1) / ROUNDS / 2)
    for done, frame in enumerate(random_frames(frames, seed + 1)):
        errors += wrong(frame)
        if done % 100 == 0:
            heard(0.5 + done / frames / 2)
    heard(1.0)
    least = entropy(counts)
    return Check(
        encode_symbols_s=n / min(encoding),
        decode_symbols_s=n / min(decoding),
        overhead=len(data) / least - 1,
        errors=errors,
        symbols=n,
        bytes=len(data),
        entropy_bytes=least,
        frames=frames,
    )


def sequence(n: int, seed: int, channels: int = CHANNELS) -> tuple[Frame, NDArray[np.int64]]:
    """n symbols of `channels` channels, one after another, and how often each letter came (channels, LETTERS)."""
    rng = np.random.default_rng(seed)
    index = np.arange(n) * channels // n
    letters, counts = np.arange(LETTERS), []
    symbols = np.empty(n, np.int32)
    for channel in range(channels):
        here = index == channel
        shares = np.exp(-abs(letters - LETTERS // 2 + rng.normal(0, 2)) / rng.uniform(1, 3.5))
        symbols[here] = rng.choice(LETTERS, int(here.sum()), p=shares / shares.sum())
        counts.append(np.bincount(symbols[here], minlength=LETTERS))
    return Frame(symbols, index, fit(counts)), np.array(counts)


def entropy(counts: NDArray[np.int64]) -> float:
    """Bytes below which no coder of independent symbols comes, for counts (tables, letters)."""
    total = counts.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where(counts > 0, counts * np.log2(total / counts), 0.0)
    return float(bits.sum()) / 8


def random_frames(count: int, seed: int) -> Iterator[Frame]:
    """Frames of all kinds: none to some hundred symbols, 1 to 5 tables in runs or symbol by symbol, or nothing but escapes."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        n, tables, letters = int(rng.integers(0, 400)), int(rng.integers(1, 6)), int(rng.integers(1, 48))
        known = fit(
            list(rng.integers(0, 1 + rng.integers(1, 1000), (tables, letters))),
            rng.integers(-300, 300, tables).tolist(),
            int(rng.choice([8, 10, 12, 14])),
        )
        index = rng.integers(0, tables, n)
        if rng.random() < 0.5:
            index.sort()
        lanes = (None, int(rng.integers(1, 40)))[int(rng.integers(2))]
        yield Frame(random_symbols(known, index, rng), index, known, lanes)


def random_symbols(tables: Tables, index: NDArray[np.integer[Any]], rng: np.random.Generator) -> NDArray[np.int32]:
    """Symbols (n,) within their alphabets, a step beside them or anywhere, in some mixture."""
    letters = np.array([len(t) for t in tables.frequencies])[index]
    symbols: NDArray[np.int64] = np.array(tables.offsets)[index] + rng.integers(-1, letters + 1)
    wild = rng.random(index.size) < rng.choice([0, 0, 0.05, 1])
    symbols[wild] = rng.integers(-(1 << 31), 1 << 31, int(wild.sum()))
    return symbols.astype(np.int32)


def wrong(frame: Frame) -> int:
    """Symbols of a frame that do not come back."""
    coder = Coder(frame.tables, frame.index, frame.lanes)
    try:
        return int((coder.decode(coder.encode(frame.symbols)) != frame.symbols).sum())
    except TensorError:
        return frame.symbols.size
