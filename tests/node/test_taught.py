"""A real device and a real server that learns from it: samples arrive as pictures, a teacher answers in place of the tail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.codec.image import ImageCodec
from edgewise.core.answer import Answer, FrameRecord
from edgewise.core.decoding import Classes, Raw
from edgewise.core.errors import ConfigError, ImageError, StoreError
from edgewise.core.learning import AUDIT, CARRIED, DROPPED, Learning, Sample
from edgewise.data.sources.feed import Picture, Source
from edgewise.meter.energy import EnergyModel
from edgewise.net.listen import Peer
from edgewise.net.messages import Hello
from edgewise.net.session import DeviceSession
from edgewise.net.transport import Pipe
from edgewise.node.agent import Agent, AgentConfig
from edgewise.node.device import DeviceNode
from edgewise.node.heads import Heads
from edgewise.node.rows import Rows
from edgewise.node.server import EdgeServer
from edgewise.node.spoken import Spoken
from edgewise.node.store.outbox import MemoryOutbox
from edgewise.node.tails import Tails
from edgewise.plan.online import OnlinePolicy
from edgewise.runtime.bundle import Bundle
from tests.pickers import CASCADE, NOTHING, Picked, Picker
from tests.small_bundles import COLOURS, colours, painted

WISH = Learning(samples=100.0, bytes=1e6, cascade=0.5, level=90)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("colours")
    colours(folder)
    return Bundle.open(folder)


class Contrary:
    """Says of every picture that it is green, surely; `fails` says how."""

    def __init__(self, seconds: float = 0.0, fails: Exception | None = None, number: float = 0.98) -> None:
        self.seconds, self.fails, self.number = seconds, fails, number
        self.seen = 0

    def probabilities(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        time.sleep(self.seconds)
        self.seen += len(pictures)
        if self.fails is not None:
            raise self.fails
        return np.tile(np.array([0.01, self.number, 0.01], np.float32), (len(pictures), 1))


class Stills(Source):
    def __init__(self, pictures: Sequence[NDArray[np.uint8]], rate: float) -> None:
        super().__init__("stills", rate)
        self._stills = pictures

    def pictures(self) -> Iterator[Picture]:
        for n, picture in enumerate(self._stills):
            yield str(n), picture


class Site:
    """One device, one server, a pipe between them."""

    def __init__(
        self,
        bundle: Bundle,
        picker: Picker,
        only: str,
        teacher: Contrary | None = None,
        on: Callable[[Sample], None] = lambda s: None,
    ) -> None:
        self.samples: list[Sample] = []
        self.records: list[FrameRecord] = []
        self.wish: Learning | None = WISH
        self._on = on
        tails = Tails([bundle])
        if teacher is not None:
            tails.tutor("colours", Spoken(teacher, bundle.manifest.decoding))
        self.server = EdgeServer(tails, wants=lambda node: self.wish, on_samples=self.take)
        heads = Heads(bundle)
        streams = heads.streams()
        points = tuple(p for p in bundle.manifest.points if p.name in only.split())
        session = DeviceSession(Hello("cam", "0", streams, bundle.address), Rows(MemoryOutbox(), time.time), learns=True)
        policy = OnlinePolicy(points, 1 / 20)
        ways = {s.point: s.id for s in streams}
        self.agent = Agent(
            AgentConfig("cam", 1.0), policy, session, ways, EnergyModel(2.0, 5.0), session._posting.outbox, heads.filter, picker
        )  # type: ignore[arg-type]
        self.heads = heads

    def take(self, node: str, samples: list[Sample]) -> None:
        for sample in samples:
            self._on(sample)
        self.samples += samples

    async def connect(self) -> Pipe:
        near, far = Pipe.pair()
        self.task = asyncio.create_task(self.server.handle(far, Peer("cam", "device", "")))
        return near

    async def run(self, pictures: Sequence[NDArray[np.uint8]], also: Callable[[], None] = lambda: None) -> None:
        device = DeviceNode(self.agent, self.heads, Stills(pictures, 20.0), self.connect, on_record=self.records.append)
        await self.server.start()
        try:
            async with asyncio.timeout(60):
                await device.run()
            also()
        finally:
            await self.server.stop()


def greeted(records: Sequence[FrameRecord]) -> list[FrameRecord]:
    return [r for r in records if r.frame >= 5]


async def test_samples_are_the_pictures_that_the_device_saw(bundle: Bundle) -> None:
    picker = Picker(lambda n: Picked(learn=True, audit=n % 2 == 1))
    site = Site(bundle, picker, "local")
    pictures = [painted(n % 3, 250 if n % 4 else 60) for n in range(24)]  # the dark ones the filter leaves out
    await site.run(pictures)
    assert len(site.samples) >= 6
    for sample in site.samples:
        seen = ImageCodec("jpeg", 90).decode(sample.picture)
        assert np.abs(seen.astype(int) - pictures[sample.frame]).mean() < 12
        assert bool(sample.flags & DROPPED) == (sample.frame % 4 == 0) == (sample.doubt is None)
        assert sample.version == bundle.address and sample.captured > 0
    assert {s.flags & AUDIT for s in site.samples} == {0, AUDIT}
    assert all(doubt is None or (0 <= doubt.entropy <= 1 and doubt.probabilities.shape == (3,)) for doubt, _ in picker.asked)
    assert site.agent.ledger.table().samples == len(site.samples)


async def test_the_cascade_takes_the_teachers_answer_and_teaches(bundle: Bundle) -> None:
    teacher = Contrary()
    site = Site(bundle, Picker(lambda n: CASCADE), "local jpeg-90", teacher)
    await site.run([painted(0, 250)] * 24)
    taught = [r for r in greeted(site.records) if r.mode == "image"]
    assert len(taught) > 2
    assert {r.answer.classes[0].label for r in taught if r.answer.classes} <= {"green", "red"}
    assert teacher.seen > 2
    carried = [s for s in site.samples if s.flags & CARRIED]
    assert len(carried) == len({s.frame for s in carried}) >= len(taught)
    health = site.server.health()
    assert health.counts["answered by the teacher"] > 2


@pytest.mark.parametrize(
    "teacher", [Contrary(fails=RuntimeError("broken")), Contrary(number=float("nan")), Contrary(seconds=3.0)]
)
async def test_where_the_teacher_has_no_answer_in_time_the_tail_has(bundle: Bundle, teacher: Contrary) -> None:
    site = Site(bundle, Picker(lambda n: NOTHING), "jpeg-90", teacher)
    await site.run([painted(2, 250)] * 30)
    said = [r for r in greeted(site.records) if r.outcome == "answered"]
    assert said and {r.answer.classes[0].label for r in said} == {"blue"}
    assert teacher.seen > 0
    counts = site.server.health().counts
    left = sum(counts.get(why, 0) for why in ("cancelled", "superseded", "left with their device"))
    assert counts["answered"] >= counts["arrived"] - left - 1 > 0, "the tail answers them"
    if teacher.fails is not None:
        assert site.server.border["teacher failed"] > 0 and "broken" in site.server.tutor
        assert site.server.health().status == "ok", "a teacher that fails is no failing server"


async def test_a_store_that_fails_costs_samples_and_no_connection(bundle: Bundle) -> None:
    def full(sample: Sample) -> None:
        raise StoreError("the disk is full")

    site = Site(bundle, Picker(lambda n: Picked(learn=True)), "local", on=full)
    await site.run([painted(1, 250)] * 12)
    assert site.samples == [] and site.server.health().counts["samples that failed"] > 1
    assert site.server.health().counts.get("superseded", 0) == 0


def test_a_teacher_belongs_to_a_model_and_goes_again(bundle: Bundle) -> None:
    tails = Tails([bundle])
    image = next(s for s in Heads(bundle).streams() if s.point == "jpeg-90")
    split = next(s for s in Heads(bundle).streams() if s.point == "split")
    assert not tails.teaches(image)
    tails.tutor("another", Spoken(Contrary(), bundle.manifest.decoding))
    assert not tails.teaches(image)
    tails.tutor("colours", Spoken(Contrary(), bundle.manifest.decoding))
    assert tails.teaches(image) and not tails.teaches(split)
    good = memoryview(Heads(bundle).coded(painted(0, 250), 90)[0])
    said = tails.teach([(image, good), (image, memoryview(b"no picture")), (image, good)])
    assert [a.classes[0].label for a in said if isinstance(a, Answer)] == ["green", "green"]
    assert isinstance(said[1], str) and "picture" in said[1]
    tails.tutor("colours", None)
    assert not tails.teaches(image) and tails.teach([(image, good)]) == [None]


@pytest.mark.parametrize("logits", [True, False])
def test_probabilities_are_read_like_the_models_own_answers(logits: bool) -> None:
    from edgewise.data.decoding import answers

    decoding = Classes("y", logits=logits)
    outputs: Mapping[str, NDArray[Any]] = Spoken(Contrary(), decoding).outputs([painted(0, 9)])
    [answer] = answers(outputs, decoding, COLOURS)
    assert answer.classes[0].label == "green" and answer.classes[0].score == pytest.approx(0.98, abs=1e-3)
    with pytest.raises(ConfigError, match="classes"):
        Spoken(Contrary(), Raw())


def test_what_is_no_picture_cannot_be_coded(bundle: Bundle) -> None:
    for wrong in (np.zeros(5, np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ImageError):
            Heads(bundle).coded(wrong, 85)
