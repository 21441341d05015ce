"""A training loop bounded by wall time: it stops when told, carries on where it was, and leaves a record.

The learning rate follows a half cosine over the share of the time that is spent, not over steps, so a slow or contended
machine ends a run as orderly as a fast one. Averaged weights (exponential) are what is kept for use. Beside the checkpoint
lies `record.jsonl`: one line at each report.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor, nn

log = logging.getLogger(__name__)

Step = Callable[[nn.Module, int], tuple[Tensor, dict[str, float]]]


class Run(Struct, frozen=True, forbid_unknown_fields=True):
    """One run: `seconds` of wall time in all, peak learning `rate`, `warm` steps up to it, weight `decay`, share kept in the
    `average` of weights at each step, seconds between reports."""

    seconds: float
    rate: float = 2e-3
    warm: int = 100
    decay: float = 1e-4
    average: float = 0.998
    report: float = 60.0
    half_precision: bool = True


class Outcome(Struct, frozen=True):
    """Steps taken and seconds spent, over all parts of a run that was resumed."""

    steps: int
    seconds: float


def train(net: nn.Module, step: Step, run: Run, folder: Path, clock: Callable[[], float] = time.monotonic) -> Outcome:
    """Train `net` until `run.seconds` are spent, counting what an earlier part of the run in `folder` spent; at the end
    `net` holds the averaged weights. `step(net, number)` gives a loss and its parts for the record."""
    folder.mkdir(parents=True, exist_ok=True)
    optimiser = torch.optim.AdamW(net.parameters(), lr=run.rate, weight_decay=run.decay)
    averaged = {name: value.detach().clone() for name, value in net.state_dict().items()}
    steps, spent = _resume(folder, net, optimiser, averaged)
    begun, reported = clock(), spent
    net.train()
    while (now := spent + clock() - begun) < run.seconds:
        for group in optimiser.param_groups:
            group["lr"] = rate(run, steps, now)
        with torch.autocast("cpu", torch.bfloat16, enabled=run.half_precision):
            loss, parts = step(net, steps)
        optimiser.zero_grad(set_to_none=True)
        if math.isfinite(float(loss.detach())):
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
        else:
            parts["skipped"] = 1.0
        steps += 1
        _average(averaged, net, min(run.average, steps / (steps + 10)))
        if now - reported >= run.report:
            reported = now
            _keep(folder, net, optimiser, averaged, steps, now)
            _report(folder, {"step": steps, "seconds": round(now, 1), "loss": round(float(loss.detach()), 4)} | parts)
    spent += clock() - begun
    _keep(folder, net, optimiser, averaged, steps, spent)
    net.load_state_dict(averaged)
    net.eval()
    return Outcome(steps, spent)


def rate(run: Run, step: int, seconds: float) -> float:
    """The learning rate: a linear rise over `run.warm` steps, a half cosine over the time."""
    left = 0.5 * (1 + math.cos(math.pi * min(seconds / run.seconds, 1.0)))
    return run.rate * min(1.0, (step + 1) / run.warm) * max(left, 0.01)


def averaged(folder: Path, net: nn.Module) -> nn.Module:
    """`net` with the averaged weights of the run in `folder`, for use."""
    net.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True)["averaged"])
    return net.eval()


def _average(kept: dict[str, Tensor], net: nn.Module, share: float) -> None:
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                kept[name].mul_(share).add_(value, alpha=1 - share)
            else:
                kept[name].copy_(value)


def _resume(folder: Path, net: nn.Module, optimiser: torch.optim.Optimizer, kept: dict[str, Tensor]) -> tuple[int, float]:
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    for name, value in state["averaged"].items():
        kept[name].copy_(value)
    log.info("carrying on at step %d, %.0f s", state["steps"], state["seconds"])
    return state["steps"], state["seconds"]


def _keep(
    folder: Path, net: nn.Module, optimiser: torch.optim.Optimizer, kept: dict[str, Tensor], steps: int, seconds: float
) -> None:
    state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "averaged": kept}
    unfinished = folder / "checkpoint.unfinished"
    torch.save(state | {"steps": steps, "seconds": seconds}, unfinished)
    unfinished.replace(folder / "checkpoint.pt")


def _report(folder: Path, line: dict[str, Any]) -> None:
    log.info("%s", line)
    with (folder / "record.jsonl").open("a") as record:
        record.write(json.dumps(line) + "\n")
