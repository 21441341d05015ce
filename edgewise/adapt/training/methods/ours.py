"""Ours on recorded data: the device's half and the server's half as they ship, with a link between them that counts and delays.

    device    statistics that follow the stream (`moving`), a `DeviceLearner` that chooses frames, the versions that it holds
    link      pictures and statistics up, answers and shipments down (`Uplink`); a shipment is there `delay` batches later
    server    an `Adapter` with the shadow (`AffineStep`)

There is no second implementation of anything: what is chosen, taught, proved, shipped and given up is the product's. A Recipe
says what is switched on: `learn` off leaves the cascade alone, `cascade` 0 learning alone, `selection` and `precision` how.

A device applies what was coded, so its φ is the one that its server knows, to the bit. It does not know losses of the link, nor
canaries: every shipment goes to the one device that there is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.adapt.adapter import Adapter
from edgewise.adapt.affine import HELD
from edgewise.adapt.device import DeviceLearner
from edgewise.adapt.inputs import Prepare
from edgewise.adapt.method import Inputs, Tally, Values
from edgewise.adapt.recipe import Recipe
from edgewise.adapt.select import Choice
from edgewise.adapt.shipment import Event, Shipment
from edgewise.adapt.step import Phi, likelihood
from edgewise.adapt.teacher import Teacher
from edgewise.adapt.training.methods.moving import Following
from edgewise.adapt.training.methods.subject import Subject
from edgewise.adapt.training.step import AffineStep
from edgewise.adapt.training.student import Student
from edgewise.adapt.uplink import Uplink
from edgewise.adapt.upload import Calibration, Upload
from edgewise.codec.delta import decode
from edgewise.core.decoding import Classes, Things
from edgewise.core.delta import apply
from edgewise.core.learning import AUDIT, Sample
from edgewise.core.moments import Statistics, packed, unpacked, widths
from edgewise.data.doubt import Doubt
from edgewise.data.doubt import doubt as doubted
from edgewise.runtime.follow import PLAIN, Rules

DEVICE = "replayed"
SCORES = "score"
CELLS = Things(0.5, 0.5)  # maps of probabilities, whatever they are of: only their doubt is asked for
STATISTICS_EVERY = 32  # uploads; as many as a step takes new ones


class Ours:
    """Device, link and server of one stream; `student` becomes the shadow and must be nobody else's.

    `recipe.cascade` of the frames are answered by the teacher; `delay` is in batches.
    """

    def __init__(
        self,
        subject: Subject,
        student: Student,
        uplink: Uplink,
        teacher: Teacher,
        prepare: Prepare,
        recipe: Recipe,
        calibration: Calibration | None = None,
        delay: int = 1,
        rules: Rules = PLAIN,
        name: str = "ours",
        base: str = "0" * 64,
    ) -> None:
        self.name = name
        self._kind, self._uplink, self._delay = subject.kind, uplink, max(delay, 0)
        self.following = Following(subject, rules)
        self.step = AffineStep(student)
        self.adapter = Adapter(self.step, teacher, base, prepare, recipe, calibration, subject.kind)
        self._recipe = recipe
        self.learner = DeviceLearner(len(subject.labels), recipe.seed)
        self.learner.wanted(self.adapter.learning)
        self._names = {path: module for module, path in subject.affine.items()}
        self._version, self._base = base, base
        self._held: dict[str, Phi] = {base: self.affine()}
        self._coming: list[tuple[int, Shipment]] = []
        self._batches = self._seen = self._uploads = self._stale = 0

    def answer(self, inputs: Inputs) -> Values:
        self._batches += 1
        times = self._uplink.crossing.times
        self._arrive(float(times[0]))
        logits = self.following.logits(inputs)
        said = likelihood(logits, self._kind)
        outputs = {SCORES: logits if self._kind == "classes" else said.copy()}
        decoding = Classes(SCORES) if self._kind == "classes" else CELLS
        for row, now in enumerate(times.tolist()):
            doubt = doubted(outputs, decoding, row)
            choice = self.learner.consider(doubt, now, 0.0)
            if choice.goes:
                self._send(row, choice, now, doubt, said)
        now = float(times[-1])
        self.adapter.tick(now)
        self._coming += [(self._batches + self._delay, shipment) for shipment in self.adapter.deltas()]
        self.learner.wanted(self.adapter.learning)
        self._seen += len(inputs)
        return said

    def tally(self) -> Tally:
        report = self.adapter.report()
        reasons = dict(self.learner.counts) | {f"server: {why}": n for why, n in report.refused.items()}
        if self.following.refused:
            reasons["moments are no numbers"] = self.following.refused
        if self._stale:
            reasons["a delta of another version"] = self._stale
        return replace(
            self._uplink.tally(self._seen), refused=report.rejected, reverts=report.reverts, steps=report.steps, reasons=reasons
        )

    @property
    def events(self) -> tuple[Event, ...]:
        """What the server noted, by time."""
        return self.adapter.report().timeline

    def affine(self) -> dict[str, NDArray[np.float32]]:
        """φ of the device, by parameter path."""
        net = self.following.net
        return {path: net.get_parameter(module).detach().numpy().copy() for path, module in self._names.items()}

    def _send(self, row: int, choice: Choice, now: float, doubt: Doubt | None, said: Values) -> None:
        """A frame goes up: for an answer, or as a sample; once in either case."""
        picture = self._uplink.crossing.coded(row)
        statistics = b""
        if self._recipe.learn and self.adapter.learning.statistics and self._uploads % STATISTICS_EVERY == 0:
            statistics = packed(self.following.statistics)
        sample = Sample(
            self._uplink.crossing.first + row,
            now,
            picture,
            AUDIT if choice.audit else 0,
            None if doubt is None else doubt.entropy,
            self._version,
            statistics,
        )
        size = self._uplink.weight(row, None if choice.cascade else sample)
        if not self.learner.settle(choice, 0.0, size):
            return
        self._uploads += 1
        if choice.cascade:
            answer = self._uplink.answered([row])[0]
            if statistics:
                self._uplink.upload(len(statistics))
            if np.isfinite(answer).all():
                said[row] = answer
        else:
            answer = self._uplink.sampled(row, sample)
        self.adapter.sample(
            Upload(
                DEVICE,
                self._uplink.crossing.arrived(row),
                choice.audit,
                answer,
                self._received(statistics),
                size,
                self._version,
            ),
            now,
        )

    def _received(self, statistics: bytes) -> Statistics | None:
        """Statistics as the server reads them."""
        return unpacked(statistics, widths(self.following.statistics)) if statistics else None

    def _arrive(self, now: float) -> None:
        """Shipments that were on their way long enough are applied, and acknowledged."""
        due = [shipment for when, shipment in self._coming if when <= self._batches]
        self._coming = [(when, shipment) for when, shipment in self._coming if when > self._batches]
        for shipment in due:
            if shipment.recall:
                held = self._held.get(shipment.recall)
                if held is None:
                    self._stale += 1
                    self.adapter.refused(shipment.number, "the device no longer holds that version", now)
                    continue
                self._uplink.word()
                self._use(shipment.recall, held)
            else:
                if shipment.parent != self._version:
                    self._stale += 1
                    self.adapter.refused(shipment.number, "the device has another version", now)
                    continue
                self._uplink.delta(len(shipment.data))
                changed = apply(self._held[self._version], decode(shipment.data))
                self._use(hashlib.sha256(shipment.parent.encode() + shipment.data).hexdigest(), changed)
            self.adapter.acknowledged(shipment.number, self._version, now)

    def _use(self, version: str, affine: Mapping[str, NDArray[np.float32]]) -> None:
        with torch.no_grad():
            for path, value in affine.items():
                self.following.net.get_parameter(self._names[path]).copy_(torch.from_numpy(np.asarray(value)))
        self._version = version
        self._held[version] = dict(affine)
        while len(self._held) > HELD + 1:
            del self._held[next(name for name in self._held if name not in (self._base, version))]
