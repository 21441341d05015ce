"""The device that a training runs on: a processor, or an accelerator that may not be there, or go away while it is used.

A driver that is restarted, a card that falls off its bus, a cloud machine that loses its GPU: torch then raises errors of several
classes, in the middle of any call, and every later call on that device in this process fails too. `watched` makes one sentence of
them. What was learned until then lies in the checkpoint, which any device may carry on (`edgewise.training.course`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from edgewise.core.errors import DeviceError

ALLOWED = "cpu, cuda, cuda:N, mps or xpu, where torch finds one"
LOST = re.compile(r"\b(cuda|cudnn|cublas|hip|nccl|xpu|mps|accelerator)\w*\b", re.IGNORECASE)


def device(name: str) -> torch.device:
    """The device of that name; DeviceError where torch knows no such name or there is none."""
    try:
        found = torch.device(name)
    except RuntimeError:
        raise DeviceError("there is no such kind of device", got=repr(name), allowed=ALLOWED) from None
    if found.type == "cpu":
        return found
    try:
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # a torch without CUDA asserts
        raise DeviceError(
            "the device is not there",
            got=f"{name} ({_words(error)})",
            allowed=ALLOWED,
            hint="What was begun on another device goes on with --device cpu.",
        ) from None
    return found


@contextmanager
def watched(name: str, hint: str) -> Iterator[None]:
    """Errors of the accelerator `name` inside become one DeviceError with `hint`; other errors, and those of a cpu, pass."""
    try:
        yield
    except RuntimeError as error:  # torch.AcceleratorError and OutOfMemoryError are of this class
        if name.startswith("cpu") or not _lost(error):
            raise
        full = isinstance(error, torch.OutOfMemoryError)
        raise DeviceError(
            "the device has no memory left" if full else "the device went away",
            got=f"{name} ({_words(error)})",
            hint=hint,
        ) from error


def _lost(error: RuntimeError) -> bool:
    kinds = (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))
    return isinstance(error, kinds) or LOST.search(str(error)) is not None


def _words(error: BaseException) -> str:
    return " ".join(str(error).split("\n")[0].split())[:200] or type(error).__name__
