"""A Stretch: the modules that a bottleneck replaces, one after another, and where a student is compared with its teacher.

A cut is one path (`layer1`) or two with dots between them (`stem..layer2`): the modules from the first to the last *as called*,
each fed by the one before. Entropic Student replaces stem and layer1, BottleFit and ours the layer behind them too. The first
becomes the bottleneck, the others the identity, so that no line of the person's network changes:

    teacher   … → stem → layer1 → layer2 → layer3 → …
    student   … → Split → identity → identity → layer3 → …

Which modules those are is found by listening to one forward pass, and tried: with all of them called in the place of the first,
the network must give what it gave. So a shortcut around the stretch, or a function between two modules, is seen.

Losses are taken behind the last of the stretch and its later siblings, as in GHND. It knows networks that call each of the
modules once, with one map.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor, nn

from edgewise.core.errors import ModelError
from edgewise.split.training.bottleneck import Geometry, Split
from edgewise.training.course import device
from edgewise.training.paths import module, replace, siblings

BETWEEN = ".."
NEAR = 1e-3  # of the largest output: how far the network may be from itself with its modules called in another place


class Stretch(Struct, frozen=True):
    """`paths` of the modules in the order of their calls; `ahead` are the modules called before the first, which stay on the
    device with it and never change; `losses` are the paths at which a student learns by default; `geometry` is what the first
    takes and the last gives for one picture."""

    cut: str
    paths: tuple[str, ...]
    ahead: tuple[str, ...]
    losses: tuple[str, ...]
    geometry: Geometry

    @property
    def first(self) -> str:
        return self.paths[0]

    @property
    def last(self) -> str:
        return self.paths[-1]

    @property
    def encoder(self) -> str:
        """The path of a student's encoder, whose output crosses the link."""
        return f"{self.first}.encoder"


class _Call(Struct, frozen=True):
    """One call of a module: when it began, its path, what it took and gave."""

    began: int
    path: str
    inputs: tuple[Any, ...]
    words: dict[str, Any]
    output: Any


def stretch(net: nn.Module, cut: str, pictures: Tensor) -> Stretch:
    """The stretch that `cut` names in `net`, found by running `pictures` (batch, 3, rows, columns); ModelError for none."""
    first, dots, last = cut.partition(BETWEEN)
    last = last if dots else first
    for path in (first, last):
        module(net, path)
    calls, output = _heard(net, pictures)
    chain = _chain(calls, first, last, cut)
    inside, outside = chain[0].inputs[0], chain[-1].output
    paths = tuple(c.path for c in chain)
    _tried(net, paths, pictures, output)
    ahead = sorted((c for c in calls if c.began < chain[0].began and not _holds(c.path, first)), key=lambda c: c.began)
    geometry = Geometry(tuple(inside.shape[1:]), tuple(outside.shape[1:]), bool((outside < 0).any()))
    return Stretch(cut, paths, tuple(c.path for c in ahead), siblings(net, last), geometry)


def student(teacher: nn.Module, cut: Stretch, split: Split) -> nn.Module:
    """A copy of `teacher` with `split` in the place of the stretch: it alone learns, all else is frozen and evaluates."""
    net = _replaced(teacher, cut.paths, split)
    net.eval().requires_grad_(False)
    split.train().requires_grad_(True)
    return net


