"""The entropy coder beside CompressAI's, constriction and zlib, in turns; decode errors over processors and versions of NumPy.

Timed is what a user of either coder calls, with everything made that does not change between frames (tables, index, model):
from float32 features that hold whole numbers to bytes, and back. For CompressAI that is EntropyBottleneck.compress and
decompress with their conversions to lists; for ours rounding, `Coder.encode`, `Coder.decode` and the conversion to float32;
constriction's and zlib's work on integers alone. Symbols are those of `edgewise.codec.check`: 24 or 3 channels with alphabets
of 33 letters. Overhead counts every byte against the entropy of the channels' own counts, to which all tables are fitted; the
tables themselves are the model's and are counted for none of them.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import aarch64, coded_there
from bench.environments import COMPRESSAI, OLD_NUMPY, ROOT, python
from bench.report import Report, Row, Target, left_out, summary
from edgewise.codec.check import Frame, entropy, random_frames, random_symbols, sequence
from edgewise.codec.rans import Coder
from edgewise.core.errors import ConfigError, TensorError

HEIGHT, WIDTH = 200, 209  # of each of 24 channels: 1,003,200 symbols
FASTER, OVER, OVER_SMALL, SMALL_SECONDS = 1.5, 0.005, 0.03, 0.5e-3
SHAPES = {"BottleFit 3×29×29": (3, 841), "GHND 3×102×136": (3, 13_872), "ES 24×55×55": (24, 3025)}
EACH, BATCH = 20, 32  # frames that one coder codes in the search for errors, and that a server decodes together
Round = dict[str, float]


def run(quick: bool) -> Report:
    large, large_targets, config = _large(3 if quick else 15, make=not quick)
    small, small_targets = _shapes(60 if quick else 500)
    errors, error_target = _errors(2_000 if quick else 100_000, make=not quick)
    return Report([*large, *small, *errors], [*large_targets, *small_targets, error_target], config)


def _large(rounds: int, make: bool) -> tuple[list[Row], list[Target], dict[str, Any]]:
    """10⁶ symbols, all coders in turns."""
    frame, counts = sequence(24 * HEIGHT * WIDTH, seed=1)
    values = frame.symbols.astype(np.float32).reshape(1, 24, HEIGHT, WIDTH)
    coders: dict[str, Callable[[], Round]] = {"ours": lambda: _ours(coder, values), "zlib level 6": lambda: _zlib(frame)}
    coder, reason, config = Coder(frame.tables, frame.index), "", {}
    try:
        coders["constriction ANS"] = _constriction(frame, counts)
    except ModuleNotFoundError:
        config["constriction"] = "not installed: pip install -c constraints.txt constriction"
    with _compressai(values, counts, make) as (theirs, about):
        if theirs is not None:
            coders["CompressAI"] = theirs
        reason = "" if theirs else about
        config["compressai"] = about
        for one in coders.values():
            one()
        found = {name: [] for name in coders}
        for _ in range(rounds):
            for name, one in coders.items():
                found[name].append(one())
    n, least = frame.symbols.size, entropy(counts)
    rows = [Row("10⁶ symbols", "entropy", least, "bytes", n, provenance="modelled")]
    for name, said in found.items():
        rows += [summary(f"10⁶ symbols, {name}", f"{w} rate", [n / r[w] for r in said], "1/s") for w in ("encode", "decode")]
        rows.append(Row(f"10⁶ symbols, {name}", "over entropy", 100 * (said[0]["bytes"] / least - 1), "%", n))
    wrong = int(sum(r["errors"] for said in found.values() for r in said))
    rows.append(Row("10⁶ symbols", "wrong symbols of all coders", wrong, "", n * rounds))
    over = found["ours"][0]["bytes"] / least - 1
    targets = [
        Target(
            "coder, 10⁶ symbols, over entropy",
            f"<= {OVER:.1%}",
            f"{over:.3%}",
            over <= OVER,
            "" if over <= OVER else "too many lanes",
        )
    ]
    name, want = "coder, 10⁶ symbols, as quick as CompressAI's end to end", f">= {FASTER} ×"
    if reason:
        targets.append(left_out(name, want, f"CompressAI's coder is not here: {reason}"))
        return rows, targets, config
    ratios = {
        way: float(np.median([t[way] / o[way] for o, t in zip(found["ours"], found["CompressAI"], strict=True)]))
        for way in ("encode", "decode")
    }
    rows += [Row("10⁶ symbols, ours against CompressAI", f"{way} ratio", r, "", rounds) for way, r in ratios.items()]
    met = min(ratios.values()) >= FASTER
    got = f"encode {ratios['encode']:.1f} ×, decode {ratios['decode']:.1f} ×"
    targets.append(Target(name, want, got, met, "" if met else "NumPy's calls cost more here than compiled loops and lists"))
    return rows, targets, config


def _shapes(rounds: int) -> tuple[list[Row], list[Target]]:
    """The bottlenecks of the notes, from int32 symbols to bytes and back, and a server's batch of the smallest."""
    frames = {name: sequence(channels * size, seed=2, channels=channels) for name, (channels, size) in SHAPES.items()}
    rows = [row for name, (frame, counts) in frames.items() for row in _shape(name, frame, entropy(counts), rounds)]
    small = {row.metric: row for row in rows if row.case == next(iter(SHAPES))}
    encode, decode, over = small["encode"], small["decode"], small["over entropy"].value / 100
    fast, near = max(encode.value, decode.value) <= SMALL_SECONDS, over <= OVER_SMALL
    slow = f"a shared or slow processor: the quickest twentieth took {1e3 * encode.low:.2f} and {1e3 * decode.low:.2f} ms"
    return rows, [
        Target(
            "coder, 2,523 symbols, time",
            f"<= {SMALL_SECONDS * 1e3:.1f} ms each way",
            f"encode {1e3 * encode.value:.2f} ms, decode {1e3 * decode.value:.2f} ms",
            fast,
            "" if fast else slow,
        ),
        Target(
            "coder, 2,523 symbols, over entropy",
            f"<= {OVER_SMALL:.0%}",
            f"{over:.2%}",
            near,
            "" if near else "the states of its lanes cost more than that",
        ),
    ]


