"""A Student: the model of a bundle, or a torch network, as something of which only normalisation changes, by parameter path.

The parts of a bundle become one network that takes what the first of them takes: each part is fed by the name of its input from
what the parts before it gave (a head and its tail; a filter, a head and a tail). Batch normalisation becomes
`Renormalised`, scale and shift of every normalisation become parameters at the paths that deltas have (`head.body.0.1.weight`);
nothing else learns. Statistics go by the path of the layer (`head.body.0.1`).

What the network gives becomes logits (n, C) in the order of `data.doubt`: scores of classes, or all cells of the maps.
Cells that a detector suppressed (exactly 0, beside a higher one) have no gradient.

It does not know what is rounded between the parts of a split model, nor what a teacher says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from msgspec import Struct
from torch import Tensor, nn

from edgewise.adapt.step import Kind
from edgewise.adapt.training.methods.layers import affine, taken
from edgewise.adapt.training.renorm import Renormalised
from edgewise.adapt.way import way
from edgewise.core.artifact import MANIFEST, Parameter, parse
from edgewise.core.decoding import Classes, Decoding, Grid, Regions, Things
from edgewise.core.errors import ConfigError, ModelError
from edgewise.graph.normalisation import Normalisation, normalisations, required
from edgewise.training.from_onnx import Operator, Section, network
from edgewise.training.outputs import classed, named

CERTAIN = 1e-6  # probabilities nearer to 0 or 1 than this are as near


class Student(Struct, frozen=True, eq=False):
    """`net` takes inputs (n, …) and gives outputs by name; `affine` holds φ by parameter path and `layers` what follows the
    stream by layer path, both of `net`. `source`: the statistics of before (mean, variance). `fixed`: scales and shifts without
    a path in the manifest, so that no delta could change them."""

    net: nn.Module
    decoding: Decoding | None
    affine: dict[str, nn.Parameter]
    layers: dict[str, Renormalised]
    source: dict[str, tuple[Tensor, Tensor]]
    fixed: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        return "classes" if self.decoding is None or isinstance(self.decoding, Classes) else "cells"

    def logits(self, inputs: Tensor) -> Tensor:
        """(n, C) for inputs (n, …)."""
        return scores(self.net(inputs), self.decoding)


def of_net(net: nn.Module, part: str = "", decoding: Decoding | None = None) -> Student:
    """A copy of a torch network that classifies, its paths after `part` and a dot; ModelError where nothing in it normalises."""
    own, layers = taken(net, Renormalised)
    front = f"{part}." if part else ""
    return _made(
        own,
        decoding,
        {front + path: parameter for path, parameter in affine(own).items()},
        {front + path: layer for path, layer in layers.items()},
    )


def of_bundle(files: Mapping[str, bytes], parts: Sequence[str] = ()) -> Student:
    """The model of a bundle's files: of those `parts`, else of its `way`.

    ModelError where none of them has a normalisation that could adapt, or a part cannot be made into torch.
    """
    manifest = parse(files[MANIFEST])
    chosen = tuple(parts) or way(manifest)
    lacking = [name for name in chosen if name not in manifest.parts]
    if lacking:
        raise ConfigError("the bundle has no such part", got=", ".join(lacking), allowed=", ".join(manifest.parts))
    return of_parts({name: files[manifest.parts[name].file] for name in chosen}, manifest.parameters, manifest.decoding)


def of_parts(parts: Mapping[str, bytes], parameters: Mapping[str, Parameter], decoding: Decoding | None = None) -> Student:
    """The ONNX parts, in this order, as one; `parameters` as in a manifest (none at all: the paths are `PART.initialiser`)."""
    stages: dict[str, Section] = {}
    scales: dict[str, nn.Parameter] = {}
    layers: dict[str, Renormalised] = {}
    fixed: list[str] = []
    found = 0
    for name, model in parts.items():
        paths = {p.initialiser: path for path, p in parameters.items() if p.part == name}
        normal = normalisations(model, paths)
        stages[name] = _learning(network(model), name, normal, paths if parameters else None, scales, layers, fixed)
        found += len(normal)
    if not found:
        name, model = list(parts.items())[-1]
        required(model, f"part {name}")
    if not scales:
        raise ModelError(
            "the manifest gives no path to the scales of normalisation",
            got=f"{len(fixed)} scales and shifts without one",
            allowed="a parameter map that has them",
            hint="Make the bundle of unfolded parts (training/export.py: unfold=True, parameters).",
        )
    return _made(Chain(stages), decoding, scales, layers, tuple(fixed))


def scores(outputs: object, decoding: Decoding | None) -> Tensor:
    """Logits (n, C) of what a network gives, by its decoding; without one, those of a classifier."""
    if decoding is None:
        return classed(outputs).float()
    given = dict(named(outputs))
    if isinstance(decoding, Classes):
        found = given[decoding.output] if decoding.output in given or len(given) > 1 else next(iter(given.values()))
        flat = found.float().flatten(1)
        return flat if decoding.logits else flat.clamp_min(CERTAIN).log()
    wanted = maps(decoding)
    lacking = [name for name in wanted if name not in given]
    if lacking:
        raise ModelError("the student has not the outputs that its bundle reads", got=", ".join(given), allowed=", ".join(wanted))
    if isinstance(decoding, Regions):
        return _regions(given[decoding.output].float(), decoding)
    return torch.cat([torch.logit(given[name].float().flatten(1), CERTAIN) for name in wanted], 1)


def maps(decoding: Decoding) -> tuple[str, ...]:
    """The outputs whose cells are the answer; ModelError for an answer that has none."""
    if isinstance(decoding, Grid):
        return ("score", "occupied")
    if isinstance(decoding, Things):
        return ("score",)
    if isinstance(decoding, Regions):
        return (decoding.output,)
    raise ModelError(
        "a model with this kind of answer cannot be taught by a teacher",
        got=type(decoding).__name__.lower(),
        allowed="classes, grid, things, regions",
    )


class Chain(nn.Module):
    """Parts one after the other; each takes its input by name from what those before it gave."""

    def __init__(self, stages: Mapping[str, Section]) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(dict(stages))
        self._inputs = {name: stage.sources[0] for name, stage in stages.items()}
        self._outputs = {name: stage.results for name, stage in stages.items()}

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        given: dict[str, Tensor] = {}
        last: dict[str, Tensor] = {}
        for i, (name, stage) in enumerate(self.stages.items()):
            wanted = self._inputs[name]
            if i and wanted not in given:
                raise ModelError(f"part {name} takes what no part gives", got=wanted, allowed=", ".join(given))
            said = stage(given[wanted] if i else inputs)
            last = said if isinstance(said, dict) else {self._outputs[name][0]: said}
            given |= last
        return last


def _regions(scores: Tensor, decoding: Regions) -> Tensor:
    """Where the answer looks: the middle of its cells; of several classes the logit of each one's probability."""
    if scores.ndim != 4:
        raise ModelError(
            "a map of class numbers has no probabilities", got=tuple(scores.shape), allowed="(batch, class, height, width)"
        )
    height, width = scores.shape[-2:]
    rows = (2 * torch.arange(decoding.rows) + 1) * height // (2 * decoding.rows)
    columns = (2 * torch.arange(decoding.columns) + 1) * width // (2 * decoding.columns)
    seen = scores[:, :, rows[:, None], columns].flatten(2)
    return seen[:, 0] if seen.shape[1] == 1 else torch.logit(seen.softmax(1), CERTAIN).flatten(1)


