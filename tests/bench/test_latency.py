"""The latency benchmark measures at least twelve models and parts, none of which calibration draws."""

from itertools import islice

from bench.latency import cases
from edgewise.core.graph import Graph
from edgewise.graph.count import graph_of
from edgewise.runtime.probes import ROUND, probes


def shape(graph: Graph) -> tuple[object, ...]:
    return tuple((o.kind, o.shape_in, o.shape_out) for o in graph.operators)


def test_cases_are_many_and_unseen() -> None:
    found = list(cases(quick=True))
    names = [c.name for c in found]
    assert len(set(names)) == len(names) >= 12
    assert sum(", head of " in n for n in names) == sum(", tail of " in n for n in names) >= 12
    seen = {shape(graph_of(m)) for m in islice(probes(1, 2e7), 2 * sum(times for _, times in ROUND))}
    assert not seen & {shape(c.graph) for c in found}