def _shape(name: str, frame: Frame, least: float, rounds: int) -> list[Row]:
    coder = Coder(frame.tables, frame.index)
    data, plain = coder.encode(frame.symbols), frame.symbols.astype(np.uint8).tobytes()
    batch = [data] * BATCH
    together = _times(lambda: coder.decode_many(batch), max(5, rounds // 20))
    return [
        summary(name, "encode", _times(lambda: coder.encode(frame.symbols), rounds), "s"),
        summary(name, "decode", _times(lambda: coder.decode(data), rounds), "s"),
        summary(name, f"decode, a frame of a batch of {BATCH}", [t / BATCH for t in together], "s"),
        Row(name, "over entropy", 100 * (len(data) / least - 1), "%", frame.symbols.size),
        Row(name, "bytes", len(data), "bytes"),
        Row(name, "bytes of zlib level 6", len(zlib.compress(plain, 6)), "bytes"),
    ]


def _errors(count: int, make: bool) -> tuple[list[Row], Target]:
    """Frames that do not come back: here, on aarch64 under qemu-user, and with the oldest NumPy that is allowed."""
    name, want = "decode errors in 10⁵ random frames over CPUs and versions", "0"
    here, frames = 0, 0
    rng = np.random.default_rng(3)
    for frame in random_frames(count // EACH, seed=4):
        coder = Coder(frame.tables, frame.index, frame.lanes)
        symbols = np.stack([frame.symbols, *(random_symbols(frame.tables, frame.index, rng) for _ in range(EACH - 1))])
        payloads = [coder.encode(s) for s in symbols]
        try:
            together, alone = coder.decode_many(payloads), np.stack([coder.decode(p) for p in payloads[: EACH // 2]])
            here += int((together != symbols).any(axis=1).sum() + (alone != symbols[: EACH // 2]).any(axis=1).sum())
        except TensorError:
            here += EACH
        frames += EACH
    rows = [Row("random frames", f"errors here, NumPy {np.__version__}", here, "", frames)]
    total, tried, reasons = here, [f"{frames:,} here"], []
    for place, some, words in (("aarch64", 300, _aarch64), ("oldest NumPy", 1000, _oldest)):
        try:
            found = words(some if make else some // 10, make)
        except ConfigError as error:
            reasons.append(f"not tried on {place}: {error}")
            continue
        wrong = found["encoded"] + found["decoded"]
        rows.append(Row("random frames", f"errors on {found['machine']}, NumPy {found['numpy']}", wrong, "", found["frames"]))
        total, tried = total + wrong, [*tried, f"{found['frames']} on {found['machine']} with NumPy {found['numpy']}"]
    got = f"{total} ({', '.join(tried)})"
    if total:
        return rows, Target(name, want, got, False, "bytes or symbols differ")
    if reasons or not make:
        return rows, Target(name, want, got, None, "; ".join(reasons) or "a quick run tries few frames")
    return rows, Target(name, want, got, True)


def _aarch64(count: int, make: bool) -> dict[str, Any]:
    try:
        words = aarch64.command()
    except ConfigError:
        if not make or not hasattr(os, "geteuid") or os.geteuid() != 0:
            raise
        aarch64.make()
        words = aarch64.command()
    return _there(words, aarch64.environment(), count)


def _oldest(count: int, make: bool) -> dict[str, Any]:
    return _there([str(python("old_numpy", OLD_NUMPY, make))], {**os.environ, "PYTHONPATH": str(ROOT)}, count)


def _there(words: list[str], environment: dict[str, str], count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        coded_there.write(random_frames(count, seed=5), Path(folder) / "frames")
        return coded_there.there(words, environment, Path(folder) / "frames", 1800)


def _times(call: Callable[[], object], rounds: int) -> list[float]:
    call()
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return found


def _ours(coder: Coder, values: NDArray[np.float32]) -> Round:
    start = time.perf_counter()
    data = coder.encode(np.rint(values).astype(np.int32).reshape(-1))
    between = time.perf_counter()
    back = coder.decode(data).astype(np.float32).reshape(values.shape)
    end = time.perf_counter()
    return {"encode": between - start, "decode": end - between, "bytes": len(data), "errors": int((back != values).sum())}


def _zlib(frame: Frame) -> Round:
    codes = frame.symbols.astype(np.uint8)
    start = time.perf_counter()
    data = zlib.compress(codes.tobytes(), 6)
    between = time.perf_counter()
    back = np.frombuffer(zlib.decompress(data), np.uint8)
    end = time.perf_counter()
    return {"encode": between - start, "decode": end - between, "bytes": len(data), "errors": int((back != codes).sum())}


def _constriction(frame: Frame, counts: NDArray[np.int64]) -> Callable[[], Round]:
    """Rust; a model a channel, the last channel first, for it is a stack."""
    import constriction

    model, stack = constriction.stream.model, constriction.stream.stack
    models = [model.Categorical((c + 1e-9) / (c + 1e-9).sum(), perfect=False) for c in counts.astype(np.float64)]
    channels = np.split(frame.symbols, np.cumsum(np.bincount(frame.index))[:-1])

    def once() -> Round:
        start = time.perf_counter()
        coder = stack.AnsCoder()
        for symbols, chances in zip(reversed(channels), reversed(models)):
            coder.encode_reverse(symbols, chances)
        data = coder.get_compressed()
        between = time.perf_counter()
        coder = stack.AnsCoder(data)
        back = [coder.decode(chances, symbols.size) for symbols, chances in zip(channels, models)]
        end = time.perf_counter()
        wrong = int((np.concatenate(back) != frame.symbols).sum())
        return {"encode": between - start, "decode": end - between, "bytes": data.nbytes, "errors": wrong}

    return once


@contextmanager
def _compressai(
    values: NDArray[np.float32], counts: NDArray[np.int64], make: bool
) -> Iterator[tuple[Callable[[], Round] | None, str]]:
    """A round of CompressAI's coder in an interpreter of its own, and what it says of itself; None and the reason without it."""
    try:
        interpreter = python("compressai", COMPRESSAI, make)
    except ConfigError as error:
        yield None, str(error)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "symbols.npz"
        np.savez(path, values=values, counts=counts)
        words = [str(interpreter), "-P", str(ROOT / "bench" / "compressai_coder.py"), str(path)]
        plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        with (Path(folder) / "log").open("w+") as log:
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=plain)
            try:

                def answer() -> dict[str, Any]:
                    ready, _, _ = select.select([process.stdout], [], [], 300)
                    line = process.stdout.readline() if ready and process.stdout else b""
                    if not line:
                        log.seek(0)
                        raise ConfigError("CompressAI's coder does not answer", got=log.read()[-300:] or "nothing in 300 s")
                    found: dict[str, Any] = json.loads(line)
                    return found

                def once() -> Round:
                    assert process.stdin is not None
                    process.stdin.write(b"\n")
                    process.stdin.flush()
                    return answer()

                try:
                    about = json.dumps(answer())
                except ConfigError as error:
                    yield None, str(error)
                    return
                yield once, about
            finally:
                process.kill()
                process.wait()
