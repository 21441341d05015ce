"""The kernel's links as commands: recorded, not run, where this kernel has no netem; and the choice between all kinds."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import pytest

from edgewise.core.errors import LinkError
from edgewise.core.link import Link, Trace
from edgewise.net.links import choose, namespaces, netem
from edgewise.net.links.choose import KINDS
from edgewise.net.links.namespaces import Pair

SLOW = Link("slow", rate_up=2e6, rate_down=8e6, delay=0.05, loss=0.015)
TRACE = Link("trace", trace_up=Trace((0.0,), (1e6,), 1.0))
PAIR = Pair(7, "0a1b2c3d")


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are only recorded here, so any user may."""
    monkeypatch.setattr(namespaces, "obstacle", lambda *programs: None)
    monkeypatch.setattr(namespaces, "remove_stale", list)


def words(commands: Sequence[Sequence[str]]) -> list[str]:
    return [" ".join(c) for c in commands]


def test_the_commands_that_make_a_pair() -> None:
    assert words(netem.making(PAIR)) == [
        "ip netns add edgewise-7-0a1b2c3d-device",
        "ip netns add edgewise-7-0a1b2c3d-edge",
        "ip -n edgewise-7-0a1b2c3d-device link set lo up",
        "ip -n edgewise-7-0a1b2c3d-edge link set lo up",
        "ip link add ew0a1b2c3dd netns edgewise-7-0a1b2c3d-device type veth peer name ew0a1b2c3de netns edgewise-7-0a1b2c3d-edge",
        "ip -n edgewise-7-0a1b2c3d-device link set ew0a1b2c3dd gso_max_segs 1",
        "ip -n edgewise-7-0a1b2c3d-edge link set ew0a1b2c3de gso_max_segs 1",
        "ip -n edgewise-7-0a1b2c3d-device link set ew0a1b2c3dd addrgenmode none",
        "ip -n edgewise-7-0a1b2c3d-device address add 10.77.0.1/30 dev ew0a1b2c3dd",
        "ip -n edgewise-7-0a1b2c3d-device link set ew0a1b2c3dd mtu 1500 up",
        "ip -n edgewise-7-0a1b2c3d-edge link set ew0a1b2c3de addrgenmode none",
        "ip -n edgewise-7-0a1b2c3d-edge address add 10.77.0.2/30 dev ew0a1b2c3de",
        "ip -n edgewise-7-0a1b2c3d-edge link set ew0a1b2c3de mtu 1500 up",
    ]


def test_the_commands_that_shape_it() -> None:
    device = "tc -n edgewise-7-0a1b2c3d-device qdisc replace dev ew0a1b2c3dd root"
    edge = "tc -n edgewise-7-0a1b2c3d-edge qdisc replace dev ew0a1b2c3de root"
    assert words(netem.shaping(PAIR, SLOW, "netem")) == [
        f"{device} netem limit 41 delay 50000us loss 1.5% rate 2000000bit",
        f"{edge} netem limit 100 delay 50000us loss 1.5% rate 8000000bit",
    ]
    assert words(netem.shaping(PAIR, Link("l", rate_up=2e6, rate_down=8e6), "tbf", 60_000)) == [
        f"{device} tbf rate 2000000bit burst 3028 limit 60000",
        f"{edge} tbf rate 8000000bit burst 5000 limit 60000",
    ]


def test_a_dead_direction_loses_everything_for_netem_knows_no_rate_of_zero() -> None:
    assert " ".join(netem.shape(Link("l", rate_up=0.0), True, "netem")) == "netem limit 33 loss 100%"
    assert "rate" not in netem.shape(Link("l", rate_up=math.inf), True, "netem")


@pytest.mark.usefixtures("as_root")
def test_a_link_is_made_shaped_and_shaped_again() -> None:
    run: list[list[str]] = []
    with netem.KernelLink.open(SLOW, run=lambda c: run.append(list(c))) as link:
        first = len(run)
        assert run == netem.making(link.pair) + netem.shaping(link.pair, SLOW, "netem")
        link.set_link(Link("fast", rate_up=1e9))
        assert run[first:] == netem.shaping(link.pair, link.link, "netem")
        with pytest.raises(LinkError, match="follows no trace"):
            link.set_link(TRACE)
        assert link.link.name == "fast", "what was refused is not said to be there"


@pytest.mark.usefixtures("as_root")
def test_the_probe_says_what_the_kernel_says() -> None:
    def kernel(command: Sequence[str]) -> None:
        if command[0] == "tc":
            raise LinkError("`tc` failed", got="Error: Specified qdisc kind is unknown.")

    said = netem.probe(run=kernel)
    assert said == "this kernel has no netem; it says: Error: Specified qdisc kind is unknown."
    assert netem.probe(run=lambda c: None) is None
    with pytest.raises(LinkError, match="qdisc kind is unknown"):
        netem.KernelLink.open(SLOW, run=kernel)


def test_without_root_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs root" in (netem.probe() or "")
    assert "needs root" in (choose.probe("tun") or "")
    with pytest.raises(LinkError, match="needs root"):
        netem.KernelLink.open(SLOW)
    assert choose.choose(SLOW).kind == "proxy"


def test_the_best_kind_is_chosen_and_says_why_it_is_no_better_one() -> None:
    def only(*kinds: str):  # type: ignore[no-untyped-def]
        return lambda kind: None if kind in kinds else f"no {kind} today."

    assert choose.choose(SLOW, probe=only(*KINDS)) == choose.Choice("netem", "")
    without = choose.choose(SLOW, probe=only("tbf", "tun", "proxy"))
    assert without.kind == "tun"
    assert "no netem today" in without.why and "tbf has a rate alone" in without.why
    assert choose.choose(Link("l", rate_up=1e6, rate_down=1e6), probe=only("tbf", "tun")).kind == "tbf"
    assert choose.choose(TRACE, probe=only(*KINDS)).kind == "tun"
    assert choose.choose(SLOW, probe=only("proxy")).kind == "proxy"
    with pytest.raises(LinkError, match="no tun today"):
        choose.choose(SLOW, ("tun",), probe=only("proxy"))
    assert "allowed: netem" in (choose.probe("carrier pigeon") or "")


async def test_a_proxy_path_has_the_face_of_the_others() -> None:
    from bench.links import measure

    async with choose.opened(Link("l", rate_up=8e6, rate_down=8e6, delay=0.005), ("proxy",)) as path:
        got = await measure(path, seconds=0.2, pings=5)
        assert path.kind == "proxy" and got.packets == 0
        assert min(got.round_trips) >= 0.01
        assert got.goodput <= 1.2 * 8e6
        path.set_link(Link("l", rate_up=8e8, rate_down=8e8))
        assert (await measure(path, seconds=0.02, pings=5)).goodput > 1.2 * 8e6
