"""Stage 2: the tail, and with it the decoder, learns to answer from what really comes through the bottleneck.

    ft    cross-entropy with the labels
    kd    half of that, half KL(teacher ‖ student) at a temperature of 1; without labels KL alone     (papers 6 and 8, §4)

The encoder stays as it is, so that one bitstream may feed several tails (paper 6), or it is `free` and learns on (BottleFit's
variants), and then bits keep their price. SGD, one cycle (`edgewise.training.course`). What lies in front of the bottleneck never
changes. For tasks other than classes the loss is given as a function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewise.core.errors import ModelError
from edgewise.graph.picture import Look
from edgewise.split.training.frozen import Coded
from edgewise.split.training.prior import Noisy
from edgewise.split.training.stretch import Stretch, split_of
from edgewise.training.classes import lasting, tensor
from edgewise.training.course import Advance, Course, Pictures, Source, device, follow
from edgewise.training.distil import answering
from edgewise.training.outputs import named
from edgewise.training.paths import module

CENTRED = 50  # steps after which medians are taken anew
Tuning = Literal["ft", "kd"]
Loss = Callable[[Any, Callable[[], Any], list[int]], Tensor]
"""`loss(given, wanted, indices)`: of what the student gives for the pictures `indices` of the source; `wanted()` runs the teacher
on the same pictures, crops and mirrors included. Networks' outputs as they are: a tensor, a row or a dictionary of them."""


def tuned(
    teacher: nn.Module,
    net: nn.Module,
    cut: Stretch,
    source: Source,
    look: Look,
    course: Course,
    work: Path,
    loss: Loss,
    *,
    free: bool = False,
    prices: Sequence[float] = (),
    still: bool = False,
    about: str = "",
    advance: Advance = lambda what, share: None,
) -> nn.Module:
    """`net`, a student, taught in place in the folder `work`; in evaluation mode and frozen.

    What stands between encoder and decoder says what comes through: `Coded` for a frozen encoder, `Noisy` for a `free` one, whose
    bits for each pixel of the input then cost one of `prices`, by rate. `still`: normalisation behind the bottleneck keeps its
    statistics.
    """
    split = split_of(net, cut)
    learnt = _learning(net, cut, free, still)
    lasting(net)
    between = split.between
    if isinstance(between, Noisy):
        between.rounds = True

    def lesson(pictures: Pictures, indices: list[int]) -> Tensor:
        x = tensor(pictures, look).to(device(net))

        def wanted() -> Any:
            with torch.no_grad():
                return teacher(x)

        total = loss(net(x), wanted, indices)
        if isinstance(between, Noisy) and prices:
            total = total + prices[between.rate] * between.bits / (x.shape[2] * x.shape[3])
        return total

    def prepare(number: int, steps: int) -> None:
        if isinstance(between, (Noisy, Coded)):
            between.rate = drawn_rate(course.seed, number, between.rates)
        if isinstance(between, Noisy) and number % CENTRED == 0:
            between.centre()

    follow(net, learnt, source, lesson, course, work, advance, prepare=prepare, about=about)
    return net.eval().requires_grad_(False)


def drawn_rate(seed: int, number: int, rates: int) -> int:
    """Which of its rates a student of several learns at in step `number`."""
    return int(np.random.default_rng([seed, number, 13]).integers(rates)) if rates > 1 else 0


def classes(labels: Sequence[int] | None, tuning: Tuning = "kd") -> Loss:
    """The loss of a classifier; ModelError for `ft` without labels."""
    if labels is None and tuning == "ft":
        raise ModelError("fine-tuning by cross-entropy needs labels", got="none", hint="Give labels, or take `kd`.")
    true = None if labels is None else torch.tensor(list(labels))

    def loss(given: Any, wanted: Callable[[], Any], indices: list[int]) -> Tensor:
        own = logits(given)
        classes = None if true is None else true[indices].to(own.device)
        if tuning == "ft" and classes is not None:
            return functional.cross_entropy(own, classes)
        return answering(own, logits(wanted()), classes)

    return loss


def logits(outputs: Any) -> Tensor:
    """(batch, classes) of what a classifier gives: a tensor, or the entry `logits` of a dictionary; float32."""
    found = dict(named(outputs))
    value = found["logits"] if "logits" in found else next(iter(found.values())) if len(found) == 1 else None
    if value is None or value.ndim != 2:
        raise ModelError(
            "a network is no classifier",
            got=", ".join(f"{k} {tuple(v.shape)}" for k, v in found.items()),
            allowed="one tensor (batch, classes), or one of that shape named logits",
            hint="For other tasks stage 2 takes a loss of its own.",
        )
    return value.float()


def _learning(net: nn.Module, cut: Stretch, free: bool, still: bool) -> list[nn.Parameter]:
    """Modes and gradients of stage 2; the parameters that learn."""
    split = split_of(net, cut)
    net.train().requires_grad_(True)
    if still:
        for one in net.modules():
            one.train(not isinstance(one, nn.modules.batchnorm._BatchNorm)) if not list(one.children()) else None
        split.train()
    fixed: list[nn.Module] = [module(net, path) for path in cut.ahead]
    fixed += [] if free else [split.encoder, split.between]
    for one in fixed:
        one.eval().requires_grad_(False)
    return [p for p in net.parameters() if p.requires_grad]
