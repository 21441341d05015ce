"""A Course: training over whole epochs by one cycle of gradient descent, which a kill does not change.

One cycle of the learning rate: a linear rise, then half a cosine to nothing (Smith 2018); SGD with Nesterov's momentum, or Adam
where the caller says so. What a step sees follows from the seed and its number: which pictures, which crops, which of them
mirrored, and what torch draws within the lesson. The checkpoint keeps weights, the optimiser's state and the number; killed and
begun again, a course on one thread ends with the same weights, bit for bit. A network stays on the device where it is, and a
checkpoint goes on on another.

It does not know what is learned: a lesson gives the loss of a batch. Classification, distillation of a bottleneck, of a tail, and
tuning on decoded pictures are lessons.
"""

from __future__ import annotations

import functools
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Protocol

import numpy as np
import torch
from msgspec import Meta, Struct
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.core.errors import ConfigError, ModelError

Pictures = NDArray[np.uint8]
Advance = Callable[[str, float], None]
Lesson = Callable[[Pictures, list[int]], Tensor]
Prepare = Callable[[int, int], None]
LONGEST = 5.0  # norm of a gradient
CHECKPOINT = "checkpoint.pt"


class Source(Protocol):
    """Pictures by index, as bytes (n, height, width, 3)."""

    def __len__(self) -> int: ...

    def of(self, indices: list[int]) -> Pictures: ...


class Course(Struct, frozen=True, forbid_unknown_fields=True):
    """`crop`: pixels of the random square that a step sees (0: the whole picture), mirrored every other time; `warm`: the share
    of the steps in which the rate rises."""

    epochs: Annotated[float, Meta(gt=0)]
    rate: Annotated[float, Meta(gt=0)] = 0.1
    batch: Annotated[int, Meta(ge=1)] = 64
    decay: Annotated[float, Meta(ge=0)] = 5e-4
    warm: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    crop: Annotated[int, Meta(ge=0)] = 0
    mirror: bool = True
    half_precision: bool = True
    seed: int = 0


Optimiser = Callable[[Sequence[nn.Parameter], Course], torch.optim.Optimizer]


def sgd(parameters: Sequence[nn.Parameter], course: Course) -> torch.optim.Optimizer:
    """Nesterov's momentum; weights decay, shifts and scales do not."""
    bent = [p for p in parameters if p.ndim > 1]
    rest = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": bent, "weight_decay": course.decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.SGD([g for g in groups if g["params"]], lr=course.rate, momentum=0.9, nesterov=True)


def adam(quick: Iterable[nn.Parameter] = (), times: float = 5.0) -> Optimiser:
    """Adam without decay; `quick` parameters learn `times` as fast as the others."""
    quicker = {id(p) for p in quick}

    def made(parameters: Sequence[nn.Parameter], course: Course) -> torch.optim.Optimizer:
        slow, fast = ([p for p in parameters if (id(p) in quicker) == q] for q in (False, True))
        groups = [{"params": slow, "times": 1.0}, {"params": fast, "times": times}]
        return torch.optim.Adam([g for g in groups if g["params"]], lr=course.rate)

    return made


