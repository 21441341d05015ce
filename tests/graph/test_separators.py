"""Cuts are found completely: against every partition of small graphs, drawn at random and enumerated one by one."""

import itertools
import random

import pytest

from edgewise.core.graph import Graph, Operator, Tensor
from edgewise.graph.count import graph_of
from edgewise.graph.cut import cuts
from edgewise.graph.load import load
from edgewise.graph.separators import Reach, separators
from tests.zoo import ZOO


def random_graph(seed: int, n: int, outputs: int) -> Graph:
    """`n` operators of one or two inputs each, drawn from what is there; those that no output needs are left out."""
    rng = random.Random(seed)
    names = ["x0", "x1"][: rng.choice((1, 1, 2))]
    inputs = tuple(names)
    reads: dict[str, tuple[str, ...]] = {}
    for i in range(n):
        reads[f"t{i}"] = tuple(dict.fromkeys(rng.choice(names[-4:]) for _ in range(rng.choice((1, 1, 2)))))
        names.append(f"t{i}")
    wanted = tuple(names[-outputs:])
    needed = set(wanted)
    for t in reversed(list(reads)):
        needed |= set(reads[t]) if t in needed else set()
    operators = tuple(Operator(t, "Op", r, (t,)) for t, r in reads.items() if t in needed)
    inputs = tuple(x for x in inputs if x in needed)
    tensors = {t: Tensor(t, "float32", (1, 1)) for t in (*inputs, *(t for o in operators for t in o.outputs))}
    return Graph("random", operators, inputs, wanted, tensors)


def depends_only_through(graph: Graph, tensors: frozenset[str], output: str) -> bool:
    """Walking back from `output`, does one meet `tensors`, and no input besides them?"""
    maker = {t: o for o in graph.operators for t in o.outputs}
    waiting, met = [output], False
    while waiting:
        t = waiting.pop()
        if t in tensors:
            met = True
        elif t in graph.inputs:
            return False
        else:
            waiting += maker[t].inputs
    return met


def by_hand(graph: Graph, largest: int) -> dict[frozenset[str], int]:
    """Every separator, from every set of operators that is closed under what they feed; the widest for each separator."""
    n = len(graph.operators)
    position = {t: i for i, o in enumerate(graph.operators) for t in o.outputs}
    found: dict[frozenset[str], int] = {}
    for members in itertools.product((False, True), repeat=n):
        behind = {i for i in range(n) if members[i]}
        if not behind or any(
            i in behind and j not in behind
            for j, o in enumerate(graph.operators)
            for t in o.inputs
            if t in position
            for i in (position[t],)
        ):
            continue
        crossing = frozenset(t for i in behind for t in graph.operators[i].inputs if position.get(t) not in behind)
        if len(crossing) <= largest and any(t in position for t in crossing):
            mask = sum(1 << i for i in behind)
            found[crossing] = max(found.get(crossing, 0), mask, key=int.bit_count)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_every_cut_is_found_and_no_other(seed: int) -> None:
    graph = random_graph(seed, n=9, outputs=1 + seed % 3)
    reach = Reach(graph)
    every = by_hand(graph, largest=3)
    found = separators(graph, largest=3)
    assert found.items() <= every.items()
    singles = {s for s in every if len(s) == 1}
    assert {s for s in found if len(s) == 1} == singles
    full = {s for s, behind in every.items() if reach.full(behind)}
    assert {s for s, behind in found.items() if reach.full(behind)} == full
    for left in every.keys() - found.keys():  # what is left out falls apart into cuts that are found
        assert any(part < left for part in every)
    for tensors, behind in found.items():
        for i, operator in enumerate(graph.operators):
            for output in set(operator.outputs) & set(graph.outputs):
                if behind >> i & 1:
                    assert depends_only_through(graph, tensors, output)


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_has_the_cuts_that_its_builders_know(name: str) -> None:
    known = {"plain": 14, "transformer": 7, "detector": 18, "two_inputs": 2}
    skips = {"resnet", "bottleneck", "mobilenet", "densenet", "unet", "squeeze_excite", "shufflenet", "inception"}
    found = cuts(graph_of(load(ZOO[name]().SerializeToString())))
    if name in known:
        assert sum(len(c.tensors) == 1 for c in found) == known[name]
    if name in skips:
        assert any(len(c.tensors) > 1 for c in found)
    assert len({c.tensors for c in found}) == len(found)
    assert all(set(c.head).isdisjoint(c.tail) for c in found)


def test_many_branches_stay_bounded() -> None:
    """Ten branches of four operators: 4¹⁰ partitions exist; the canonical ones come back, each a separator."""
    operators, joined = [Operator("stem", "Op", ("x",), ("s",))], []
    for b in range(10):
        operators += [Operator(f"o{b}{i}", "Op", (f"b{b}{i - 1}" if i else "s",), (f"b{b}{i}",)) for i in range(4)]
        joined.append(f"b{b}3")
    operators.append(Operator("join", "Op", tuple(joined), ("y",)))
    tensors = {t: Tensor(t, "float32", (1, 1)) for t in ("x", *(t for o in operators for t in o.outputs))}
    graph = Graph("wide", tuple(operators), ("x",), ("y",), tensors)
    found = separators(graph, largest=11)
    reach = Reach(graph)
    assert frozenset(("s",)) in found
    assert frozenset(joined) in found
    assert frozenset(("s", "b00")) in found
    assert all(reach.crossing(behind) == s for s, behind in found.items())
