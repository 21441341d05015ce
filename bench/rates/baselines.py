"""Other ways to teach a bottleneck, on the same ground: CR+BQ, end to end, and an autoencoder in the middle.

cr-bq        channel reduction and quantised bottleneck: GHND's bottleneck of 3 channels for layer1, ranges cut into 2^8 … 2^4
             steps after training, and our coder with tables of neighbours
end-to-end   Singh et al. 2020: cross-entropy + β · bits / pixel, nothing else; the bottleneck of `entropic`, all of it and
             the network behind it learn from labels alone, nobody imitates the teacher
mid          the teacher with an autoencoder behind layer2: head and tail as they were, 3 channels between, 8 bits, not coded

epochs        stage 1   stage 2       both stages as for BottleFit (`bottlefit.py`); the paper of GHND has 20 and no second
cr-bq             8        3          encoder frozen in the second, half cross-entropy and half KL
end-to-end        8        –          from the first step on
mid               4        2
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from bench.jobs import Advance, Job, Size
from bench.rates.bottlefit import parameters, steps
from bench.rates.ground import Ground, ground
from bench.rates.jobs import DATA, record_file
from bench.rates.record import About, Record, keep
from edgewise.codec.fitted import coding_for
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.core.wire import FRAME_HEADER
from edgewise.split.training.carried import evaluate
from edgewise.split.training.frozen import frozen
from edgewise.split.training.mid import inserted, middle
from edgewise.split.training.prior import Noisy
from edgewise.split.training.stages import Staged, Student, bottleneck_of, crossing, finished, fresh, taught
from edgewise.split.training.stretch import split_of
from edgewise.split.training.tune import CENTRED, classes
from edgewise.training.classes import tensor
from edgewise.training.course import Course, Pictures, adam, device, follow
from edgewise.training.fingerprint import fingerprint
from edgewise.training.paths import module

CR, END, MID = "cr-bq", "end-to-end", "mid"
EPOCHS: dict[Size, dict[str, tuple[float, float]]] = {
    "quick": {CR: (2, 1), END: (2, 0), MID: (1, 1)},
    "medium": {CR: (3, 1), END: (3, 0), MID: (2, 1)},
    "full": {CR: (10, 4), END: (14, 0), MID: (10, 4)},
}
BITS = (8, 6, 4)
BETAS = (0.3, 1.0)
CHANNELS = 3  # of CR+BQ and of the autoencoder


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """A job for each of the first seed: baselines are trained once, but for the small sizes, which leave the second β out."""
    if seed:
        return []
    betas = BETAS if size == "full" else BETAS[:1]
    found = [_job(CR, "reduced", [f"q{bits}" for bits in BITS], {}, size)]
    found += [_job(END, "end_to_end", [point(beta)], {"beta": beta}, size) for beta in betas]
    return [*found, _job(MID, "autoencoded", [f"{CHANNELS}-q8"], {}, size)]


def point(beta: float) -> str:
    """The name of a point of the end-to-end baseline."""
    return f"b{beta:g}"


def reduced(work: Path, advance: Advance, size: Size = "full") -> None:
    """CR+BQ, and a record for each number of bits."""
    found, (first, tuned) = ground(work, size, advance), EPOCHS[size][CR]
    plan = Staged(first=first, tuned=tuned, channels=CHANNELS)  # whole pictures: its map is made to fit one size
    folder, labels = work / "baselines" / CR, found.train.labels.tolist()
    made = taught(found.teacher, "layer1", "ghnd", found.train, found.look, plan, folder / "first", advance)
    made = finished(found.teacher, made, found.train, labels, found.look, plan, folder / "second", None, advance)
    values = crossing(made, found.train, found.look)
    for bits in BITS:
        _judged(work, found, made, *steps(values, bits), CR, f"q{bits}", {"stage 1": first, "stage 2": tuned})


def end_to_end(work: Path, advance: Advance, beta: float, size: Size = "full") -> None:
    """A student that learns from labels and its price alone, and its record."""
    found, (epochs, _) = ground(work, size, advance), EPOCHS[size][END]
    made = fresh(found.teacher, "stem..layer1", "entropic-narrow", found.train, found.look, Staged(crop=found.crop))
    split = split_of(made.net, made.stretch)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        noisy = Noisy(split.encoder(torch.zeros(1, 3, found.look.height, found.look.width)).shape[1])
    split.between = noisy.to(device(made.net))
    loss = classes(found.train.labels.tolist(), "ft")
    made.net.train().requires_grad_(True)

    def lesson(pictures: Pictures, indices: list[int]) -> Tensor:
        x = tensor(pictures, found.look).to(device(made.net))
        said = loss(made.net(x), lambda: None, indices)
        return said + beta * noisy.bits / (x.shape[2] * x.shape[3])

    def prepare(number: int, count: int) -> None:
        if number % CENTRED == 0:
            noisy.centre()

    course = Course(epochs=epochs, rate=2e-3, batch=32, decay=0.0, warm=0.1, crop=found.crop)
    folder = work / "baselines" / f"{END}-{point(beta)}"
    say = adam(noisy.parameters())
    about = fingerprint(msgspec.json.encode((END, beta, found.look)), found.train, [found.teacher])
    learnt = made.net.parameters()
    follow(made.net, learnt, found.train, lesson, course, folder, advance, optimiser=say, prepare=prepare, about=about)
    made.net.eval().requires_grad_(False)
    done = frozen(made.net, made.stretch, noisy, found.train, found.look, beta)
    _judged(work, found, made, done.bottleneck, done.coding, END, point(beta), {"end to end": epochs}, {"beta": beta})


def autoencoded(work: Path, advance: Advance, size: Size = "full") -> None:
    """The autoencoder in the middle, and its record: 8 bits in one range, not coded."""
    found, (first, tuned) = ground(work, size, advance), EPOCHS[size][MID]
    last = middle(found.teacher)
    whole, cut = inserted(found.teacher, last)
    later = tuple(p for p in ("layer3", "layer4") if p > last)
    plan = Staged(first=first, tuned=tuned, channels=CHANNELS, losses=(cut, *later), crop=found.crop)
    folder, labels = work / "baselines" / MID, found.train.labels.tolist()
    made = taught(whole, cut, "mid", found.train, found.look, plan, folder / "first", advance)
    made = finished(whole, made, found.train, labels, found.look, plan, folder / "second", None, advance)
    values = crossing(made, found.train, found.look)
    wide = bottleneck_of(values, per_channel=False)
    coding = coding_for(wide, [values], [256] * CHANNELS, range(CHANNELS))
    head = sum(parameters(module(found.teacher, p)) for p in ("stem", "layer1", "layer2") if p <= last or p == "stem")
    epochs = {"stage 1": first, "stage 2": tuned}
    _judged(work, found, made, wide, coding, MID, f"{CHANNELS}-q8", epochs, head=head + made.head, plain=True)


def _judged(
    work: Path,
    found: Ground,
    made: Student,
    bottleneck: Bottleneck,
    coding: Coding,
    method: str,
    name: str,
    epochs: dict[str, float],
    more: dict[str, float] | None = None,
    head: int = 0,
    plain: bool = False,
) -> None:
    seen = evaluate(made.net, made.stretch, bottleneck, coding, found.held, found.look, found.held.labels.tolist())
    ahead = sum(parameters(module(made.net, p)) for p in made.stretch.ahead if "." not in p)
    about = About(method, name, data=found.data, epochs=epochs, parameters=head or ahead + made.head, more=more or {})
    sizes = np.full_like(seen.bytes, FRAME_HEADER + int(np.prod(bottleneck.shape))) if plain else seen.bytes
    keep(Record(about, seen.right, sizes), work)


def _job(method: str, run: str, names: Sequence[str], arguments: dict[str, object], size: Size) -> Job:
    leaves = tuple(record_file(method, name, 0, data=DATA[size]) for name in names)
    called = method + (f"-{names[0]}" if method == END else "")
    return Job(f"{called}.0", f"bench.rates.baselines:{run}", leaves, {**arguments, "size": size}, 4)
