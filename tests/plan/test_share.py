"""One option for each device under a shared budget: HiGHS against brute force on tiny cases."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.cost import Budget, Cost, PerSite
from edgewise.core.errors import BudgetError, ConfigError
from edgewise.plan.choose import Option
from edgewise.plan.share import choose_many


def option(name: str, quality: float | None, edge: float, size: float, energy: float | None = 1.0) -> Option:
    return Option(name, Cost(latency=0.1, bytes_up=size, busy=PerSite(edge=edge), energy=PerSite(energy)), quality)


figures = st.integers(0, 20).map(lambda i: i / 20)
rows = st.tuples(figures, figures, st.integers(0, 20).map(float))
tables = st.lists(st.lists(rows, min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=60)
@given(
    tables,
    st.lists(st.integers(1, 4).map(float), min_size=3, max_size=3),
    st.integers(0, 60).map(float),
    st.integers(1, 60).map(lambda i: i / 20),
)
def test_the_joint_choice_is_that_of_brute_force(
    drawn: list[list[tuple[float, float, float]]], rates: list[float], most: float, share: float
) -> None:
    table = {f"d{i}": [option(f"o{j}", *row) for j, row in enumerate(options)] for i, options in enumerate(drawn)}
    by_device = dict(zip(table, rates))
    budget = Budget.parse(f"bytes_up<={most}/s")
    best = -math.inf
    for combination in itertools.product(*table.values()):
        pairs = list(zip(by_device.values(), combination))
        if (
            math.fsum(r * o.cost.bytes_up for r, o in pairs) <= most
            and math.fsum(r * (o.cost.busy.edge or 0) for r, o in pairs) <= share
        ):
            best = max(best, math.fsum(r * (o.quality or 0) for r, o in pairs))
    if best == -math.inf:
        with pytest.raises(BudgetError, match="no joint choice"):
            choose_many(table, budget, by_device, edge_share=share)
        return
    shared = choose_many(table, budget, by_device, edge_share=share)
    assert shared.total == pytest.approx(best, abs=1e-9)
    assert [g.device for g in shared.given] == list(table)
    assert shared.used["time of the edge server"] <= share
    assert all(used <= most for name, used in shared.used.items() if name.startswith("bytes_up"))


def test_two_cameras_at_one_server() -> None:
    """Both would rather send pictures; the server has time for one of them."""
    options = [option("picture", 0.9, 0.06, 20e3), option("split", 0.85, 0.03, 5e3), option("local", 0.5, 0.0, 0.0)]
    table = {"north": options, "south": options}
    assert {g.option for g in choose_many(table, Budget(), {"north": 8, "south": 8}).given} == {"picture"}
    mixed = choose_many(table, Budget(), {"north": 8, "south": 8}, edge_share=0.75)
    assert sorted(g.option for g in mixed.given) == ["picture", "split"]
    least = choose_many(table, Budget.parse("quality>=0.8"), {"north": 8, "south": 8}, "bytes_up")
    assert {g.option for g in least.given} == {"split"}


def test_a_day_s_bound_is_shared_and_an_item_s_is_each_one_s() -> None:
    table = {d: [option("rich", 0.9, 0.0, 1000.0), option("lean", 0.5, 0.0, 100.0)] for d in ("a", "b")}
    shared = choose_many(table, Budget.parse("bytes_up<=100MB/day"))  # 1,157 bytes a second for both
    assert sorted(g.option for g in shared.given) == ["lean", "rich"]
    each = choose_many(table, Budget.parse("bytes_up<=500"))
    assert [g.option for g in each.given] == ["lean", "lean"]
    assert [(r.device, r.option) for r in each.rejected] == [("a", "rich"), ("b", "rich")]


def test_what_is_unknown_is_in_no_joint_choice() -> None:
    table = {"a": [option("dark", 0.9, 0.0, 1.0, energy=None), option("seen", 0.5, 0.0, 1.0)]}
    shared = choose_many(table, Budget.parse("device_energy<=5J/s"))
    assert shared.given[0].option == "seen" and "unknown" in shared.rejected[0].why
    with pytest.raises(BudgetError, match="no option of a fits"):
        choose_many({"a": [option("dark", None, 0.0, 1.0)]}, Budget())


def test_why_no_joint_choice_fits() -> None:
    table = {d: [option("only", 0.9, 0.4, 10.0)] for d in ("a", "b", "c")}
    with pytest.raises(BudgetError, match=r"leanest options take 1\.2 a second of time of the edge server"):
        choose_many(table, Budget())
    with pytest.raises(ConfigError, match="rate above 0"):
        choose_many(table, Budget(), {"a": 0.0})
