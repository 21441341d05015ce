"""A person's torch network by name, `package.module:build`, and its file of weights; errors are sentences, nothing is unpickled.

`build` is any callable without arguments that gives a torch module; the folder in which the command runs counts as a place to
import from, as it does for `python -m`. It runs a person's own code: a name from elsewhere must not come here.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from edgewise.core.errors import ConfigError, ModelError
from edgewise.training.paths import nearest

SEEDED = 0  # of weights that are drawn: the call that carries on means the same network


def built(model: str) -> nn.Module:
    """The network that `package.module:build` gives; weights that nobody gives are drawn from the same seed each time."""
    name, colon, function = model.partition(":")
    if not colon or not name or not function:
        raise ConfigError(
            "a model is not well named",
            got=repr(model),
            allowed="package.module:function, as in mypkg.net:build; a file.onnx; a config.json or hf:TYPE of transformers",
        )
    with _here():
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                "the model's module cannot be imported",
                got=f"{name} ({error})",
                hint="Run from the folder that holds it, or install it.",
            ) from error
    build = getattr(module, function, None)
    if not callable(build):
        raise ConfigError(
            f"the module {name} has no such function",
            got=function,
            allowed=", ".join(nearest(function, [n for n in dir(module) if callable(getattr(module, n)) and n[0] != "_"]))
            or "none",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEEDED)
        net = build()
    if not isinstance(net, nn.Module):
        raise ConfigError(f"{model} gives no network", got=type(net).__name__, allowed="a torch.nn.Module")
    return net


def load(net: nn.Module, weights: Path) -> None:
    """Put the weights of a .safetensors file into a network; ModelError unless they are its own, all of them and no others."""
    if not weights.is_file():
        raise ModelError("there is no such file of weights", got=weights, allowed="the path of a .safetensors file")
    try:
        state = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            "the weights cannot be read",
            got=f"{weights} ({error})",
            allowed="a .safetensors file",
            hint="`safetensors.torch.save_file(net.state_dict(), PATH)` writes one.",
        ) from None
    own = net.state_dict()
    lacking = [n for n in own if n not in state and not n.endswith("num_batches_tracked")]
    beyond = [n for n in state if n not in own]
    other = [n for n in own if n in state and own[n].shape != state[n].shape]
    if lacking or beyond or other:
        parts = (("missing", lacking), ("unknown", beyond), ("of another shape", other))
        raise ModelError(
            f"the weights {weights.name} are not those of the network",
            got="; ".join(f"{len(names)} {what}: {', '.join(names[:3])}" for what, names in parts if names),
            allowed="a value for each parameter and buffer, and no others",
        )
    net.load_state_dict(state, strict=False)


@contextmanager
def _here() -> Iterator[None]:
    folder = os.fspath(Path.cwd())
    known = folder in sys.path or "" in sys.path
    if not known:
        sys.path.insert(0, folder)
    try:
        yield
    finally:
        if not known and folder in sys.path:
            sys.path.remove(folder)
