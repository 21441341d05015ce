"""What the benchmark of HND and GHND counts: bytes of a socket, published codes exactly, targets that can be missed."""

import numpy as np

from bench.report import Row
from bench.split_ghnd import EQUAL, better, even, exact, near, small
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
    camera = SIDES[1]
    assert small(way(6000), found, jpegs, camera).met and not small(way(6001), found, jpegs, camera).met
    assert small(way(2250), found, jpegs, SIDES[0]).met and not small(way(2251), found, jpegs, SIDES[0]).met
    low = found | {f"JPEG q75 of {camera}": by(box=-0.02, mask=0.0, points=0.0)}
    assert not small(way(3000), low, jpegs, camera).met and small(way(2250), low, jpegs, SIDES[0]).met


def test_a_quarter_of_the_jpeg_that_scores_the_same() -> None:
    def rows(share: float) -> list[Row]:
        return [Row("a way", EQUAL, 8000.0, "bytes"), Row("a way", f"bytes of {EQUAL}", share, "")]

    assert even(way(2000), rows(0.25)).met and even(way(2080), rows(0.26)).met is False
    assert even(way(2000), []).met is None  # no JPEG has its score


def test_ghnd_is_better_or_equal_at_each_width() -> None:
    good = by(box=0.01, mask=0.0, points=-0.005)
    assert better({"8": good}).met
    assert not better({"8": good, "4": by(box=-0.01, mask=0.0, points=0.0)}).met
    assert not better({"8": by(box=0.05, mask=0.0, points=-0.02)}).met  # one task is worse for certain


def test_tables_must_save_and_be_exact() -> None:
    both = exact({"GHND": (0.2, True), "HND": (0.45, True)})
    assert both.met and "GHND -20.0%, exact" in both.got and "HND -45.0%, beyond 40%" in both.got
    assert not exact({"GHND": (0.1, True)}).met and not exact({"GHND": (0.3, False)}).met