def follow(
    net: nn.Module,
    parameters: Iterable[nn.Parameter],
    source: Source,
    lesson: Lesson,
    course: Course,
    work: Path,
    advance: Advance = lambda what, share: None,
    keep: float = 30.0,
    *,
    optimiser: Optimiser = sgd,
    prepare: Prepare = lambda number, steps: None,
    about: str = "",
) -> int:
    """Train `parameters` of `net` (their modes are the caller's) in the folder `work`; how many steps it were.

    `lesson(pictures, indices)` gives the loss of a batch, `prepare(number, steps)` is called before each, and `about` names what
    else decides the outcome: a checkpoint of another course, or about something else, is refused. ModelError where a loss is no
    number.
    """
    learnt = list(parameters)
    taught = optimiser(learnt, course)
    steps = max(1, math.ceil(course.epochs * len(source) / course.batch))
    first = _resume(work, net, taught, _said(course, about))
    kept, where = time.monotonic(), device(net)
    for number in range(first, steps):
        for group in taught.param_groups:
            group["lr"] = course.rate * one_cycle(number, steps, course.warm) * group.get("times", 1.0)
        chosen = batch(course.seed, number, len(source), course.batch)
        prepare(number, steps)
        with drawing(course.seed, number), torch.autocast(where.type, torch.bfloat16, enabled=course.half_precision):
            loss = lesson(drawn(source.of(chosen), course, number), chosen)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError("the training went astray", got=f"a loss of {value} at step {number}", hint="Take a lower rate.")
        taught.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learnt, LONGEST)
        taught.step()
        if time.monotonic() - kept >= keep or number + 1 == steps:
            kept = time.monotonic()
            _keep(work, net, taught, _said(course, about), number + 1)
            with (work / "record.jsonl").open("a") as record:
                record.write(json.dumps({"step": number + 1, "of": steps, "loss": round(value, 4)}) + "\n")
        advance("learning", (number + 1) / steps)
    return steps


@contextmanager
def drawing(seed: int, number: int) -> Iterator[None]:
    """What torch draws inside follows from the seed and the number of the step; the caller's own draws go on undisturbed."""
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.default_rng([seed, number, 11]).integers(1 << 62)))
        yield


def device(net: nn.Module) -> torch.device:
    """Where the weights of a network are."""
    return next((p.device for p in net.parameters()), torch.device("cpu"))


def one_cycle(step: int, steps: int, warm: float) -> float:
    """The share of the highest rate at a step.

    >>> [round(one_cycle(s, 100, 0.2), 3) for s in (0, 19, 20, 60, 99)]
    [0.05, 1.0, 1.0, 0.5, 0.0]
    """
    rise = max(1, round(warm * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def batch(seed: int, number: int, count: int, size: int) -> list[int]:
    """The indices of batch `number`: the next ones in an order drawn anew each epoch; it may reach into the next epoch."""
    places = (divmod(place, count) for place in range(number * size, (number + 1) * size))
    return [int(order(seed, epoch, count)[i]) for epoch, i in places]


def drawn(pictures: Pictures, course: Course, number: int) -> Pictures:
    """Random crops of pictures (n, height, width, channels), every other one mirrored: the same for the same seed and number."""
    generator = np.random.default_rng([course.seed, number, 7])
    crop = min(course.crop or 1 << 30, *pictures.shape[1:3])
    rows, columns = course.crop and pictures.shape[1] - crop, course.crop and pictures.shape[2] - crop
    high, wide = (crop, crop) if course.crop else pictures.shape[1:3]
    out = np.empty((len(pictures), high, wide, pictures.shape[3]), np.uint8)
    for i, picture in enumerate(pictures):
        y, x = int(generator.integers(rows + 1)), int(generator.integers(columns + 1))
        piece = picture[y : y + high, x : x + wide]
        out[i] = piece[:, ::-1] if course.mirror and generator.integers(2) else piece
    return out


@functools.lru_cache(maxsize=4)
def order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of the pictures in an epoch."""
    return np.random.default_rng([seed, epoch, 3]).permutation(count)


def _said(course: Course, about: str) -> str:
    return f"{course!r} {about}" if about else repr(course)


def _keep(work: Path, net: nn.Module, optimiser: torch.optim.Optimizer, said: str, step: int) -> None:
    work.mkdir(parents=True, exist_ok=True)
    state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "course": said}
    unfinished = work / "checkpoint.unfinished"
    torch.save(state, unfinished)
    unfinished.replace(work / CHECKPOINT)


def _resume(work: Path, net: nn.Module, optimiser: torch.optim.Optimizer, said: str) -> int:
    path = work / CHECKPOINT
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True, map_location=device(net))
    if state["course"] != said:
        raise ConfigError(
            "the work folder holds another course",
            got=state["course"],
            allowed=said,
            hint="Give another folder, or remove this one.",
        )
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])