def split_of(net: nn.Module, cut: Stretch) -> Split:
    """The bottleneck of a student."""
    found = module(net, cut.first)
    if not isinstance(found, Split):
        raise ModelError(
            "this network is no student", got=f"{type(found).__name__} at {cut.first!r}", allowed="a bottleneck there"
        )
    return found


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode, and in its own again afterwards; no gradients meanwhile."""
    modes = [(m, m.training) for m in net.modules()]
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for one, training in modes:
            one.training = training


def _heard(net: nn.Module, pictures: Tensor) -> tuple[list[_Call], Any]:
    """Every call of one forward pass, and what the network gave."""
    calls: list[_Call] = []
    began: list[int] = []
    clock = iter(range(1 << 30))
    handles = []

    def begin(*_: Any) -> None:
        began.append(next(clock))

    def end(path: str) -> Any:
        def heard(_: nn.Module, inputs: tuple[Any, ...], words: dict[str, Any], output: Any) -> None:
            calls.append(_Call(began.pop(), path, inputs, words, output))

        return heard

    try:
        for path, one in net.named_modules():
            handles.append(one.register_forward_pre_hook(begin))
            handles.append(one.register_forward_hook(end(path), with_kwargs=True))
        with evaluating(net):
            output = net(pictures.to(device(net)))
    finally:
        for handle in handles:
            handle.remove()
    return sorted(calls, key=lambda c: c.began), output


def _chain(calls: list[_Call], first: str, last: str, cut: str) -> list[_Call]:
    """The calls from `first` to `last`, each fed by the one before; of modules inside each other the outermost."""
    for path in (first, last):
        if (count := sum(c.path == path for c in calls)) != 1:
            raise ModelError(
                f"the module at {path!r} cannot be replaced", got=f"{count} calls in one forward pass", allowed="exactly one call"
            )
    chain = [next(c for c in calls if c.path == first)]
    while chain[-1].path != last:
        here = chain[-1]
        fed = [c for c in calls if c.began > here.began and len(c.inputs) == 1 and c.inputs[0] is here.output]
        fed = [c for c in fed if not _holds(here.path, c.path)]  # its own last module, where that works in place
        fed = [c for c in fed if c.path == last or not _holds(c.path, last)]
        following = next((c for c in fed if not any(_holds(o.path, c.path) for o in fed)), None)
        if following is None:
            raise ModelError(
                f"the modules of the cut {cut!r} are no chain",
                got=f"nothing takes exactly what {here.path!r} gives, on the way to {last!r}",
                allowed="modules that are called one after another, each with one map",
                hint="Name a first and a last module that the forward pass calls in this order, or a single one.",
            )
        chain.append(following)
    for call in chain:
        if len(call.inputs) != 1 or call.words or not _is_map(call.inputs[0]) or not _is_map(call.output):
            raise ModelError(
                f"the module at {call.path!r} cannot be replaced by a bottleneck of convolutions",
                got=f"{', '.join(map(_words, (*call.inputs, *call.words.values()))) or 'no input'} → {_words(call.output)}",
                allowed="one map (batch, channels, rows, columns) in and one out",
                hint="Choose a module that takes and gives a feature map; for others there is `edgewise split quick`.",
            )
    return chain


def _tried(net: nn.Module, paths: tuple[str, ...], pictures: Tensor, wanted: Any) -> None:
    """ModelError where the network hears of what is inside the stretch."""
    if len(paths) == 1:
        return
    own = copy.deepcopy(net)
    together = _replaced(own, paths, nn.Sequential(*(module(own, path) for path in paths)))
    with evaluating(together):
        given = _tensors(together(pictures.to(device(net))))
    wanted = _tensors(wanted)
    near = len(given) == len(wanted) and all(
        a.shape == b.shape and float((a - b).abs().max()) <= NEAR * max(float(b.abs().max()), 1e-6) for a, b in zip(given, wanted)
    )
    if not near:
        raise ModelError(
            f"the stretch {paths[0]!r} to {paths[-1]!r} cannot be replaced",
            got="another output of the network when its modules are called in the place of the first",
            allowed="modules whose outputs nobody takes but the next of them",
            hint="Is there a shortcut around one of them, or a function between them?",
        )


def _replaced(net: nn.Module, paths: tuple[str, ...], new: nn.Module) -> nn.Module:
    changed = copy.deepcopy(net)
    replace(changed, paths[0], new)
    for path in paths[1:]:
        replace(changed, path, nn.Identity())
    return changed


def _tensors(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs.float()]
    values = list(outputs.values()) if hasattr(outputs, "values") else list(outputs) if isinstance(outputs, (tuple, list)) else []
    return [tensor for value in values for tensor in _tensors(value)]


def _holds(outer: str, inner: str) -> bool:
    """Whether the module at `outer` has the one at `inner` inside."""
    return not outer or inner.startswith(outer + ".")


def _is_map(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.is_floating_point()


def _words(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
