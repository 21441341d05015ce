"""A Ladder: a student for each β, the first from scratch, every further one from the one before; or one student for all of them.

    stage 1   loss = Σ_path mean((s − t)²) / var_t(path)  +  β · bits / pixels of the input          D + β·R
    stage 2   decoder and tail answer from what the codec really brings (`tune.py`)

Errors are relative to the teacher's variance, which is measured once, and bits count for each pixel of the input, so that a β
means the same for every batch, picture and feature size (ours, measured: 0.7 … 6 are good at stride 8, 1 … 8 at
stride 4). Adam, one cycle with a rise of a tenth, tail frozen; the prior and the gain learn five times as fast. Stage 1 has no
labels, stage 2 none where there are none.

`several` teaches one encoder and one decoder for all β (a gain for each channel and rate, as Cui et al. 2021; a β drawn for each
batch): one head and one tail, and as many codings.

Everything lies in the work folder and is taken up there: killed and begun again, a ladder ends with the same weights, bit for
bit, and a rung that is done costs a look. `Climb.rung` makes one of them alone, with those that it stands on.

    rungs = ladder(teacher, "stem..layer2", "lean", source, labels, look, Plan(betas=(1.5, 3)), work)
    judged = rungs[0].judged(held, held_labels)          score and frame bytes, picture by picture, from real bytes
    rungs[0].parts(), rungs[0].bottleneck, rungs[0].coding          what a bundle needs
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from edgewise.core.errors import ConfigError
from edgewise.graph.picture import Look
from edgewise.split.training.designs import design as designed
from edgewise.split.training.frozen import Coded, Frozen, collapsed, frozen
from edgewise.split.training.prior import Noisy
from edgewise.split.training.rung import Plan, Rung
from edgewise.split.training.stretch import split_of, stretch, student
from edgewise.split.training.tune import CENTRED, Loss, classes, drawn_rate, tuned
from edgewise.training.classes import lasting, tensor
from edgewise.training.course import CHECKPOINT, Advance, Course, Pictures, Source, adam, device, follow
from edgewise.training.distil import Distil, measuring, spread
from edgewise.training.fingerprint import fingerprint

log = logging.getLogger(__name__)

TRIED = 2  # pictures that find the stretch
COLLAPSED = 2e-4  # bits a code: below, nothing crosses
DECAY = 5e-4


def ladder(
    teacher: nn.Module,
    cut: str,
    design: str,
    source: Source,
    labels: Sequence[int] | Loss | None,
    look: Look,
    plan: Plan,
    work: Path,
    advance: Advance = lambda what, share: None,
) -> list[Rung]:
    """A rung for each β. `labels`: a class for each picture, or a loss of stage 2 (`tune.Loss`), or None.

    ModelError where a β collapses the rate, where the cut is no stretch, or where a loss is no number.
    """
    climb = Climb(teacher, cut, design, source, labels, look, plan, work, advance)
    return climb.all() if plan.several else [climb.rung(index) for index in range(len(plan.betas))]


class Climb:
    """A ladder of which rungs are made one by one, each where it was left. The teacher is held in channels-last memory."""

    def __init__(
        self,
        teacher: nn.Module,
        cut: str,
        design: str,
        source: Source,
        labels: Sequence[int] | Loss | None,
        look: Look,
        plan: Plan,
        work: Path,
        advance: Advance = lambda what, share: None,
    ) -> None:
        self._teacher = lasting(teacher.eval().requires_grad_(False))
        self._source, self._look, self._plan, self._work, self._heard = source, look, plan, work, advance
        self._design = designed(design)
        if not plan.betas or list(plan.betas) != sorted(set(plan.betas)):
            raise ConfigError("a ladder climbs", got=list(plan.betas), allowed="one β or more, each larger than the one before")
        if not self._design.priced:
            raise ConfigError(
                f"the design {design} has no price on bits", got="a ladder of β", hint="`split fit` has its recipes."
            )
        first = tensor(source.of(list(range(min(TRIED, len(source))))), look)
        self.stretch = stretch(teacher, cut, first)
        self._loss = labels if callable(labels) else classes(labels, plan.tuning)
        paths = plan.losses or self.stretch.losses
        self._factors = dict.fromkeys(paths, 1.0)
        self._variances = spread(self._teacher, paths, measuring(source, look, plan.crop, device(self._teacher)))
        self._key = fingerprint(msgspec.json.encode((cut, design, look, self._decisive())), source, [teacher])

    def rung(self, index: int) -> Rung:
        """The rung of `plan.betas[index]`."""
        plan, net = self._plan, self._taught(index)
        if plan.free and plan.tuned:
            self._tuned(net, [index])
        done = self._frozen(net, index)
        split_of(net, self.stretch).between = Coded(done.coding).to(device(net))
        if not plan.free and plan.tuned:
            self._tuned(net, [index])
        return self._rung(net, index, done)

    def all(self) -> list[Rung]:
        """The rungs of one student for all β."""
        plan, net = self._plan, self._taught_all()
        indices = list(range(len(plan.betas)))
        if plan.free and plan.tuned:
            self._tuned(net, indices)
        done = [self._frozen(net, index) for index in indices]
        split_of(net, self.stretch).between = Coded(*(one.coding for one in done)).to(device(net))
        if not plan.free and plan.tuned:
            self._tuned(net, indices)
        return [self._rung(net, index, one) for index, one in enumerate(done)]

    def _rung(self, net: nn.Module, index: int, done: Frozen) -> Rung:
        plan = self._plan
        if not done.predictable:
            said = "β %g: %.0f B a frame by static tables, where training estimated %.0f B"
            log.warning(said, plan.betas[index], done.static, done.estimated)
        history = {
            "stage 1": plan.first + (len(plan.betas) - 1 if plan.several else index) * plan.further,
            "stage 2": plan.tuned,
            "estimated": round(done.estimated, 1),
            "static": round(done.static, 1),
            "coded": round(done.coded, 1),
        }
        return Rung(plan.betas[index], net, self._teacher, self.stretch, done, self._look, history)

    def _fresh(self, rates: int = 1) -> nn.Module:
        plan, design = self._plan, self._design
        channels = plan.channels or design.channels
        with torch.random.fork_rng():
            torch.manual_seed(plan.seed)
            split = design.build(self.stretch.geometry, channels, plan.wide)
            split.between = Noisy(channels, rates)
        net = student(self._teacher, self.stretch, split)
        return lasting(net.to(device(self._teacher)))

    def _taught(self, index: int) -> nn.Module:
        """The student of stage 1 at β number `index`."""
        plan, net, work = self._plan, self._fresh(), self._folder([index], 1)
        if index and not (work / CHECKPOINT).exists():
            split_of(net, self.stretch).load_state_dict(split_of(self._taught(index - 1), self.stretch).state_dict())
        course = self._course(plan.further if index else plan.first, plan.further_rate if index else plan.rate, index)
        return self._learn(net, [plan.betas[index]], course, work, f"β {plan.betas[: index + 1]}")

    def _taught_all(self) -> nn.Module:
        """The student of stage 1 for all β."""
        plan = self._plan
        indices = list(range(len(plan.betas)))
        course = self._course(plan.first + plan.further * (len(indices) - 1), plan.rate, 0)
        return self._learn(
            self._fresh(len(indices)), list(plan.betas), course, self._folder(indices, 1), f"all of β {plan.betas}"
        )

    def _course(self, epochs: float, rate: float, index: int) -> Course:
        plan = self._plan
        return Course(
            epochs=epochs,
            rate=rate,
            batch=plan.batch,
            decay=0.0,
            warm=0.1,
            crop=plan.crop,
            mirror=plan.mirror,
            half_precision=plan.half_precision,
            seed=plan.seed + 1000 * index,
        )

    def _learn(self, net: nn.Module, betas: list[float], course: Course, work: Path, about: str) -> nn.Module:
        """Stage 1: `net` taught in place, at each step by one of the `betas`."""
        split, rounded = split_of(net, self.stretch), self._plan.rounded
        noisy = split.between
        assert isinstance(noisy, Noisy)
        distil = Distil(self._teacher, net, self._factors, variances=self._variances)

        def lesson(pictures: Pictures, indices: list[int]) -> Tensor:
            x = tensor(pictures, self._look).to(device(net))
            distortion, _ = distil(x)
            return distortion + betas[noisy.rate] * noisy.bits / (x.shape[2] * x.shape[3])

        def prepare(number: int, steps: int) -> None:
            taken = float(noisy.bits.detach())
            if number > steps // 4 and number % CENTRED == 1 and taken < COLLAPSED * self._codes(noisy):
                raise collapsed(betas[noisy.rate], f"{taken:.2f} bits a picture at step {number} of {steps}")
            if number % CENTRED == 0:
                noisy.centre()
            noisy.rate, noisy.rounds = drawn_rate(course.seed, number, len(betas)), number >= (1 - rounded) * steps

        say = self._say(f"stage 1, β {', '.join(f'{b:g}' for b in betas)}")
        follow(
            net,
            split.parameters(),
            self._source,
            lesson,
            course,
            work,
            say,
            optimiser=adam(noisy.parameters()),
            prepare=prepare,
            about=f"{self._key} {about}",
        )
        return net.eval().requires_grad_(False)

    def _codes(self, noisy: Noisy) -> int:
        """How many codes a picture has, about: those of the replaced map's size."""
        return noisy.median.shape[1] * self.stretch.geometry.outside[1] * self.stretch.geometry.outside[2]

    def _frozen(self, net: nn.Module, index: int) -> Frozen:
        noisy = split_of(net, self.stretch).between
        assert isinstance(noisy, Noisy)
        self._heard("freezing", 0.0)
        plan = self._plan
        rate = index if plan.several else 0
        return frozen(net, self.stretch, noisy, self._source, self._look, plan.betas[index], rate, plan.layers, plan.context)

    def _tuned(self, net: nn.Module, indices: list[int]) -> None:
        """Stage 2: `net` taught in place."""
        plan, betas = self._plan, [self._plan.betas[i] for i in indices]
        course = msgspec.structs.replace(
            self._course(plan.tuned, plan.tuned_rate, indices[0]),
            batch=plan.tuned_batch,
            decay=DECAY,
            seed=plan.seed + 1000 * indices[0] + 500,
        )
        prices = [beta * plan.worth for beta in betas] if plan.free else []
        standing = plan.betas if plan.several else plan.betas[: indices[0] + 1]
        tuned(
            self._teacher,
            net,
            self.stretch,
            self._source,
            self._look,
            course,
            self._folder(indices, 2),
            self._loss,
            free=plan.free,
            prices=prices,
            still=plan.still,
            about=f"{self._key} β {standing} {plan.several} {plan.tuning} {prices} {plan.still}",
            advance=self._say(f"stage 2, β {', '.join(f'{b:g}' for b in betas)}"),
        )

    def _folder(self, indices: list[int], stage: int) -> Path:
        name = "several" if self._plan.several else f"{indices[0]}-beta-{self._plan.betas[indices[0]]:g}"
        return self._work / name / f"stage-{stage}"

    def _say(self, stage: str) -> Advance:
        return lambda what, share: self._heard(stage, share)

    def _decisive(self) -> Plan:
        """What of the plan decides stage 1 of every rung alike; courses and β stand beside it."""
        return msgspec.structs.replace(
            self._plan,
            betas=(),
            first=1,
            further=1,
            tuned=0,
            tuning="kd",
            free=False,
            worth=1,
            layers=1,
            context=True,
            still=False,
        )
