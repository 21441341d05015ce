"""`edgewise serve --adapt`: one model gets better from what its devices send, and nobody waits for it.

    device ── sample ──► Held ──► │ pipe │ ──► the adapting process: teacher, shadow, gate
    device ◄── rollout ◄── Releases ◄── │ pipe │ ◄── Version

This is the server's half, in the loop that answers frames: it keeps samples (`adapting_store.py`), passes them on, publishes what
comes back (`adapting_release.py`), tells devices what is wanted, and writes a log (`adapting_log.py`). All that takes time is in
the child (`adapting_process.py`), which is nicer than the server and holds no key. Where the child breaks, devices are told that
nothing more is wanted, and frames are answered as ever.

It does not know whether a version is good: the gate judges before it goes, canaries and guard after.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from edgewise.adapt.recipe import Recipe
from edgewise.apps.vision import adapting_release, trust
from edgewise.apps.vision.adapting_cascade import answering, check
from edgewise.apps.vision.adapting_child import Child
from edgewise.apps.vision.adapting_course import Course
from edgewise.apps.vision.adapting_log import Journal
from edgewise.apps.vision.adapting_release import Manner, Releases, outcome
from edgewise.apps.vision.adapting_store import Held
from edgewise.apps.vision.adapting_view import AdaptingView
from edgewise.apps.vision.adapting_words import Begin, Failed, Outcome, Ready, Recall, Said, Seen, Standing, Told, Version, Wanted
from edgewise.apps.vision.stock import Stock
from edgewise.core.errors import ConfigError, EdgewiseError, LinkError
from edgewise.core.learning import Learning, Sample
from edgewise.core.wire import FRAME_HEADER
from edgewise.node.background import background, cancel, within
from edgewise.node.spoken import Spoken
from edgewise.runtime.bundle import bundle_files
from edgewise.runtime.update import manifest_of

log = logging.getLogger("edgewise.adapting")
PATIENCE = 180.0  # s for teacher and shadow to be loaded
EVERY = 0.5  # s between two looks at a rollout
METHOD = "adapt"  # in the provenance of versions that were learned


class AdaptConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`teacher` as a user names it; the guard in words ("" for ours), and a folder of pictures of the model's own domain,
    on which nothing may be lost ("" for the bundle's probe).
    """

    teacher: str
    recipe: Recipe = Recipe()
    manner: Manner = Manner()
    guard: str = ""
    threads: int = 1
    home: str = ""

    @property
    def budget(self) -> float:
        """Of uploads of each device, B/s."""
        return self.recipe.bytes


