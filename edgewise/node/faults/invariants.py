"""What must hold whatever happens, and the witness who sees everything and whom no fault can touch.

    lost       an item that a device had durably put, neither in the server's effects nor counted as dropped by its bounds
    torn       a version in use that is not a whole, signed, published one, or whose bytes are others than its publisher's
    double     an effect that happened twice: of an item, of a report of a swap, of an entry of the audit log
    converged  after the quiet time every device runs what it is assigned, outboxes are empty, rollouts are at rest, and each
               frame of a process that was not killed has exactly one fate

`torn` is checked at every load, the others in the end. The witness is told by the rims around the real code, never by that code
itself; it reads the disks on its own.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from edgewise.node.faults.clock import Timeline
from edgewise.node.faults.publisher import Publisher, sha
from edgewise.node.faults.trace import Trace

Law = Literal["lost", "torn", "double", "converged"]
LAWS: tuple[Law, ...] = ("lost", "torn", "double", "converged")
ItemKey = tuple[str, str, int]  # node, epoch, sequence number


class Broken(Struct, frozen=True):
    """An invariant that did not hold: which, when (s), and what was seen."""

    law: Law
    at: float
    sentence: str


class Witness:
    """Sees puts, effects, loads and frames; `broken` is what went against a law, in order."""

    def __init__(self, timeline: Timeline, trace: Trace, publisher: Publisher) -> None:
        self.broken: list[Broken] = []
        self._timeline, self._trace, self._publisher = timeline, trace, publisher
        self._put: dict[ItemKey, tuple[str, str]] = {}  # kind, hash of the body
        self._frames: dict[tuple[str, int], Counter[int]] = {}  # fates of each frame, by machine and life
        self._ended_well: set[tuple[str, int]] = set()

    def against(self, law: Law, sentence: str) -> None:
        self.broken.append(Broken(law, self._timeline.now, sentence))
        self._trace.say("witness", f"{law}: {sentence}")

    # Told as it happens

    def crashed(self, node: str, error: BaseException) -> None:
        """A process ended by an exception that nobody expected."""
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
        self.against("converged", f"{node} ended by {type(error).__name__} in {place}: {error}")

    def put(self, node: str, epoch: str, seq: int, kind: str, body: bytes) -> None:
        """An outbox took an item, and said so: from here on it must not be lost."""
        self._put[node, epoch, seq] = (kind, sha(body))
        self._trace.say(node, f"item {seq} is put: {kind}")

    def loaded(self, node: str, address: str, files: Mapping[str, bytes]) -> None:
        """A machine uses the version at `address`, made of `files`."""
        version = self._publisher.versions.get(address)
        if version is None:
            self.against("torn", f"{node} loaded {address[:12]}, which was never published.")
        elif version.files != files:
            other = sorted(n for n in {*version.files, *files} if version.files.get(n) != files.get(n))
            self.against("torn", f"{node} loaded version {version.number} with other bytes in {', '.join(other)}.")

    def frame(self, node: str, life: int, number: int) -> None:
        self._frames.setdefault((node, life), Counter())[number] += 0

    def fate(self, node: str, life: int, number: int) -> None:
        fates = self._frames.setdefault((node, life), Counter())
        fates[number] += 1
        if fates[number] > 1:
            self.against("converged", f"frame {number} of {node} has {fates[number]} fates.")

    def ended(self, node: str, life: int) -> None:
        """This process came to its own end: none of its frames may be open."""
        open_frames = [n for n, fates in self._frames.get((node, life), Counter()).items() if not fates]
        if open_frames:
            self.against("converged", f"{len(open_frames)} frames of {node} have no fate, the first is {open_frames[0]}.")

    # Checked in the end

    def effects(self, seen: list[tuple[str, str, int, str]], dropped: Mapping[str, Counter[str]]) -> None:
        """`seen` are the server's effects (node, epoch, sequence number, hash); `dropped` what each outbox counts, by kind."""
        times = Counter((node, epoch, seq) for node, epoch, seq, _ in seen)
        for (node, _, seq), n in times.items():
            if n > 1:
                self.against("double", f"item {seq} of {node} took effect {n} times.")
        missing: dict[str, Counter[str]] = {}
        for (node, epoch, seq), (kind, _) in self._put.items():
            if (node, epoch, seq) not in times:
                missing.setdefault(node, Counter())[kind] += 1
        for node, kinds in missing.items():
            for kind, n in kinds.items():
                if (counted := dropped.get(node, Counter())[kind]) < n:
                    self.against("lost", f"{n} items of kind {kind!r} of {node} are gone, {counted} are counted as dropped.")
        self.once("the content of an item of", [(node, digest) for node, _, _, digest in seen])
        for node, epoch, seq, digest in seen:
            put = self._put.get((node, epoch, seq))
            if put is not None and put[1] != digest:
                self.against("torn", f"item {seq} of {node} took effect with other bytes.")

    def once(self, what: str, happened: list[tuple[object, ...]]) -> None:
        """None of the events in `happened` is there twice."""
        for event, n in Counter(happened).items():
            if n > 1:
                self.against("double", f"{what} {event} is there {n} times.")

    def waits(self, node: str, epoch: str, seq: int) -> None:
        """The item is still in its outbox: it is not lost."""
        self._put.pop((node, epoch, seq), None)

    def at_rest(self, sentence: str | None) -> None:
        """`sentence` says what has not come to rest, or is None."""
        if sentence is not None:
            self.against("converged", sentence)

    @property
    def items(self) -> int:
        return len(self._put)
