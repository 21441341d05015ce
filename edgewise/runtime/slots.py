"""Two places for a bundle: one answers, the other is made ready beside it; the swap falls between two inferences.

A new version costs time before it answers: onnxruntime parses the file, optimises the graph, lays out memory, and the first run
is slower than the rest. All of that happens in a thread of its own while the current bundle goes on; the swap itself is one
assignment. Who infers takes `current` once for a frame, so no frame sees both versions.

What an inference can still wait for: onnxruntime holds Python's lock while it parses a model from bytes (about 0.35 ms a MB), and
lets it go while it optimises and runs. And a single core is shared: so the thread is a little nicer than the rest (Linux has
that for threads). Not nicer: a thread that holds the lock and gets no processor, because others want it, keeps everybody waiting.
On one core beside a busy program, a model of 25 MB delayed an inference of 18 ms by at most 38 ms at niceness 0, 12 at 3,
22 at 6, 68 at 10. `swap_delays` measures it on the machine at hand.

It does not know whether the new version is good; going back is preparing the old one and swapping again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from msgspec import Struct

from edgewise.core.artifact import PARTS, PartName
from edgewise.core.errors import ModelError
from edgewise.runtime.bundle import Bundle

Made = TypeVar("Made")
NICENESS = 3


class Slots:
    """`current` answers, `standby` is ready to (None: nothing is); `parts` are those that are loaded, all by default."""

    def __init__(self, current: Bundle, parts: Sequence[PartName] = PARTS, threads: int = 1) -> None:
        self.current = current
        self.standby: Bundle | None = None
        self._parts, self._threads = tuple(parts), threads

    def prepare(self, bundle: Bundle) -> None:
        """Load and run every part of `bundle` once, and put it in `standby`; waits, so call it from a thread of your own.

        ModelError where it cannot run, or is made for other streams than its manifest says; `current` is not touched then.
        """
        gently(lambda: warm(bundle, self._parts, self._threads))
        self.standby = bundle

    def swap(self) -> Bundle:
        """Let the prepared bundle answer from the next inference on; returns the one that answered until now."""
        if self.standby is None:
            raise ModelError("there is no bundle to swap in", got="an empty slot", hint="Prepare one first.")
        old, self.current, self.standby = self.current, self.standby, None
        return old


def warm(bundle: Bundle, parts: Sequence[PartName] = PARTS, threads: int = 1) -> None:
    """Load those of `parts` that the bundle has, and run each once on zeros."""
    for part in parts:
        if part in bundle.manifest.parts:
            session = bundle.session(part, threads)
            session.run({t.name: np.zeros([n or 1 for n in t.shape], t.dtype) for t in session.inputs})


def gently(work: Callable[[], Made]) -> Made:
    """The result of `work`, done in a thread that leaves others the larger share of a processor, with its errors."""
    made: list[Made] = []
    failed: list[BaseException] = []

    def run() -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            made.append(work())
        except BaseException as error:  # a thread's border: carried over to the caller
            failed.append(error)

    thread = threading.Thread(target=run, name="edgewise-prepare", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


class Delays(Struct, frozen=True):
    """Seconds from when an inference was due to its end: `alone`, and `during` making ready and swap, which took `seconds`."""

    alone: tuple[float, ...]
    during: tuple[float, ...]
    seconds: float


def swap_delays(
    slots: Slots, bundle: Bundle, infer: Callable[[Bundle], object], rate: float = 50.0, alone: float = 1.0, after: float = 0.2
) -> Delays:
    """Swap to `bundle` while `infer(current)` is due `rate` times a second; first `alone` seconds without, `after` seconds more.

    The clock does not wait for an inference (open loop): one that is late makes the next ones late, and it shows.
    """
    ready = threading.Event()
    problem: list[ModelError] = []

    def prepare() -> None:
        try:
            slots.prepare(bundle)
        except ModelError as error:
            problem.append(error)
        ready.set()

    thread = threading.Thread(target=prepare, name="edgewise-swap", daemon=True)
    quiet: list[float] = []
    busy: list[float] = []
    begun = due = time.perf_counter()
    started = swapped = 0.0
    while not swapped or due < swapped + after:
        due += 1 / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        infer(slots.current)
        (busy if started else quiet).append(time.perf_counter() - due)
        if not started and due > begun + alone:
            thread.start()
            started = time.perf_counter()
        if started and not swapped and ready.is_set():
            if problem:
                raise problem[0]
            slots.swap()
            swapped = time.perf_counter()
    return Delays(tuple(quiet), tuple(busy), swapped - started)
