"""TorchTeacher: a Teacher that is a torch network, and that may get better itself by what devices send.

A network by name, `package.module:build` (with or without `torch:` before it), takes pictures (n, 3, height, width) as its own
attribute `look` says (`graph.picture.Look`), and without one in 0..1 at the size of the student's picture; an ONNX file, made
into torch by `training.from_onnx`, takes what its input asks for. It must answer in the student's words: where it carries
`labels` they have to be the student's, and it has to have as many classes.

Two ways to get better, both off at first, each after the pictures were answered (adapt notes 2.1, 2.4; trap 10):

    follow    the statistics of its batch normalisation are moved by those of the uploads: m = 1 − (1 − follow)^(n/50), mixed with
              a tenth of its own
    rate      scales and shifts step down L_T = mean exp(E0 − H_T) · H_T, the entropy of its own answers; momentum 0.9

Neither knows the truth: a teacher that is wrong can grow surer of it. On the runs of the notes the second made no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.adapt.step import Kind, Values, likelihood
from edgewise.adapt.teacher import Picture as Pixels
from edgewise.adapt.training.loss import entropy, sure
from edgewise.adapt.training.methods.layers import affine, moments, taken
from edgewise.adapt.training.renorm import Renormalised
from edgewise.adapt.training.student import scores
from edgewise.core.artifact import Picture
from edgewise.core.decoding import Classes, Decoding
from edgewise.core.errors import ConfigError, ModelError
from edgewise.core.moments import Moments, mixed, momentum, moved
from edgewise.data.preprocess import fit
from edgewise.graph.load import load
from edgewise.graph.picture import Look, is_pictured, look_of
from edgewise.training import named
from edgewise.training.classes import tensor
from edgewise.training.from_onnx import network

PREFIX, ONNX = "torch:", ".onnx"
BATCH = 32
TRUST = 0.9  # share of the moving statistics; the rest is the teacher's own (ω = 0.1)


class TorchTeacher:
    """`net` classifies, or gives the maps of `decoding`; it sees pictures by `look`; as bytes of that size where `raw`."""

    def __init__(
        self,
        net: nn.Module,
        look: Look,
        decoding: Decoding | None = None,
        labels: Sequence[str] = (),
        *,
        name: str = "torch",
        raw: bool = False,
        rate: float = 0.0,
        follow: float = 0.0,
    ) -> None:
        self.name = name
        self._look, self._decoding, self._raw, self._follow = look, decoding, raw, follow
        self._kind: Kind = "classes" if decoding is None or isinstance(decoding, Classes) else "cells"
        own = getattr(net, "labels", None)
        if own and labels and tuple(own) != tuple(labels):
            raise ConfigError(
                "the teacher has other labels than the student",
                got=_few(own),
                allowed=_few(labels),
                hint="Both must name the same classes in the same order.",
            )
        self._layers: dict[str, Renormalised] = {}
        self._net = net.eval()
        if rate or follow:
            self._net, self._layers = taken(net, Renormalised)
        self._source = {path: _moments(layer) for path, layer in self._layers.items()}
        self._running = dict(self._source)
        learnt = list(affine(self._net).values()) if rate else []
        self._optimiser = torch.optim.SGD(learnt, lr=rate, momentum=0.9) if learnt else None
        self._answers(labels)

    def spoken(self) -> bytes:
        """It as an ONNX file, to answer without torch; ModelError where that cannot be."""
        from edgewise.adapt.training.spoken import spoken

        return spoken(self._net, self._look, self._decoding, self._raw)

    def probabilities(self, pictures: Sequence[Pixels]) -> Values:
        """(n, C) of pictures, each uint8 (height, width, 3) of any size; a row of NaN where the network gives no numbers.

        Where it is to get better it does so afterwards, by these pictures.
        """
        if not pictures:
            return np.zeros((0, self._classes), np.float32)
        found = [self._said(pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]
        return np.concatenate(found)

    def _said(self, pictures: Sequence[Pixels]) -> Values:
        inputs = self._inputs(pictures)
        if self._optimiser is None and not self._follow:
            with torch.no_grad():
                return likelihood(scores(self._net(inputs), self._decoding).numpy(), self._kind)
        seen: dict[str, Moments] = {}
        with ExitStack() as stack, torch.set_grad_enabled(self._optimiser is not None):
            for path, layer in self._layers.items() if self._follow else ():
                stack.callback(layer.register_forward_pre_hook(partial(_note, seen, path)).remove)
            logits = scores(self._net(inputs), self._decoding)
        said = likelihood(logits.detach().numpy(), self._kind)
        if np.isfinite(said).all():  # from a picture that gives NaN nothing is learned
            self._move(seen, len(pictures))
            self._step(logits)
        return said

    def _move(self, seen: dict[str, Moments], count: int) -> None:
        weight = momentum(count, self._follow)
        for path, one in seen.items():
            self._running[path] = moved(self._running[path], one, weight)
            used = mixed(self._source[path], self._running[path], TRUST)
            self._layers[path].follow(torch.from_numpy(used.mean), torch.from_numpy(used.variance))

    def _step(self, logits: Tensor) -> None:
        if self._optimiser is None:
            return
        own = entropy(logits, self._kind)
        self._optimiser.zero_grad(set_to_none=True)
        (sure(own, logits.shape[1], self._kind) * own).mean().backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()

    def _inputs(self, pictures: Sequence[Pixels]) -> Tensor:
        fitted = np.concatenate([fit(picture, self._look.picture) for picture in pictures])
        return torch.from_numpy(fitted) if self._raw else tensor(fitted, self._look)

    def _answers(self, labels: Sequence[str]) -> None:
        """ModelError unless it answers a black picture, with as many classes as there are labels."""
        black = np.zeros((self._look.height, self._look.width, 3), np.uint8)
        with torch.no_grad():
            self._classes = scores(self._net(self._inputs([black])), self._decoding).shape[1]
        if self._kind == "classes" and labels and self._classes != len(labels):
            raise ModelError(
                "the teacher has other classes than the student",
                got=f"{self._classes} classes",
                allowed=f"{len(labels)}: {_few(labels)}",
            )


def torch_teacher(
    model: str,
    picture: Picture,
    decoding: Decoding | None = None,
    labels: Sequence[str] = (),
    *,
    weights: Path | None = None,
    rate: float = 0.0,
    follow: float = 0.0,
) -> TorchTeacher:
    """The teacher `[torch:]package.module:build` (with `weights`, a .safetensors file) or `file.onnx`, for a student that sees
    `picture`s and has `labels`; ConfigError or ModelError where there is none, or it answers something else."""
    called = model.removeprefix(PREFIX)
    raw, look = False, Look(picture.height, picture.width)
    if called.lower().endswith(ONNX):
        if weights is not None:
            raise ConfigError("an ONNX model has its weights inside", got=weights, allowed="no file of weights beside it")
        graph = load(Path(called))
        raw = is_pictured(graph)
        look = _look(look_of(graph, None if _sized(graph) else (picture.height, picture.width)), called)
        net: nn.Module = network(Path(called))
    else:
        net = named.built(called)
        if weights is not None:
            named.load(net, weights)
        look = getattr(net, "look", look)
    return TorchTeacher(net, look, decoding, labels, name=called, raw=raw, rate=rate, follow=follow)


def _look(found: Look | None, name: str) -> Look:
    if found is None or (found.layout != "NCHW" and found.scale != 1.0) or found.channels != 3:
        raise ModelError(
            f"the teacher {name} takes no pictures",
            got="its input",
            allowed="bytes (batch, height, width, 3), or float32 (batch, 3, height, width)",
        )
    return found


def _sized(graph: Any) -> bool:
    """Whether the graph says how large its pictures are."""
    if is_pictured(graph):
        return True
    dims = [d.dim_value for value in graph.graph.input[-1:] for d in value.type.tensor_type.shape.dim]
    return len(dims) == 4 and all(dims[2:])


def _note(seen: dict[str, Moments], path: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    mean, variance = moments(inputs[0])
    seen[path] = Moments(_floats(mean), _floats(variance))


def _moments(layer: Renormalised) -> Moments:
    return Moments(_floats(layer.mean), _floats(layer.variance))


def _floats(value: Tensor) -> NDArray[np.float32]:
    return np.array(value.detach().numpy(), np.float32)


def _few(labels: Sequence[str]) -> str:
    return ", ".join(labels[:5]) + (f" … ({len(labels)})" if len(labels) > 5 else "")
