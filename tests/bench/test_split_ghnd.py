"""What the benchmark of HND and GHND counts: bytes of a socket, published codes exactly, targets that can be missed."""

import numpy as np

from bench.split_ghnd import better, exact, near, small
from bench.split_ways import SIDES, Way, Wire
from edgewise.core.placement import Quality
from edgewise.core.wire import socket_bytes


def by(**tasks: float) -> dict[str, Quality]:
    return {task: Quality(value, value - 0.01, value + 0.01, 30) for task, value in tasks.items()}


def way(size: int) -> Way:
    return Way("a way", (size, size), ())


def test_a_payload_comes_whole_and_counts_as_on_a_socket() -> None:
    wire = Wire()
    for size in (0, 1, 5000, 400_000):
        payload = np.random.default_rng(size).bytes(size)
        assert wire.carry(payload) == (payload, socket_bytes(size))
    wire.close()


def test_the_worst_task_decides() -> None:
    assert near(way(1), by(box=-0.01, mask=0.0, points=-0.015)).met
    assert not near(way(1), by(box=0.01, mask=0.01, points=-0.016)).met


def test_a_quarter_of_jpeg_at_an_equal_score() -> None:
    jpegs = {side: {75: way(n)} for side, n in zip(SIDES, (9000, 24_000), strict=True)}
    found = {f"JPEG q75 of {side}": by(box=-0.01, mask=-0.01, points=0.0) for side in SIDES}
    assert small(way(6000), found, jpegs).met and not small(way(6001), found, jpegs).met
    low = found | {f"JPEG q75 of {SIDES[1]}": by(box=-0.02, mask=0.0, points=0.0)}
    assert not small(way(3000), low, jpegs).met


def test_ghnd_is_better_or_equal() -> None:
    assert better(by(box=0.01, mask=0.0, points=-0.005), way(1), way(1)).met
    assert not better(by(box=-0.01, mask=0.0, points=0.0), way(1), way(1)).met
    assert not better(by(box=0.05, mask=0.0, points=-0.02), way(1), way(1)).met  # one task is worse for certain


def test_tables_must_save_and_be_exact() -> None:
    assert exact({"GHND": (0.2, True), "HND": (0.45, True)}).met
    assert not exact({"GHND": (0.1, True)}).met and not exact({"GHND": (0.3, False)}).met
