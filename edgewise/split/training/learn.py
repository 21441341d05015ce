"""The training of a student, which a kill does not change: killed and started again, it ends with the same weights, bit for bit.

For that, everything that a step depends on is either kept in the checkpoint (weights and statistics of the bottleneck, the
optimiser's state, ranges and densities of a disturbed run, the number of steps) or follows from the seed and the number of the
step: which pictures, which levels, which noise. On one thread torch's own arithmetic repeats.

A run that is bounded by seconds counts its steps before the first of them: some are tried, timed and undone, the number is kept
at once, and from there on the run is the one that had been told that number. Their measure is the processor time that the process
took, over its threads: what the steps would last on a machine with nothing else to do, so that a busy one trains longer and not
less. Waiting for a disk is not in it, nor what the noise of a disturbed run costs.

Batches go through the pictures in an order drawn anew each epoch. The checkpoint names what was trained on what; another teacher,
cut, recipe or other pictures are refused rather than mixed (`edgewise.training.fingerprint`).
"""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.core.errors import ConfigError, ModelError
from edgewise.graph.picture import Look
from edgewise.split.training import recipe as recipes
from edgewise.split.training.rate import Density, Disturbance, ranges
from edgewise.split.training.recipe import Recipe
from edgewise.split.training.student import split
from edgewise.training.course import CHECKPOINT, LONGEST, Advance, Source, batch, order
from edgewise.training.distil import Distil
from edgewise.training.fingerprint import fingerprint
from edgewise.training.paths import gathered, siblings, taps

log = logging.getLogger(__name__)

FIRST, TRIAL = 2, 6  # steps that are tried before a run bounded by seconds: to warm up, and to be timed
CALIBRATED = 64  # pictures that fix the ranges of a disturbed run
OUTSIDE = 0.001  # share of a channel's values that its range leaves out on each side


class Learnt(Struct, frozen=True):
    """What a training came to: steps, the seconds they took, the last loss, and the ranges that the bottleneck was held in."""

    steps: int
    seconds: float
    loss: float
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


def looked(pictures: NDArray[np.uint8], look: Look) -> Tensor:
    """Bytes (n, height, width, 3) → what the network sees, float (n, 3, height, width)."""
    x = torch.tensor(pictures).permute(0, 3, 1, 2).float() * look.scale
    x = x.flip(1) if look.bgr else x
    mean, std = (torch.tensor(v, dtype=torch.float32).reshape(1, -1, 1, 1) for v in (look.mean, look.std))
    return ((x - mean) / std).contiguous()


