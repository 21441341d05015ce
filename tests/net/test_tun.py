"""The TUN link for real: what it carries, how it changes, and that nothing of it stays behind, however its owner ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.links import measure
from edgewise.core.errors import LinkError
from edgewise.core.link import Link, Trace
from edgewise.net.links import choose, namespaces, netem
from edgewise.net.links.namespaces import Pair
from edgewise.net.links.tun import TunLink
from tests.packet_links import need_tun

ROOT = Path(__file__).resolve().parents[2]
FAST = Link("fast", rate_up=1e8, rate_down=1e8)


@pytest.fixture(autouse=True)
def _tun() -> Iterator[None]:
    need_tun()
    yield


def left_of(pair: Pair) -> list[str]:
    """What the machine still has of a link."""
    names = [n for n in (pair.device, pair.edge) if (Path("/run/netns") / n).exists()]
    return names + [i for i in pair.interfaces.values() if (Path("/sys/class/net") / i).exists()]


@pytest.mark.parametrize("link", [Link("slow", 2e6, 2e6, 0.02), Link("quick", 2e7, 2e7, 0.005)], ids=lambda link: link.name)
async def test_round_trip_and_goodput_are_the_wanted_ones(link: Link) -> None:
    wanted = 2 * link.delay
    async with choose.opened(link, ("tun",)) as path:
        assert path.kind == "tun"
        for _ in range(3):  # a busy machine is no failure
            got = await measure(path, seconds=0.6)
            assert wanted <= min(got.round_trips)
            assert got.goodput / link.rate_up <= 0.98, "no more than 1448 of 1500 bytes can be ours"
            if min(got.round_trips) <= 1.25 * wanted and got.goodput / link.rate_up >= 0.8:
                return  # measured: 1.02 × 40 ms, 1.03 × 10 ms, 0.96 of the rate
    raise AssertionError(got)


async def test_packets_are_lost_as_the_link_says() -> None:
    async with choose.opened(Link("lossy", 2e7, 2e7, 0.001, loss=0.1), ("tun",), seed=5) as path:
        got = await measure(path, seconds=0.6, pings=3, packets=800)
    deviation = (0.1 * 0.9 / got.packets) ** 0.5
    assert got.loss == pytest.approx(0.1, abs=5 * deviation)


async def test_the_two_directions_are_two() -> None:
    async with choose.opened(Link("odd", rate_up=1e6, rate_down=5e7), ("tun",)) as path:
        assert (await measure(path, seconds=0.5, pings=3)).goodput < 1.1e6
        path.set_link(Link("even", rate_up=5e7, rate_down=5e7))
        assert (await measure(path, seconds=0.2, pings=3)).goodput > 5e6


def test_a_dead_phase_of_a_trace_is_waited_for_and_a_full_queue_drops() -> None:
    with TunLink.open(Link("trace", trace_up=Trace((0.0, 0.5), (0.0, 1e8), 1000.0)), queue=15_000) as link:
        with link.at_edge():
            there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            there.bind((link.edge, 0))
            there.settimeout(10)
        with link.at_device():
            here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        link.set_link(link.link)  # the trace begins now
        begun = time.monotonic()
        for _ in range(30):
            here.sendto(bytes(1400), there.getsockname())
        there.recv(2000)
        assert time.monotonic() - begun >= 0.49
        counts = link.counts()
        assert counts["up"]["overflowed"] == 30 - 15_000 // 1428
        assert counts["down"].get("packets", 0) == 0
        here.close()
        there.close()


def test_closing_leaves_nothing_and_tells_the_rest() -> None:
    link = TunLink.open(FAST)
    assert len(left_of(link.pair)) == 2
    done = subprocess.run(link.pair.words("edge", ["ip", "address"]), capture_output=True, text=True, check=True)
    assert link.edge in done.stdout
    link.close()
    assert left_of(link.pair) == []
    link.close()
    with pytest.raises(LinkError):
        link.counts()
    with pytest.raises(LinkError, match="is gone"), link.at_edge():
        pass


def test_a_link_whose_carrier_died_says_so() -> None:
    with TunLink.open(FAST) as link:
        link._carrier.kill()
        with pytest.raises(LinkError, match="carrier is gone"):
            link.counts()
    assert left_of(link.pair) == []


def test_an_owner_that_is_killed_leaves_nothing_behind() -> None:
    program = (
        "import sys, time; from edgewise.core.link import Link; from edgewise.net.links.tun import TunLink\n"
        "link = TunLink.open(Link('l')); print(link.pair.device, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert owner.stdout is not None
    with owner.stdout:
        _, number, token, _ = owner.stdout.readline().strip().split("-")
        pair = Pair(int(number), token)
        assert len(left_of(pair)) == 2
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    until = time.monotonic() + 20
    while left_of(pair) and time.monotonic() < until:
        time.sleep(0.02)
    assert left_of(pair) == []


def test_what_a_dead_process_left_is_removed_and_nothing_else() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, foreign = Pair(ended.pid, "00000001"), f"not-ours-{ended.pid}"
    for name in (dead.device, foreign):
        namespaces.command(["ip", "netns", "add", name])
    try:
        with TunLink.open(FAST) as alive:
            assert left_of(dead) == []
            assert foreign not in namespaces.remove_stale()
            assert len(left_of(alive.pair)) == 2
        assert (Path("/run/netns") / foreign).exists()
    finally:
        namespaces.command(["ip", "netns", "delete", foreign])


async def test_the_kernels_token_bucket_gives_its_rate() -> None:
    if (sentence := netem.probe("tbf")) is not None:
        pytest.skip(sentence)
    async with choose.opened(Link("bucket", 8e6, 8e6), ("tbf",)) as path:
        got = await measure(path, seconds=0.5, pings=5)
    assert got.goodput / 8e6 == pytest.approx(0.95, abs=0.15)  # measured: 0.956


async def test_netem_where_the_kernel_has_it() -> None:
    if (sentence := netem.probe()) is not None:
        pytest.skip(sentence)
    link = Link("kernel", 8e6, 8e6, 0.01, loss=0.05)
    async with choose.opened(link, ("netem",)) as path:
        got = await measure(path, seconds=1.0, packets=1000)
    assert 0.02 <= float(np.median(got.round_trips)) <= 0.03
    assert got.loss == pytest.approx(0.05, abs=0.04)


async def test_links_do_not_meet() -> None:
    async with choose.opened(FAST, ("tun",)) as one, choose.opened(FAST, ("tun",)) as two:
        got = await asyncio.gather(measure(one, 0.05, 3, 20), measure(two, 0.05, 3, 20))
    assert all(g.loss == 0 for g in got)
