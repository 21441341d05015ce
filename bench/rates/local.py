"""Answering on the device: no byte crosses the link. The teacher itself, and networks small enough for what a head costs.

`teacher` is the mark that every other method is measured from. `local` are ResNets of its kind, a third and a half as wide, that
learnt from labels and the teacher's answers in equal parts, 12 epochs at its crop: `w24` multiplies as often for the whole answer
as a head of ours does for its bottleneck, so it asks whether anything had to be sent at all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.jobs import Advance, Job, Size
from bench.rates.ground import Ground, ground
from bench.rates.imagenette import right
from bench.rates.jobs import DATA, record_file
from bench.rates.record import About, Record, keep
from edgewise.training.classes import tensor
from edgewise.training.course import Course, Pictures, follow
from edgewise.training.distil import answering
from edgewise.training.nets.resnet import ResNet

WIDTHS: dict[str, tuple[int, int, int, int]] = {"w16": (16, 32, 64, 128), "w24": (24, 48, 96, 192)}
EPOCHS: dict[Size, float] = {"quick": 2, "medium": 4, "full": 12}


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """The teacher's own record (seed 0), and a job for each small network."""
    found = []
    if seed == 0:
        leaves = (record_file("teacher", "device", 0, data=DATA[size]),)
        found.append(Job("teacher", "bench.rates.local:teacher", leaves, {"size": size}, 1))
    for point in WIDTHS if size == "full" else list(WIDTHS)[:1]:
        leaves = (record_file("local", point, seed, data=DATA[size]),)
        arguments = {"point": point, "size": size, "seed": seed}
        found.append(Job(f"local-{point}.{seed}", "bench.rates.local:small", leaves, arguments, 4 if seed == 0 else 6))
    return found


def teacher(work: Path, advance: Advance, size: Size = "full") -> None:
    """The record of the whole teacher on the device."""
    found = ground(work, size, advance)
    _keep(work, found, found.teacher, "teacher", "device", 0, {})


def small(work: Path, advance: Advance, point: str, size: Size = "full", seed: int = 0) -> None:
    """A small network, trained, and its record."""
    found = ground(work, size, advance)
    course = Course(epochs=EPOCHS[size], rate=0.1, batch=32, crop=found.crop, seed=seed)
    net = learnt(found, point, course, work / "local" / f"{point}.{seed}", advance)
    _keep(work, found, net, "local", point, seed, {"training": course.epochs})


def learnt(found: Ground, point: str, course: Course, work: Path, advance: Advance = lambda what, share: None) -> nn.Module:
    """The ResNet of WIDTHS[point], taught by labels and the teacher's answers; what `work` holds is taken up."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(course.seed)
        stem = (3, 1, False) if found.look.height < 64 else (7, 2, True)
        net: nn.Module = ResNet(len(found.train.names), WIDTHS[point], stem=stem).train()
    true = torch.tensor(found.train.labels)

    def lesson(pictures: Pictures, indices: list[int]) -> Tensor:
        x = tensor(pictures, found.look)
        with torch.no_grad():
            wanted = found.teacher(x).float()
        return answering(net(x).float(), wanted, true[indices])

    follow(net, net.parameters(), found.train, lesson, course, work, advance)
    return net.eval().requires_grad_(False)


def macs(net: nn.Module, look_of: Ground) -> float:
    """Multiply-adds of one picture, counted by torch (products of convolutions and matrices)."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net(tensor(look_of.held.of([0]), look_of.look))
    return counter.get_total_flops() / 2


def _keep(work: Path, found: Ground, net: nn.Module, method: str, point: str, seed: int, epochs: dict[str, float]) -> None:
    answers = right(net, found.held, found.look).astype(np.float64)
    parameters = sum(p.numel() for p in net.parameters())
    about = About(method, point, seed, data=found.data, epochs=epochs, parameters=parameters, more={"macs": macs(net, found)})
    keep(Record(about, answers, np.zeros(len(answers), np.int64)), work)
