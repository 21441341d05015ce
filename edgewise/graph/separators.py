"""Sets of tensors that separate a graph: what lies behind depends on the inputs only through them.

A partition puts operators in *front* (with everything that they need) and *behind* (with everything that needs them); the
tensors that are written in front and read behind are the separator. Sets of operators are Python integers used as bit
masks, so that a test is a few machine words.

Found completely: every single tensor that separates, and every set of at most `largest` tensors between two neighbouring
full cuts (single tensors with every output behind them), where at most `_MOST` partitions exist; since every partition
lies between two such cuts, this is everything in most networks. Where there are more (many parallel branches: their
number is a product) only canonical ones are listed: for each tensor the partition with the least in front and the one
with the least behind, and those of the order in which the model is written.

Of the sets that leave some output in front, those are left out that fall apart into unrelated cuts of different branches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgewise.core.graph import Graph

_MOST = 3000


class Reach:
    """Who reaches whom in a graph, as bit masks over the indices of operators."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        operators = graph.operators
        self.all = (1 << len(operators)) - 1
        self.maker = {t: i for i, o in enumerate(operators) for t in o.outputs}
        self.users: dict[str, int] = dict.fromkeys(graph.tensors, 0)
        for i, o in enumerate(operators):
            for t in o.inputs:
                self.users[t] |= 1 << i
        self.before = [_union(1 << self.maker[t] for t in o.inputs if t in self.maker) for o in operators]
        self.after = [_union(self.users[t] for t in o.outputs) for o in operators]
        self.above = [0] * len(operators)  # what operator i needs, itself among them
        for i in range(len(operators)):
            self.above[i] = 1 << i | _union(self.above[j] for j in bits(self.before[i]))
        self.below = [0] * len(operators)  # what needs operator i, itself among them
        for i in reversed(range(len(operators))):
            self.below[i] = 1 << i | _union(self.below[j] for j in bits(self.after[i]))
        self.closing = _union(1 << self.maker[t] for t in graph.outputs if t in self.maker)

    def front(self, tensors: Iterable[str]) -> int:
        """The operators that these tensors need."""
        return _union(self.above[self.maker[t]] for t in tensors if t in self.maker)

    def users_and_below(self, tensor: str) -> int:
        """The operators that need this tensor."""
        return _union(self.below[i] for i in bits(self.users[tensor]))

    def crossing(self, behind: int) -> frozenset[str]:
        """The tensors that a set of operators reads and does not write."""
        operators = self.graph.operators
        return frozenset(
            t for i in bits(behind) for t in operators[i].inputs if t not in self.maker or not behind >> self.maker[t] & 1
        )

    def behind(self, tensors: frozenset[str]) -> int:
        """Most that can lie behind `tensors`: operators that read nothing else, with everything that needs them."""
        found, smaller = -1, self.all & ~self.front(tensors)
        while smaller != found:
            found = smaller
            for i, o in enumerate(self.graph.operators):
                if not all(t in tensors or (t in self.maker and smaller >> self.maker[t] & 1) for t in o.inputs):
                    smaller &= ~(1 << i)
            for i in reversed(range(len(self.graph.operators))):
                if self.after[i] & ~smaller:
                    smaller &= ~(1 << i)
        return found

    def separates(self, tensors: frozenset[str]) -> bool:
        """Whether something lies behind `tensors`, and needs all of them and nothing else."""
        behind = self.behind(tensors)
        return behind != 0 and self.crossing(behind) == tensors

    def full(self, behind: int) -> bool:
        """Whether every output of the graph lies behind."""
        return self.closing & ~behind == 0


def bits(mask: int) -> Iterator[int]:
    """The indices of the bits that are set, from the lowest."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def separators(graph: Graph, largest: int) -> dict[frozenset[str], int]:
    """Each separator that the module's text promises, with the operators behind it; none of inputs alone."""
    reach = Reach(graph)
    found: dict[frozenset[str], int] = {}
    chain: list[int] = []  # what lies behind each full single cut, in order
    for operator in graph.operators:
        for t in operator.outputs:
            single = frozenset((t,))
            behind = reach.behind(single)
            if behind and reach.crossing(behind) == single:
                found[single] = behind
                if reach.full(behind):
                    chain.append(behind)
    if largest > 1:
        for above, below in zip([reach.all, *chain], [*chain, 0], strict=True):
            for behind in _partitions(reach, above, below):
                _consider(reach, behind, largest, found)
    return found


def _consider(reach: Reach, behind: int, largest: int, found: dict[frozenset[str], int]) -> None:
    tensors = reach.crossing(behind)
    if not 1 < len(tensors) <= largest or tensors in found or not any(t in reach.maker for t in tensors):
        return
    if reach.full(behind) or (behind == reach.behind(tensors) and _connected(reach, behind)):
        found[tensors] = behind


def _partitions(reach: Reach, above: int, below: int) -> Iterator[int]:
    """What may lie behind a cut between two neighbouring full cuts, behind which lie `above` and `below`."""
    segment = above & ~below
    seen, queue = {above}, [above]
    for behind in queue:
        for i in bits(behind & segment):
            if not reach.before[i] & behind:  # all that it needs is in front already: it can be the next in front
                further = behind & ~(1 << i)
                if further not in seen:
                    seen.add(further)
                    queue.append(further)
        if len(queue) > _MOST:
            return _canonical(reach, above, below)
    return iter(queue)


def _canonical(reach: Reach, above: int, below: int) -> Iterator[int]:
    segment = above & ~below
    written = above
    for i in bits(segment):
        yield above & ~reach.above[i]
        yield reach.below[i] | below
        for t in reach.graph.operators[i].outputs:
            yield reach.users_and_below(t) | below
        written &= ~(1 << i)
        yield written


def _connected(reach: Reach, behind: int) -> bool:
    """Whether the operators behind hang together by tensors that they share."""
    operators = reach.graph.operators
    grown = behind & -behind
    while True:
        tensors = {t for i in bits(grown) for t in (*operators[i].inputs, *operators[i].outputs)}
        wider = _union(reach.users[t] | (1 << reach.maker[t] if t in reach.maker else 0) for t in tensors) & behind
        if wider | grown == grown:
            return grown == behind
        grown |= wider


def _union(masks: Iterable[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found