class Adapting:
    """Of the bundle in `folder`, which the server serves.

    `on_wanted` is told what devices are to do, when that changes.
    """

    def __init__(
        self,
        config: AdaptConfig,
        folder: Path,
        stock: Stock,
        keys: Path,
        state: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._source = bundle_files(folder)
        self.manifest = manifest_of(self._source)
        manner = adapting_release.checked(replace(config.manner, guard=adapting_release.guarded(config.guard, self.manifest)))
        self._stock, self._keys, self._clock = stock, keys, clock
        self._releases = Releases(stock, keys, self.manifest.name, manner)
        self._held = Held()
        self.course = Course(Journal(state), self.manifest.name, config.budget)
        self.course.left_out = self._held.counts
        self._child: Child | None = None
        self._words: asyncio.Task[None] | None = None
        self._outcomes: deque[Told] = deque()
        self._came = asyncio.Event()
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._address = self.manifest.address  # what devices have
        self._closing = False
        self.ended = ""  # why nothing is learned any more; "" while it is
        self.wanted: Learning | None = None
        self.on_wanted: Callable[[], None] = lambda: None

    # What the server of frames asks and tells

    def learning(self, node: str) -> Learning | None:
        """What a node is to be told."""
        return self.wanted

    def samples(self, node: str, several: list[Sample]) -> None:
        """Samples came; they wait for the process."""
        if self.ended:
            self._held.counts["after its end"] += len(several)
            return
        for sample in several:
            self._held.add(node, sample, len(sample.picture) + len(sample.statistics) + FRAME_HEADER, self._clock())
        self._came.set()

    # Its life

    async def begin(self) -> Ready:
        """Let the key be known, start the child, and wait until it is ready; a sentence is raised where it cannot be."""
        if self._cascades:
            check(self.manifest)
        if trust.admit_adapter(self._keys, [self.manifest.name], self._clock()):
            log.info("the trust lets this server release %s", self.manifest.name)
        self._releases.settle()
        self._child = await Child.start(self._config.threads)
        self._words = background(self._hear(self._child), "the adapting process", self.broke)
        source, current = self._begun_at()
        self._address = manifest_of(current).address
        config = self._config
        await self._child.tell(Begin(source, current, config.teacher, config.recipe, config.threads, config.home))
        try:
            async with asyncio.timeout(PATIENCE):
                ready = await asyncio.shield(self._ready)
        except TimeoutError:
            raise LinkError(
                "the adapting process did not begin", got=f"{PATIENCE:g} s", hint="Is the teacher too large?"
            ) from None
        self.course.begun(ready, self._clock())
        log.info("%s is adapted by %s: %d values", ready.model, ready.teacher, ready.values)
        return ready

    def answering(self, ready: Ready) -> Spoken | None:
        """The teacher as one who answers what goes up, where a cascade was asked for; ConfigError where it cannot."""
        if not self._cascades:
            return None
        return answering(self._config.teacher, ready.spoken, self.manifest, self._config.threads)

    @property
    def _cascades(self) -> bool:
        return self._config.recipe.cascade > 0

    async def run(self) -> None:
        """Pass samples on and look after rollouts, until cancelled."""
        feeding = background(self._feed(), "samples for the adapting process", self.broke)
        try:
            while True:
                self._roll()
                self.course.write("ended" if self.ended else "", self._clock())
                await asyncio.sleep(EVERY)
        finally:
            await cancel(feeding)

    async def close(self) -> None:
        """End the child; what still waits is dropped."""
        self._closing = True
        if self._child is not None:
            await self._child.end()
        if self._words is not None:
            await cancel(self._words)

    def _begun_at(self) -> tuple[Mapping[str, bytes], Mapping[str, bytes]]:
        """The source, and what devices have.

        That is the served bundle and what was learned of it before; where a person gave devices another version, that is the
        source.
        """
        own = self._releases.own()
        if own is None or own.address == self.manifest.address:
            return self._source, self._source
        files = self._releases.files(own)
        made = manifest_of(files).provenance
        if made.get("method") == METHOD and made.get("base") == self.manifest.address:
            return self._source, files
        log.info("devices have version %d, which was not learned here: it is adapted", own.version)
        return files, files

    # The pipe

    async def _feed(self) -> None:
        assert self._child is not None
        while not self.ended:
            self._came.clear()
            while self._outcomes:
                await self._child.tell(self._outcomes.popleft())
            while not self._outcomes and (found := self._held.take()) is not None:
                node, at, sample, size = found
                await self._child.tell(Seen(node, at, sample, size))
            await within(self._came.wait(), None)

    async def _hear(self, child: Child) -> None:
        try:
            async for word in child.words():
                await self._take(word)
        except EdgewiseError as error:
            self.broke(str(error))
        if not self._closing:
            self.broke(self.ended or "the adapting process ended.")

    async def _take(self, word: Said) -> None:
        now = self._clock()
        match word:
            case Ready():
                self._ready.set_result(word)
            case Failed(sentence):
                self.broke(sentence)
            case Wanted(learning):
                self._want(learning)
            case Version() | Recall():
                await self._publish(word, now)
            case Standing():
                self.course.stands(word)

    def broke(self, sentence: str) -> None:
        """Nothing more is learned; devices are told, and the server goes on."""
        if not self._ready.done():
            self._ready.set_exception(ConfigError(sentence.rstrip(".")))
            self._ready.exception()  # it is looked at, whoever waits
        if not self.ended:
            self.ended = sentence
            log.error("adaptation ended: %s", sentence)
            self.course.note(self._clock(), "ended", sentence)
            self._want(None)
            self._came.set()

    def _want(self, learning: Learning | None) -> None:
        if learning == self.wanted:
            return
        self.wanted = learning
        self.course.wished(learning, self._clock())
        self.on_wanted()

    # Versions

    async def _publish(self, word: Version | Recall, now: float) -> None:
        try:
            release = await self._releases.publish(word, now)
        except EdgewiseError as error:
            log.error("what was learned cannot be published: %s", error)
            self._tell(Outcome(word.number, word.address, "it could not be published"))
            self.course.note(now, "unpublished", str(error))
            return
        self.course.published(word, release.version, now)
        log.info("version %d of %s is published", release.version, release.name, extra={"why": word.why})

    def _roll(self) -> None:
        """Look at the rollout of ours: begin it, follow it, tell the child what became of it."""
        try:
            found = self._releases.turn()
            if found is None:
                self._look()
                return
            of, stage, why = found
            takers = self._releases.takers(of)
        except EdgewiseError as error:  # the store fails: looked at again
            log.error("a rollout cannot be looked at: %s", error)
            return
        self.course.staged(of, stage, why, takers, self._clock())
        if stage == "done":
            self._address = of.address
        decided = outcome(of, stage)
        if decided is not None:
            self._tell(decided)

    def _look(self) -> None:
        """A person who gave devices another version knows something that the adapter does not: it ends, and can be begun
        again.
        """
        own = self._releases.own()
        if own is None or own.address == self._address or self._releases.busy or self.ended:
            return
        self.broke(f"devices were given version {own.version} by somebody else; begin the server again to adapt that")

    def _tell(self, word: Told) -> None:
        self._outcomes.append(word)
        self._came.set()

    # What there is to see

    def view(self) -> AdaptingView:
        """For the page."""
        return self.course.view(self.wanted, self.ended, len(self._held), self._clock())
