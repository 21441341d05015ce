"""What a device says of its versions: Reports as items of the outbox, written in the transaction of what they tell.

So a step and its report happen together or not at all, and the inbox of the server counts each report once. A document that
is refused is told once, however often it comes.
"""

from __future__ import annotations

import hashlib

import msgspec

from edgewise.core.errors import FrameError
from edgewise.core.rollout import Health, Report, Step
from edgewise.node.delivery.slots import Slots
from edgewise.node.store.outbox import Outbox

KIND = "report"
_LONGEST = 500


def pack_report(report: Report) -> bytes:
    return msgspec.msgpack.encode(report)


def unpack_report(data: bytes) -> Report:
    """The report in an item's body; FrameError where there is none."""
    try:
        return msgspec.msgpack.decode(data, type=Report)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError("a report cannot be read", got=error) from None


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Words:
    """Says what happened on `node`."""

    def __init__(self, node: str, slots: Slots, outbox: Outbox) -> None:
        self._node, self._slots, self._outbox = node, slots, outbox

    def say(
        self, step: Step, model: str, version: int, release: str, now: float, sentence: str = "", *, sequence: int = 0,
        health: Health | None = None,
    ) -> None:  # fmt: skip
        """Put a report; the address in use is read in the same transaction."""
        active = self._slots.slot(model, "active")
        running = active.address if active is not None else ""
        at = min(max(now, 0.0), 4e10)
        report = Report(self._node, at, step, model, max(version, 1), release, running, sequence, cut(sentence, _LONGEST), health)
        self._outbox.put(KIND, pack_report(report), now)

    def refuse(self, release: str, model: str, version: int, now: float, sentence: str, sequence: int) -> None:
        """Count a document that is not to be trusted, and tell of it when it comes for the first time."""
        self._slots.count("refused")
        if self._slots.first_time(release, now):
            self.say("refused", model, version, release, now, sentence, sequence=sequence)


def cut(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"
