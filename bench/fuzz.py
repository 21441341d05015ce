"""Fuzzing of every border: `fuzz(target, cases, seed)` feeds mutated valid bytes to one of them and says what came of it.

What is refused must be refused by an EdgewiseError, within a second, without holding on to memory. Anything else that comes out
is a crash, and stands in the outcome with the bytes that made it. Cases come in blocks; a block has its own generator and
a fresh target, so `fuzz(target, BLOCK, seed, first=block)` makes a finding again, and two runs of one seed are the same.

`fuzz_all` shares cases out over all targets (`bench.targets`), each in a process of its own (`python -m bench.fuzz TARGET CASES
SEED`), so that memory is that target's alone, and one that hangs in C is ended from outside.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from types import FrameType

import msgspec
from msgspec import Struct

from bench.targets import SHARES, Target, made
from edgewise.core.errors import ConfigError, EdgewiseError
from edgewise.meter.memory import peak, resident

BLOCK = 256
SECONDS = 1.0  # of processor time that one case may take: a busy machine is no hang
PATIENCE = 30.0  # s that it may take at all
SHOWN = 10  # findings that an outcome holds
KEPT = 4096  # bytes of a finding's case
MOST_MEMORY = 64 << 20  # bytes that a target may come to hold beyond what it held when it was warm
SLOWEST_RATE = 500  # cases/s; a process that is slower by ten is ended
ROOT = Path(__file__).resolve().parents[1]


class Finding(Struct, frozen=True):
    """A `crash` or a `hang`: the error in one line with its place, the block, the reader, and the case's first bytes (hex)."""

    kind: str
    sentence: str
    block: int
    which: int
    data: str


class Outcome(Struct, frozen=True):
    """What came of `cases`: taken or refused; crashes and hangs are counted, the first of each place shown in `findings`.

    `grown` are the bytes held at the end beyond those held when it was warm; `peak` is the most that was held since then.
    """

    target: str
    cases: int
    taken: int
    refused: int
    crashes: int
    hangs: int
    seconds: float
    slowest: float
    grown: int
    peak: int
    findings: tuple[Finding, ...] = ()

    @property
    def sound(self) -> bool:
        return not self.crashes and not self.hangs and max(self.grown, self.peak) <= MOST_MEMORY


class Hang(BaseException):
    """A case's time is over; no `except Exception` on the way may keep it."""


def fuzz(target: str, cases: int, seed: int, first: int = 0) -> Outcome:
    """Feed `cases` cases to `target`, from block `first` on."""
    border = made(target)
    counts = {"taken": 0, "refused": 0, "crash": 0, "hang": 0}
    findings: dict[str, Finding] = {}
    slowest, warm, top, done, block = 0.0, 0, 0, 0, first
    began = time.perf_counter()
    logging.disable(logging.CRITICAL)  # what a border logs of hostile bytes is no news here
    try:
        with _limited():
            while done < cases:
                random = Random(f"{seed} {target} {block}")
                border.begin()
                for _ in range(min(BLOCK, cases - done)):
                    which, data = border.draw(random)
                    kind, error, seconds = _fed(border, which, data)
                    counts[kind] += 1
                    slowest = max(slowest, seconds)
                    if error is not None:
                        place = _place(error)
                        sentence = f"{type(error).__name__} at {place}: {str(error)[:200]}"
                        findings.setdefault(place, Finding(kind, sentence, block, which, data[:KEPT].hex()))
                        border.begin()
                done += min(BLOCK, cases - done)
                block += 1
                if not warm and (done >= cases / 5 or done >= 20_000):
                    gc.collect()
                    warm, top = int(resident()), int(peak().value)
    finally:
        logging.disable(logging.NOTSET)
        border.close()
    gc.collect()
    return Outcome(
        target,
        done,
        counts["taken"],
        counts["refused"],
        counts["crash"],
        counts["hang"],
        round(time.perf_counter() - began, 3),
        slowest,
        max(0, int(resident()) - warm),
        max(0, int(peak().value) - top),
        tuple(findings.values())[:SHOWN],
    )


def fuzz_all(cases: int, seed: int, processes: int = 1, targets: tuple[str, ...] = tuple(SHARES)) -> list[Outcome]:
    """Every target with its share of `cases`, `processes` at once; a process that dies or never ends is a finding too."""
    if unknown := set(targets) - set(SHARES):
        raise ConfigError("there is no such target", got=", ".join(sorted(unknown)), allowed=", ".join(SHARES))
    whole = sum(SHARES[t] for t in targets)
    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(lambda t: _apart(t, max(BLOCK, round(cases * SHARES[t] / whole)), seed), targets))


def _apart(target: str, cases: int, seed: int) -> Outcome:
    words = [sys.executable, "-m", "bench.fuzz", target, str(cases), str(seed)]
    began = time.monotonic()
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=60 + 10 * cases / SLOWEST_RATE, check=False)
    except subprocess.TimeoutExpired:
        sentence = f"{target} did not end"
        return Outcome(target, cases, 0, 0, 0, 1, time.monotonic() - began, 0.0, 0, 0, (Finding("hang", sentence, 0, 0, ""),))
    if done.returncode != 0:
        sentence = f"the process ended with status {done.returncode}: {done.stderr.decode(errors='replace').strip()[-500:]}"
        return Outcome(target, cases, 0, 0, 1, 0, time.monotonic() - began, 0.0, 0, 0, (Finding("crash", sentence, 0, 0, ""),))
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Outcome)


def _fed(border: Target, which: int, data: bytes) -> tuple[str, BaseException | None, float]:
    began = time.process_time()
    if _main():
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        kind = "taken" if border.feed(which, data) else "refused"
    except EdgewiseError:
        kind = "refused"
    except Hang as error:
        return "hang", error, time.process_time() - began
    except Exception as error:  # what fuzzing is for
        return "crash", error, time.process_time() - began
    return kind, None, time.process_time() - began


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Within, a case that lasts longer than SECONDS is ended by Hang (in the main thread; elsewhere nothing can)."""
    if not _main():
        yield
        return

    def over(number: int, frame: FrameType | None) -> None:
        raise Hang

    timers = {signal.SIGALRM: signal.ITIMER_REAL, signal.SIGPROF: signal.ITIMER_PROF}
    before = {number: (signal.setitimer(timer, 0), signal.signal(number, over)) for number, timer in timers.items()}
    try:
        yield
    finally:
        for number, timer in timers.items():
            signal.setitimer(timer, 0)
            left, handler = before[number]
            signal.signal(number, handler)
            signal.setitimer(timer, *left)


def _main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = next((f for f in reversed(frames) if "edgewise" in f.filename), frames[-1])
    return f"{Path(ours.filename).name}:{ours.lineno}"


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(fuzz(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))) + b"\n")