class Training:
    """One run in the folder `work`; `learn` goes on where the last call was."""

    def __init__(
        self, teacher: nn.Module, student: nn.Module, cut: str, source: Source, look: Look, recipe: Recipe, seed: int, work: Path
    ) -> None:
        if recipe.price and not recipe.relative:
            raise ConfigError("a price on bits needs relative losses", got="a sum of squares", hint="Say `--recipe.relative`.")
        self._net, self._split, self._cut = student, split(student, cut), cut
        self._source, self._look, self._recipe, self._seed, self._work = source, look, recipe, seed, work
        factors = recipes.factors(recipe, cut, siblings(teacher, cut))
        self._distil = Distil(teacher, student, factors, recipe.relative)
        self._optimiser = torch.optim.Adam(self._split.parameters(), lr=recipe.rate)
        self._density: Density | None = None
        facts = msgspec.json.encode((cut, look, recipe, seed, dict(factors)))
        self._key = fingerprint(facts, source, [teacher], [self._split])
        self._step, self._steps, self._spent, self._loss = 0, 0, 0.0, math.nan
        if not recipe.seconds:
            self._steps = max(1, math.ceil(recipe.epochs * len(source) / recipe.batch))
        self._resume()

    def learn(
        self,
        advance: Advance = lambda what, share: None,
        keep: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        processor: Callable[[], float] = time.process_time,
    ) -> Learnt:
        """Train to the end, keeping a checkpoint every `keep` seconds of `clock`; bounded runs are timed by `processor`."""
        begun = kept = clock()
        if not self._steps:
            self._steps = self._counted(processor)
            self._keep(self._spent + clock() - begun)
        while self._step < self._steps:
            self._prepare()
            parts = self._one()
            now = clock()
            if now - kept >= keep or self._step == self._steps:
                self._keep(self._spent + now - begun)
                kept = now
                self._report(self._spent + now - begun, parts)
            advance("learning", self._step / self._steps)
        self._spent += clock() - begun
        between = self._split.between
        low, high = ((), ()) if not isinstance(between, Disturbance) else (_numbers(between.low), _numbers(between.high))
        self._split.between = nn.Identity()
        self._net.eval().requires_grad_(False)
        return Learnt(self._step, round(self._spent, 1), self._loss, low, high)

    def _counted(self, processor: Callable[[], float]) -> int:
        """How many steps the recipe's seconds hold; those that were tried are undone."""
        before = copy.deepcopy((self._split.state_dict(), self._optimiser.state_dict()))
        for group in self._optimiser.param_groups:
            group["lr"] = 0.0
        marks = [processor()]
        for _ in range(FIRST + TRIAL):
            self._one()
            marks.append(processor())
        self._split.load_state_dict(before[0])
        self._optimiser.load_state_dict(before[1])
        self._step, self._loss = 0, math.nan
        one = float(np.median(np.diff(marks)[FIRST:])) / torch.get_num_threads()
        return max(1, round(self._recipe.seconds / max(one, 1e-6)))

    def _prepare(self) -> None:
        """What the number of the step decides: noise, and the learning rate."""
        if recipes.disturbed(self._recipe, self._step, self._steps):
            self._disturb()
        for group in self._optimiser.param_groups:
            group["lr"] = recipes.rate(self._recipe, self._step, self._steps) * group.get("times", 1.0)

    def _one(self) -> Mapping[str, float]:
        number, recipe = self._step, self._recipe
        chosen = batch(self._seed, number, len(self._source), recipe.batch)
        pictures = looked(self._source.of(chosen), self._look)
        between = self._split.between
        if isinstance(between, Disturbance):
            between.draw(np.random.default_rng([self._seed, number, 5]), len(chosen), recipe.bits)
        with taps(self._net, [f"{self._cut}.between"]) as taken:
            loss, parts = self._distil(pictures)
            if self._density is not None and isinstance(between, Disturbance):
                bits = self._density.bits(taken[f"{self._cut}.between"], between.step)
                loss = loss + recipe.price * bits / (self._look.height * self._look.width)
                parts = parts | {"bits": round(float(bits.detach()), 1)}
        self._loss = float(loss.detach())
        if not math.isfinite(self._loss):
            raise ModelError(
                "the training went astray",
                got=f"a loss of {self._loss} at step {number}",
                hint="Take a lower rate, and look for NaN in what the teacher gives.",
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.relative:  # a sum of squares has no scale by which a gradient could be called large
            nn.utils.clip_grad_norm_(self._split.parameters(), LONGEST)
        self._optimiser.step()
        self._step += 1
        return parts

    def _disturb(self) -> None:
        """From here on the bottleneck is held and disturbed, and its normalisation keeps the statistics it will be used with."""
        if isinstance(self._split.between, Disturbance):
            return
        self._split.eval()
        places = order(self._seed, 0, len(self._source))[:CALIBRATED]
        path = f"{self._cut}.encoder"
        with torch.no_grad():
            values = [gathered(self._net, [path], looked(self._source.of([int(i)]), self._look))[path] for i in places]
        self._hold(*ranges(torch.cat(values), OUTSIDE))

    def _hold(self, low: Tensor, high: Tensor) -> None:
        self._split.eval()
        self._split.between = Disturbance(low, high, self._recipe.noise == "uniform")
        if self._recipe.price:
            self._density = Density(low, high)
            self._optimiser.add_param_group({"params": list(self._density.parameters()), "times": 5.0})

    def _keep(self, seconds: float) -> None:
        self._work.mkdir(parents=True, exist_ok=True)
        between = self._split.between
        state = {
            "key": self._key,
            "step": self._step,
            "steps": self._steps,
            "seconds": seconds,
            "loss": self._loss,
            "split": {k: v for k, v in self._split.state_dict().items() if not k.startswith("between.")},
            "ranges": [between.low.flatten(), between.high.flatten()] if isinstance(between, Disturbance) else [],
            "density": self._density.state_dict() if self._density else {},
            "optimiser": self._optimiser.state_dict(),
        }
        unfinished = self._work / "checkpoint.unfinished"
        torch.save(state, unfinished)
        unfinished.replace(self._work / CHECKPOINT)

    def _resume(self) -> None:
        path = self._work / CHECKPOINT
        if not path.exists():
            return
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if state["key"] != self._key:
            raise ConfigError(
                "the work folder holds another training",
                got=self._work,
                allowed="the folder of the same teacher, cut, recipe, seed and pictures, or an empty one",
                hint="Give another --work, or remove this one.",
            )
        self._split.load_state_dict(state["split"])
        if state["ranges"]:
            self._hold(*state["ranges"])
        if self._density is not None:
            self._density.load_state_dict(state["density"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._step, self._steps, self._spent, self._loss = state["step"], state["steps"], state["seconds"], state["loss"]
        log.info("carrying on at step %d of %d, %.0f s", self._step, self._steps, self._spent)

    def _report(self, seconds: float, parts: Mapping[str, float]) -> None:
        line = {"step": self._step, "of": self._steps, "seconds": round(seconds, 1), "loss": round(self._loss, 5)} | dict(parts)
        log.info("%s", line)
        with (self._work / "record.jsonl").open("a") as record:
            record.write(json.dumps(line) + "\n")


def _numbers(values: Tensor) -> tuple[float, ...]:
    return tuple(float(v) for v in values.flatten())
