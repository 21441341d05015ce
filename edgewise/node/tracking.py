"""Parts of a bundle that follow their stream: which do, since when, and what is known of it.

A server that learns asks its devices for statistics (`Learning.statistics`); from then on every part with batch normalisation is
a `edgewise.runtime.tracked.Tracked`. They are loaded in a thread while frames go on, and taken into use between two. What cannot
follow (no normalisation, or layer and group normalisation alone) runs as ever, and `refused` says why. A server does the same to
its tails: their statistics are of all devices together that use the version.

Who names the class of a picture sees pictures of everywhere; who finds things in it is taken for a camera that stays in its place
(`edgewise.runtime.follow` says what that changes), unless rules are given.

It does not know whether following helps; the rules of `edgewise.runtime.follow` keep to the source while nothing has changed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from edgewise.core.artifact import PartName
from edgewise.core.errors import EdgewiseError
from edgewise.core.moments import Statistics
from edgewise.runtime.bundle import Bundle
from edgewise.runtime.follow import CAMERA, PLAIN, Rules
from edgewise.runtime.slots import gently
from edgewise.runtime.tracked import Tally, Tracked


class Tracking:
    """The tracked parts of one bundle; `of` gives one, None where it is not tracked (yet)."""

    def __init__(self, bundle: Bundle, parts: Sequence[PartName], threads: int = 1, rules: Rules | None = None) -> None:
        self.refused: dict[str, str] = {}
        self._bundle, self._names, self._threads = bundle, tuple(parts), threads
        self._rules = rules or (PLAIN if bundle.manifest.task == "classification" else CAMERA)
        self._parts: dict[str, Tracked] = {}
        self._on = False
        self._loader: threading.Thread | None = None
        self._past: Mapping[str, Tracked] = {}

    def of(self, part: PartName) -> Tracked | None:
        return self._parts.get(part)

    def turn(self, on: bool, wait: bool = False) -> None:
        """Track from now on, or run as ever. Returns at once unless it is to `wait`; saying it again costs nothing."""
        if on == self._on:
            return
        self._on = on
        if not on:
            self._parts = {}
            return
        self._loader = threading.Thread(target=self._load, name="edgewise-tracking", daemon=True)
        self._loader.start()
        if wait:
            self._loader.join()

    def told(self, part: PartName, label: str, labels: Sequence[str]) -> None:
        """The last answer of a part was this label."""
        it = self._parts.get(part)
        if it is not None and label in labels:
            it.told(labels.index(label), len(labels))

    @property
    def statistics(self) -> Statistics:
        """The running statistics of all tracked parts, by the path of the layer; empty where none is tracked."""
        return {path: one for it in self._parts.values() for path, one in it.statistics.items()}

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """What was run, watched, built and refused, by part."""
        return {part: it.tally for part, it in self._parts.items()}

    def succeed(self, before: Tracking) -> None:
        """Go on where another version of the same model was; waits until its statistics are in use."""
        self._past = before._parts
        self.turn(before._on, wait=True)
        self._past = {}

    def _load(self) -> None:
        found: dict[str, Tracked] = {}
        for part in self._names:
            if part not in self._bundle.manifest.parts:
                continue
            try:
                it = gently(lambda part=part: Tracked.of(self._bundle, part, self._rules, self._threads))  # type: ignore[misc]
                if part in self._past:
                    it.succeed(self._past[part])
                found[part] = it
            except EdgewiseError as error:  # a thread's border: the part runs as ever
                self.refused[part] = str(error)
        if self._on:
            self._parts = found