def _learning(
    net: Section,
    part: str,
    normal: Sequence[Normalisation],
    paths: Mapping[str, str] | None,
    scales: dict[str, nn.Parameter],
    layers: dict[str, Renormalised],
    fixed: list[str],
) -> Section:
    """The network of a part with renormalisation; what may change in it is put into `scales` and `layers` (or `fixed`)."""
    held = {
        initialiser: (path, name)
        for path, module in net.named_modules()
        if isinstance(module, Operator)
        for name, initialiser in module.initialisers.items()
    }
    own, renormalised = taken(net, Renormalised)
    for layer in normal:
        for initialiser in layer.affine:
            path = f"{part}.{initialiser}" if paths is None else paths.get(initialiser, "")
            if not path or initialiser not in held:
                fixed.append(f"{part}.{initialiser}")
                continue
            scales[path] = _parameter(own.get_submodule(held[initialiser][0]), held[initialiser][1])
        where = held.get(layer.scale, ("", ""))[0]
        if layer.kind == "batch" and where in renormalised:
            layers[f"{part}.{layer.path}" if paths is None or layer.scale not in paths else layer.path] = renormalised[where]
    assert isinstance(own, Section)
    return own


def _parameter(module: nn.Module, name: str) -> nn.Parameter:
    """The value of that name as a parameter that learns, made one where it is a constant of an operator."""
    value = getattr(module, name)
    assert isinstance(value, Tensor)
    if not isinstance(value, nn.Parameter):
        del module._buffers[name]
        module.register_parameter(name, nn.Parameter(value.clone()))
    found = getattr(module, name)
    assert isinstance(found, nn.Parameter)
    found.requires_grad_(True)
    return found


def _made(
    net: nn.Module,
    decoding: Decoding | None,
    scales: dict[str, nn.Parameter],
    layers: dict[str, Renormalised],
    fixed: tuple[str, ...] = (),
) -> Student:
    if decoding is not None and not isinstance(decoding, Classes):
        maps(decoding)
    source = {path: (layer.mean.clone(), layer.variance.clone()) for path, layer in layers.items()}
    return Student(net.eval(), decoding, scales, layers, source, fixed)
