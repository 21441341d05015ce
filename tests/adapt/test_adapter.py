"""The adapter in a small world: it wins where there is something to win, else does nothing, and nothing is half done."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgewise.adapt.adapter import Adapter
from edgewise.adapt.recipe import Recipe
from edgewise.adapt.shipment import Shipment
from edgewise.adapt.step import Step
from edgewise.adapt.teacher import Teacher
from edgewise.adapt.upload import Calibration, Upload
from edgewise.codec.delta import decode
from edgewise.core.delta import apply
from edgewise.core.errors import ModelError
from edgewise.core.moments import Moments
from tests.adapt.shallow import CLASSES, CLEAN, NIGHT, Knowing, ShallowStep, pictures, prepare

RECIPE = Recipe(rate=0.004, steps=2, samples=4.0, clean=0.6)  # in this world who knows the night forgets the day
BASE = "0" * 64
Domain = tuple[float, float]


class World:
    """A stream, a device that applies what comes, and an adapter; frames are a tenth of a second apart."""

    def __init__(self, recipe: Recipe = RECIPE, teacher: Knowing | None = None, known: bool = True, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        labels = self.random.integers(0, CLASSES, 150)
        calibration = Calibration(tuple(pictures(labels, CLEAN, self.random)), np.eye(CLASSES, dtype=np.float32)[labels])
        self.step, self.teacher = ShallowStep(), teacher or Knowing()
        self.source = self.step.affine()
        self.adapter = Adapter(self.step, self.teacher, BASE, prepare, recipe, calibration if known else None)
        self.versions = {BASE: self.source}
        self.version, self.now, self.shipped = BASE, 0.0, 0
        self.take: Callable[[Shipment], str] = lambda shipment: ""  # why it is refused

    def run(self, domain: Domain, frames: int, sorted_: bool = False, device: str = "d") -> np.ndarray:
        """Whether the device was right, frame by frame."""
        labels = self.random.integers(0, CLASSES, frames)
        labels = np.sort(labels) if sorted_ else labels
        found = pictures(labels, domain, self.random)
        right = np.zeros(frames, bool)
        for i, picture in enumerate(found):
            self.now += 0.1
            right[i] = self.step.logits(picture[None], self.versions[self.version]).argmax() == labels[i]
            told = self.adapter.learning
            audit = self.random.random() < told.audit
            if audit or self.random.random() < told.samples * 0.1:
                self.adapter.sample(Upload(device, picture, audit, size=900), self.now)
            self.turn()
        return right

    def turn(self) -> None:
        self.adapter.tick(self.now)
        for shipment in self.adapter.deltas():
            self.shipped += 1
            if why := self.take(shipment):
                self.adapter.refused(shipment.number, why, self.now)
                continue
            if shipment.recall:
                self.version = shipment.recall
            else:
                assert shipment.parent == self.version
                self.versions[f"v{shipment.number}"] = apply(self.versions[self.version], decode(shipment.data))
                self.version = f"v{shipment.number}"
            self.adapter.acknowledged(shipment.number, self.version, self.now)
            there = self.adapter.there
            assert all(there[p].tobytes() == v.tobytes() for p, v in self.versions[self.version].items()), "to the bit"

    @property
    def home(self) -> bool:
        """Whether the device has the source, to the bit."""
        return all(v.tobytes() == self.source[p].tobytes() for p, v in self.versions[self.version].items())


def happened(world: World) -> list[str]:
    return [e.what for e in world.adapter.report().timeline]


def test_protocols_are_met() -> None:
    assert isinstance(ShallowStep(), Step) and isinstance(Knowing(), Teacher)


def test_night_is_learned_home_is_restored_and_the_second_night_is_known() -> None:
    world = World()
    world.run(CLEAN, 400)
    assert world.home and world.adapter.report().state == "rest"
    night = world.run(NIGHT, 3000)
    assert night[:200].mean() < 0.45 and night[-600:].mean() > 0.85
    assert not world.home and world.adapter.report().gain > 0.2  # type: ignore[operator]
    world.run(CLEAN, 1200)
    assert world.home, "the source, bit by bit"
    uploads, steps = world.adapter.report().uploads, world.step.steps
    again = world.run(NIGHT, 1500)
    known = int(np.argmax([e.why.startswith("domain 1 was entered; stored") for e in world.adapter.report().timeline]))
    assert known, "its φ was remembered"
    assert again[-500:].mean() > 0.85
    first = next(i for i in range(0, 1400, 50) if again[i : i + 100].mean() > 0.8)
    assert first < 1200 and world.adapter.report().recalls >= 1
    assert world.adapter.report().uploads - uploads < 600 and world.step.steps >= steps


def test_clean_traffic_changes_nothing_and_sends_audits_alone() -> None:
    world = World()
    world.run(CLEAN, 1500)
    report = world.adapter.report()
    assert world.home and report.shipped == 0 and report.state == "rest"
    before = report.uploads
    world.run(CLEAN, 1000)
    assert world.adapter.report().uploads - before <= 0.04 * 1000
    assert world.adapter.learning.samples == 0 and world.adapter.learning.cascade == 0


def test_a_teacher_that_turns_classes_round_is_refused_before_he_teaches() -> None:
    world = World(teacher=Knowing(wrong=1))
    world.run(NIGHT, 500)
    report = world.adapter.report()
    assert report.state == "teacher refused" and world.home and not report.shipped and not world.step.steps
    assert world.adapter.learning.audit == 0 and "calibration" in report.timeline[0].why


def test_without_calibration_a_bad_teacher_is_only_stopped_by_whoever_refuses_his_deltas() -> None:
    world = World(teacher=Knowing(wrong=1), known=False)
    world.take = lambda shipment: "" if shipment.recall else "the guard: quality fell"
    world.run(NIGHT, 1500)
    report = world.adapter.report()
    assert world.home and report.acknowledged == 0 and report.refused["shipment: the guard: quality fell"] >= 3
    assert "rest" in happened(world), "after three in a row it gives up"


def test_label_noise_does_little_harm() -> None:
    world = World(teacher=Knowing(noise=0.3))
    world.run(NIGHT, 2500)
    clean = World(teacher=Knowing(noise=0.3), seed=1)
    assert clean.run(CLEAN, 1500)[-500:].mean() > 0.95


def test_a_poisoned_device_teaches_nobody() -> None:
    world = World(Recipe(rate=0.004, steps=2, samples=4.0, clean=0.6, trial=0.6))
    for _ in range(500):
        for device in ("a", "b", "c"):
            world.run(NIGHT, 1, device=device)
        garish = world.random.choice(np.uint8([0, 255]), (2, 2, 3)).repeat(4, axis=0).repeat(4, axis=1)
        world.adapter.sample(Upload("poison", garish, True), world.now)
    assert world.adapter.report().doubted == ("poison",)
    assert world.run(NIGHT, 300).mean() > 0.6


def test_one_shipment_at_a_time_and_answers_to_nothing_are_counted() -> None:
    world = World()
    world.run(CLEAN, 200)
    sent: list[Shipment] = []
    world.turn = lambda: (world.adapter.tick(world.now), sent.extend(world.adapter.deltas()))  # type: ignore[assignment,func-returns-value]
    world.run(NIGHT, 1500)
    assert len(sent) == 1, "it waits for its answer"
    world.adapter.acknowledged(99, "v99", world.now)
    assert world.adapter.version == BASE and world.adapter.report().refused["an answer to no shipment on its way"] == 1


def test_a_version_that_devices_no_longer_hold_is_sent_by_its_values() -> None:
    world = World()
    world.take = lambda shipment: "no longer held" if shipment.recall else ""
    world.run(CLEAN, 300)
    world.run(NIGHT, 2000)
    assert not world.home
    world.run(CLEAN, 1500)
    there = world.adapter.there
    assert max(float(np.abs(there[p] - v).max()) for p, v in world.source.items()) < 0.02
    assert world.run(CLEAN, 200).mean() > 0.97


def test_without_learning_a_cascade_stands_alone() -> None:
    world = World(Recipe(learn=False, cascade=0.3))
    assert world.adapter.learning.cascade == 0.3 and world.adapter.learning.samples == 0
    world.run(NIGHT, 600)
    assert not world.step.steps and world.home


def test_trial_and_cascade_share_what_may_go_up() -> None:
    told = World(Recipe(cascade=0.25, trial=0.33)).adapter.learning
    assert told.audit == pytest.approx(0.08) and told.cascade == 0.25


@pytest.mark.parametrize("stream", ["one class", "constant", "garbage"])
def test_streams_of_nothing_do_no_harm(stream: str) -> None:
    world = World()
    for _ in range(600):
        world.now += 0.1
        if stream == "one class":
            picture = pictures([2], CLEAN, world.random)[0]
        elif stream == "constant":
            picture = np.full((8, 8, 3), 77, np.uint8)
        else:
            picture = world.random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        if world.random.random() < world.adapter.learning.audit:
            world.adapter.sample(Upload("d", picture, True), world.now)
        world.turn()
    assert world.run(CLEAN, 300).mean() > 0.9


def test_no_numbers_are_counted_and_teach_nobody() -> None:
    world = World()
    said = world.teacher.probabilities

    def failing(some: list[np.ndarray]) -> np.ndarray:
        soft = said(some)
        soft[::2] = np.nan
        return soft

    world.teacher.probabilities = failing  # type: ignore[method-assign,assignment]
    world.run(NIGHT, 600)
    report = world.adapter.report()
    assert report.refused["the teacher gave no number"] > 20
    assert world.step.last is None or np.isfinite(world.step.last.soft).all()


def test_another_number_of_classes_is_a_sentence() -> None:
    world = World(known=False)
    world.teacher.probabilities = lambda some: np.full((len(some), 7), 1 / 7, np.float32)  # type: ignore[method-assign,assignment]
    with pytest.raises(ModelError, match="answer differently; got \\(7,\\) of the teacher"):
        world.run(NIGHT, 400)


def test_statistics_are_followed_as_the_mean_of_devices_and_others_are_counted() -> None:
    world = World()
    fit = {"norm": Moments(np.zeros(12, np.float32), np.ones(12, np.float32))}
    other = {"elsewhere": Moments(np.zeros(3, np.float32), np.ones(3, np.float32))}
    picture = pictures([0], CLEAN, world.random)[0]
    for i in range(40):
        told = fit if i < 30 else other
        world.adapter.sample(Upload(f"d{i % 3}" if i < 30 else "other", picture, True, statistics=told), 0.0)
    world.adapter.tick(10.0)
    assert world.step.followed >= 20
    assert world.adapter.report().refused.get("statistics of another model", 0) >= 1
