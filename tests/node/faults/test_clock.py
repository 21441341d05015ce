"""A wall clock that jumps and is mended, on a line of time that does not."""

from __future__ import annotations

from edgewise.node.faults.clock import EPOCH, Timeline, WallClock
from edgewise.node.faults.trace import Trace


def test_a_clock_runs_on_from_where_it_jumped_to_and_is_right_again_once_mended() -> None:
    timeline = Timeline()
    clock = WallClock(timeline)
    timeline.run(5.0)
    clock.jump(to=10.0)
    assert clock.now() == 10.0
    timeline.run(8.0)
    assert abs(clock.now() - 13.0) < 1e-6
    clock.mend()
    assert clock.now() == clock.true == EPOCH + 8.0


def test_the_hash_of_a_trace_is_that_of_its_lines_in_order() -> None:
    def told(words: list[str], keep: bool = False) -> Trace:
        trace = Trace(Timeline(), keep)
        for word in words:
            trace.say("device-1", word)
        return trace

    assert told(["a", "b"]).digest == told(["a", "b"], keep=True).digest
    assert told(["a", "b"]).digest != told(["b", "a"]).digest
    assert told(["a"]).lines == [] and len(told(["a"], keep=True).lines) == 1
