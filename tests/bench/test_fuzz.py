"""100,000 hostile cases at all borders, none of which may crash, hang or hoard; what was found before; and the finder itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from random import Random

import pytest

from bench import fuzz as fuzzing
from bench.fuzz import BLOCK, Outcome, fuzz, fuzz_all
from bench.mutation import LARGEST, mutated
from bench.requests import request, whole
from bench.targets import SHARES, made
from bench.wire_targets import FRAMES, sealed
from edgewise.core.errors import ConfigError, EdgewiseError, FrameError
from edgewise.net.frame import decode

CASES = 100_000


@pytest.mark.parametrize("target", SHARES)
def test_a_border_holds(target: str) -> None:
    outcome = fuzz(target, round(CASES * SHARES[target]), seed=2026)
    assert outcome.sound, outcome
    assert outcome.taken > 0.01 * outcome.cases, "some must be valid, or only the first check was ever reached"
    assert outcome.refused > 0.3 * outcome.cases


def test_the_shares_are_all_of_it() -> None:
    assert sum(SHARES.values()) == pytest.approx(1.0)
    assert round(sum(round(CASES * share) for share in SHARES.values())) == CASES


SURROGATE = whole(*request("POST", "/rollouts", b"{}", "Sec-Fetch-Site: same-origin")).replace(
    b"127.0.0.1", b"127.0.0.1\r\nOrigin: \xff", 1
)
KEY = "Sec-WebSocket-Key: " + "A" * 10 + "\xe9" * 12 + "=="
UPGRADE = request("GET", "/link", None, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")[0]
BLANK = b"bytes_up<=2" + b"\n" * 4000


@pytest.mark.parametrize(
    ("target", "which", "data"),
    [
        ("config", 0, BLANK),  # took seconds
        ("config", 0, b"p" + b"9" * 400 + b" latency<=1s"),
        ("config", 2, b"a = " + b"[" * 5000),
        ("config", 3, b'name = "l"\nsource = "s"\ntrace_up = "' + b"x" * 300 + b'"\n'),
        ("config", 5, b'{"a":' * 3000),
        ("config", 7, b"time_s,rate_mbit_s\n,\n"),
        ("http", 0, whole(*request("POST", "/report/status", b'{"node":"\xff","connected":true}'))),
        ("http", 0, whole(*request("POST", "/report/status", b'{"node":' + b"[" * 3000))),
        ("http", 0, whole(*request("POST", "/rollouts", b'{"a":' * 3000))),
        ("http", 1, SURROGATE),
        ("http", 0, UPGRADE + b"\r\n" + KEY.encode("latin-1") + b"\r\n\r\n"),
    ],
)
def test_what_was_found_is_mended(target: str, which: int, data: bytes) -> None:
    border = made(target)
    try:
        border.begin()
        began = time.process_time()
        try:
            assert border.feed(which, data) is False
        except EdgewiseError as error:
            assert len(str(error)) < 2000
        assert time.process_time() - began < fuzzing.SECONDS
    finally:
        border.close()


class Faulty:
    """A border that is none: it does `harm` at every hundredth case."""

    def __init__(self, harm: Callable[[], object]) -> None:
        self.harm = harm

    def begin(self) -> None:
        self.seen = 0

    def draw(self, random: Random) -> tuple[int, bytes]:
        return 0, random.randbytes(4)

    def feed(self, which: int, data: bytes) -> bool:
        self.seen += 1
        if self.seen % 100 == 0:
            self.harm()
        if self.seen % 50 == 0:
            raise FrameError("refused")
        return True

    def close(self) -> None: ...


def harmed(monkeypatch: pytest.MonkeyPatch, harm: Callable[[], object], cases: int, first: int = 0) -> Outcome:
    monkeypatch.setattr(fuzzing, "made", lambda name: Faulty(harm))
    return fuzz("faulty", cases, 1, first)


def test_a_crash_is_found_and_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash() -> None:
        raise ValueError("a bug")

    outcome = harmed(monkeypatch, crash, 2 * BLOCK)
    assert (outcome.crashes, outcome.hangs, outcome.sound) == (4, 0, False)
    (found,) = outcome.findings
    assert "ValueError" in found.sentence and "a bug" in found.sentence
    assert harmed(monkeypatch, crash, BLOCK, found.block).findings == outcome.findings


def test_a_hang_is_ended_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang() -> None:
        while True:
            with contextlib.suppress(Exception):
                time.process_time()

    monkeypatch.setattr(fuzzing, "SECONDS", 0.05)
    outcome = harmed(monkeypatch, hang, 120)
    assert (outcome.crashes, outcome.hangs, outcome.sound) == (0, 1, False)


def test_what_is_held_on_to_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bytes] = []
    outcome = harmed(monkeypatch, lambda: held.append(b"x" * (16 << 20)), 4 * BLOCK)
    assert outcome.grown > fuzzing.MOST_MEMORY
    assert outcome.crashes == outcome.hangs == 0 and not outcome.sound


def test_a_seed_says_which_cases() -> None:
    def cases(seed: int) -> list[bytes]:
        random = Random(seed)
        return [mutated(random, FRAMES) for _ in range(500)]

    assert cases(1) == cases(1) != cases(2)
    assert all(len(case) <= LARGEST for case in cases(1))
    one, two = (fuzz("sessions", 3 * BLOCK, 5) for _ in range(2))
    assert (one.taken, one.refused) == (two.taken, two.refused)


def test_a_sealed_frame_is_read_whatever_is_in_it() -> None:
    random, read = Random(1), 0
    for _ in range(200):
        data = sealed(FRAMES[2][:12] + random.randbytes(12) + random.randbytes(random.randrange(40)))
        read += len(decode(data, 1 << 20)[1]) == len(data) - 24
    assert read == 200


def test_each_target_in_a_process_of_its_own() -> None:
    outcomes = fuzz_all(600, 3, targets=("frame", "messages"))
    assert [o.target for o in outcomes] == ["frame", "messages"]
    assert all(o.sound and o.cases >= BLOCK for o in outcomes), outcomes
    with pytest.raises(ConfigError, match="no such target"):
        fuzz_all(600, 3, targets=("nothing",))
