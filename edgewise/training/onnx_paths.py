"""Dotted paths for the nodes of an ONNX graph, and which of them can be called as one module.

Where the exporter left the names of the torch modules, they are the paths again: in the notes of a node (`name_scopes` of
torch's newer exporter), in its name (`/backbone/dark2/dark2.0/conv/Conv`), or in those of its weights (`head.stem.0.weight`);
a node without any of these belongs where the nodes stand that it reads from. Nodes whose paths begin alike are a Group if one
tensor goes in and one comes out.

Where names are missing, the graph is still cut where a single tensor crosses: what lies between two such places, each in
front of a layer with weights or a pool, is a Group by the name of the tensor that it gives. And any stretch between two
tensors, `FIRST~LAST`, is one on demand.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from torch import nn

from edgewise.core.errors import ModelError
from edgewise.training.paths import nearest

Path = tuple[str, ...]
NOTE = "pkg.torch.onnx.name_scopes"
STRETCH = "~"
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "AveragePool")
WEIGHTS = ("weight", "bias", "gamma", "beta", "kernel", "running_mean", "running_var")


class Group(Struct, frozen=True):
    """Nodes (by number) that are one module at `path`: it takes the tensor `source` and gives `result`."""

    path: Path
    nodes: frozenset[int]
    source: str
    result: str


class Tree(Struct, frozen=True):
    """The path of each node, and the groups, of which any two are apart or one inside the other."""

    leaves: tuple[Path, ...]
    groups: tuple[Group, ...]


class Wiring:
    """Who makes and who reads the tensors of a graph; `constants` are no tensors here."""

    def __init__(self, nodes: Sequence[Any], outputs: Sequence[str], constants: Iterable[str]) -> None:
        self.nodes, self.outputs, fixed = nodes, tuple(outputs), set(constants)
        self.reads = [tuple(n for n in node.input if n and n not in fixed) for node in nodes]
        self.maker = {o: i for i, node in enumerate(nodes) for o in node.output if o}
        self.readers: dict[str, list[int]] = {}
        for i, names in enumerate(self.reads):
            for name in names:
                self.readers.setdefault(name, []).append(i)

    def group(self, path: Path, members: frozenset[int]) -> Group | None:
        """The members as a group, where one tensor goes in and one comes out."""
        sources = {n for i in members for n in self.reads[i] if self.maker.get(n) not in members}
        results = {
            o
            for i in members
            for o in self.nodes[i].output
            if o and (o in self.outputs or any(r not in members for r in self.readers.get(o, ())))
        }
        if len(sources) != 1 or len(results) != 1 or len(members) < 2:
            return None
        return Group(path, members, sources.pop(), results.pop())

    def above(self, tensor: str) -> frozenset[int]:
        """The nodes that a tensor needs."""
        found: set[int] = set()
        waiting = [tensor]
        while waiting:
            i = self.maker.get(waiting.pop())
            if i is not None and i not in found:
                found.add(i)
                waiting += self.reads[i]
        return frozenset(found)


def tree(wiring: Wiring, cut: str = "") -> Tree:
    """Paths and groups of a graph; with a stretch as `cut`, that one too, and no group that it would cross."""
    scopes = _scopes(wiring)
    groups: list[Group] = []
    if STRETCH in cut:
        groups.append(stretch(wiring, cut))
    prefixes = dict.fromkeys(scope[:n] for scope in scopes for n in range(1, len(scope) + 1))
    for prefix in prefixes:
        found = wiring.group(prefix, frozenset(i for i, s in enumerate(scopes) if s[: len(prefix)] == prefix))
        if found:
            groups.append(found)
    groups += _stages(wiring, scopes)
    kept: list[Group] = []
    for one in groups:  # the stretch comes first: what would cross it goes
        if all(one.nodes != k.nodes and _apart(one.nodes, k.nodes) for k in kept):
            kept.append(one)
    kept = _renamed(kept)
    return Tree(_leaves(wiring, scopes, kept), tuple(kept))


def stretch(wiring: Wiring, cut: str) -> Group:
    """The nodes between two tensors, `FIRST~LAST`."""
    first, _, last = cut.partition(STRETCH)
    known = [*wiring.readers, *wiring.maker]
    for name in (first, last):
        if name not in known:
            raise ModelError(
                "the model has no such tensor",
                got=repr(name),
                allowed=", ".join(nearest(name, known)),
                hint="These are the nearest.",
            )
    found = wiring.group(words(cut), wiring.above(last) - wiring.above(first))
    if found is None or found.source != first or found.result != last:
        raise ModelError(
            "the nodes between two tensors are no single module",
            got=cut,
            allowed="a stretch into which only the first tensor goes, and from which only the last is used",
        )
    return found


def _scopes(wiring: Wiring) -> list[Path]:
    """For each node the path of the module that it stands in, () where nothing tells."""
    roots: dict[str, Path] = {}  # what a tracer leaves out: modules that hold others and are not called themselves
    for node in wiring.nodes:
        scope, named = _noted(node), _weighted(node)
        if scope and named and named[-len(scope) :] == scope:
            roots[scope[0]] = named[: -len(scope)]
    found: list[Path] = []
    leaf: list[bool] = []  # whether the path is that of a layer by its weights: what follows stands beside it, not in it
    for i, node in enumerate(wiring.nodes):
        noted = _noted(node)
        weights = None if noted is not None else _weighted(node)
        if noted is None and weights is None:
            before = [
                found[m] if not leaf[m] else found[m][:-1]
                for m in (wiring.maker.get(n) for n in wiring.reads[i])
                if m is not None
            ]
            noted = _common(before)
        if noted and _noted(node):
            noted = roots.get(noted[0], ()) + noted
        found.append(noted if noted is not None else weights or ())
        leaf.append(weights is not None)
    return found


def _noted(node: Any) -> Path | None:
    for note in node.metadata_props:
        if note.key == NOTE:
            scopes = [s for s in ast.literal_eval(note.value)[:-1] if s]
            return words(scopes[-1]) if scopes else ()
    parts = [p for p in node.name.split("/") if p]
    if "/" not in node.name:
        return None
    path: list[str] = []
    for before, part in zip([None, *parts], parts[:-1]):
        path.append(part.removeprefix(f"{before}."))
    return words(".".join(path)) if path else ()


def _weighted(node: Any) -> Path | None:
    for name in node.input[1:]:
        path, dot, last = name.rpartition(".")
        if dot and last in WEIGHTS and ":" not in name:
            return words(path)
    return None


def words(name: str) -> Path:
    """A dotted name as a path that torch takes: no part is empty or the name of something that every module has."""
    return tuple(part + "_" if not part or hasattr(nn.Module, part) else part for part in name.split("."))


def _common(paths: Sequence[Path]) -> Path:
    shared = paths[0] if paths else ()
    for path in paths[1:]:
        while path[: len(shared)] != shared:
            shared = shared[:-1]
    return shared


def _stages(wiring: Wiring, scopes: Sequence[Path]) -> list[Group]:
    """Groups between single tensors that cross, among nodes without a path."""
    last = {name: max(readers) for name, readers in wiring.readers.items()} | dict.fromkeys(wiring.outputs, len(wiring.nodes))
    open_: set[str] = {n for n in wiring.readers if n not in wiring.maker}
    found: list[Group] = []
    begun = 0
    for i, node in enumerate(wiring.nodes):
        open_ = {n for n in open_ if last[n] > i} | {o for o in node.output if last.get(o, -1) > i}
        if len(open_) != 1:
            continue
        (name,) = open_
        if name in node.output and any(wiring.nodes[r].op_type in LAYERS for r in wiring.readers.get(name, ())):
            members = frozenset(range(begun, i + 1))
            one = wiring.group(words(name), members) if all(not scopes[m] for m in members) else None
            if one:
                found.append(one)
            begun = i + 1
    return found


def _apart(a: frozenset[int], b: frozenset[int]) -> bool:
    return not a & b or a <= b or b <= a


def _renamed(groups: Sequence[Group]) -> list[Group]:
    """What stands in a group has a path below it; no path leads through a group that it is not part of; no two are the same."""
    below: dict[frozenset[int], Path] = {}
    for one in sorted(groups, key=lambda g: -len(g.nodes)):
        around = min((g for g in groups if one.nodes < g.nodes), key=lambda g: len(g.nodes), default=None)
        over = below[around.nodes] if around else ()
        below[one.nodes] = one.path if one.path[: len(over)] == over else over + one.path
    groups = [Group(below[g.nodes], g.nodes, g.source, g.result) for g in groups]
    taken: dict[Path, frozenset[int]] = {}
    found = []
    paths = [g.path for g in groups]
    for one in groups:
        path = one.path
        through = [g for g in groups if g is not one and g.path[: len(path)] == path and not g.nodes < one.nodes]
        while path in taken or (path != one.path and path in paths) or (through and path == one.path):
            path = (*path[:-1], path[-1] + "_")
        taken[path] = one.nodes
        found.append(Group(path, one.nodes, one.source, one.result))
    return found


def _leaves(wiring: Wiring, scopes: Sequence[Path], groups: Sequence[Group]) -> tuple[Path, ...]:
    """The path of each node: its scope where it stands there alone, else below, by its operator or the tensor that it gives."""
    counts: dict[Path, int] = {}
    for scope in scopes:
        for n in range(len(scope) + 1):
            counts[scope[:n]] = counts.get(scope[:n], 0) + 1
    taken: set[Path] = set()
    paths = {g.path for g in groups}
    found = []
    for i, (node, scope) in enumerate(zip(wiring.nodes, scopes)):
        inside = min((g for g in groups if i in g.nodes), key=lambda g: len(g.nodes), default=None)
        base = inside.path if inside and (not scope or scope[: len(inside.path)] != inside.path) else scope
        given = next(o for o in node.output if o)
        if scope and counts[scope] == 1 and base == scope:
            path = scope
        elif scope:
            path = (*base, node.op_type)
        else:
            path = (*base, given.replace(".", "_")) if base else words(given)
        number, wanted = 1, path
        while path in taken or path in paths or any(p[: len(path)] == path for p in paths):
            number += 1
            path = (*wanted[:-1], f"{wanted[-1]}_{number}")
        taken.add(path)
        found.append(path)
    return tuple(_unhidden(found))


def _unhidden(leaves: Sequence[Path]) -> list[Path]:
    """A leaf's path is no part of another's."""
    through = {path[:n] for path in leaves for n in range(1, len(path))}
    return [path if path not in through else (*path[:-1], path[-1] + "_") for path in leaves]
