"""Modules of any torch network by their dotted path: find one, replace one, listen to what some of them give.

A method that distils or replaces a part of a person's network must not know its class, nor ask for surgery in its code: a path
(`backbone.layer1`, as `named_modules` gives it) is enough. The idea is torchdistill's (`forward_hook.py`, `redesign_model`); here
the outputs are kept beside the network, never in it, and hooks are gone when the `with` ends, whatever ended it.

Taps may be nested, on one network or on shared modules. It does not know networks that call one module from several threads.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

from torch import Tensor, nn

from edgewise.core.errors import ModelError

NEAREST = 5


class Taken(Mapping[str, Tensor]):
    """What the tapped modules gave in the last forward pass, by path; of a module called twice, the later output."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._given: dict[str, Any] = {}

    def __getitem__(self, path: str) -> Tensor:
        if path not in self._paths:
            raise KeyError(path)
        if path not in self._given:
            raise ModelError(
                "a module took no part in the forward pass",
                got=path or "the network itself",
                allowed="modules that every forward pass calls",
                hint="Choose another path, or check that the network does not skip it in evaluation.",
            )
        given = self._given[path]
        if not isinstance(given, Tensor):
            raise ModelError(
                "a module gives no single tensor",
                got=f"{type(given).__name__} from {path or 'the network itself'}",
                allowed="a module that gives one tensor",
                hint="Choose a path inside it.",
            )
        return given

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def complete(self) -> bool:
        """Whether each path has given."""
        return len(self._given) == len(set(self._paths))

    def forget(self) -> None:
        """Let go of the outputs, and with them of the graph behind them."""
        self._given.clear()

    def keep(self, path: str, given: Any) -> None:
        self._given[path] = given


def module(net: nn.Module, path: str) -> nn.Module:
    """The module of `net` at `path` ('' is `net` itself); ModelError names the nearest paths where there is none.

    >>> module(nn.Sequential(nn.Identity(), nn.ReLU()), "1")
    ReLU()
    """
    found: nn.Module | None = dict(net.named_modules(remove_duplicate=False)).get(path)
    if found is None:
        names = [name for name, _ in net.named_modules() if name]
        raise ModelError(
            "the network has no such module",
            got=repr(path),
            allowed=", ".join(nearest(path, names)) or "none: it has no modules",
            hint=f"These are the nearest of {len(names)} paths; `[name for name, _ in net.named_modules()]` lists all of them.",
        )
    return found


def nearest(path: str, names: Sequence[str], most: int = NEAREST) -> list[str]:
    """The names most like `path`, the most alike first; where none is, the first that there are."""
    last = path.rpartition(".")[2]
    alike = difflib.get_close_matches(path, names, most, 0.5)
    alike += [n for n in names if n not in alike and n.rpartition(".")[2] == last]
    return (alike or list(names))[:most]


def replace(net: nn.Module, path: str, new: nn.Module) -> nn.Module:
    """Put `new` at `path` of `net`, in place; the module that was there comes back."""
    if not path:
        raise ModelError("the network itself cannot be replaced", got="an empty path", allowed="the path of a module in it")
    old = module(net, path)
    parent, _, name = path.rpartition(".")
    setattr(module(net, parent), name, new)  # Sequential and ModuleList take their digits this way too
    return old


def siblings(net: nn.Module, path: str) -> tuple[str, ...]:
    """`path` and the modules that stand behind it under the same parent, in the order in which they were registered.

    Only the members of a numbered family (`layer1` … `layer4`, `0` … `5`): a head beside them is not one, and a name without
    a number stands alone.
    """
    module(net, path)
    parent, _, name = path.rpartition(".")
    names = [n for n, _ in module(net, parent).named_children()]
    stem = name.rstrip("0123456789")
    family = [n for n in names[names.index(name) :] if n == name or (stem != name and n.rstrip("0123456789") == stem)]
    return tuple(f"{parent}.{n}" if parent else n for n in family)


@contextmanager
def taps(net: nn.Module, paths: Sequence[str]) -> Iterator[Taken]:
    """Listen to the outputs of the modules at `paths` while the `with` lasts.

    >>> with taps(net, ["layer1"]) as taken:  # doctest: +SKIP
    ...     answer, features = net(pictures), taken["layer1"]
    """
    taken = Taken(paths)
    with ExitStack() as stack:
        for path in taken:
            handle = module(net, path).register_forward_hook(partial(_keep, taken, path))
            stack.callback(handle.remove)
        try:
            yield taken
        finally:
            taken.forget()


class _Enough(BaseException):
    """Every path has given; not an Exception, so that no `except` of a person's forward takes it."""


def gathered(net: nn.Module, paths: Sequence[str], *inputs: Any) -> dict[str, Tensor]:
    """The outputs of the modules at `paths` for `inputs`; `net` runs no further than the last of them.

    Of a module that is called again after all have given, the earlier output.
    """

    def enough(_module: nn.Module, _inputs: tuple[Any, ...], _output: Any) -> None:
        if taken.complete:
            raise _Enough

    with taps(net, paths) as taken, ExitStack() as stack:
        for path in taken:
            stack.callback(module(net, path).register_forward_hook(enough).remove)
        with suppress(_Enough):
            net(*inputs)
        return dict(taken)


def _keep(taken: Taken, path: str, _module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
    taken.keep(path, output)
