"""A sweep runs one training a core, in order, and ends all of them when one fails, when it is interrupted or killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgewise.core.errors import ConfigError, EdgewiseError
from edgewise.split.sweep import Task, swept

TASKS = "tests.split.sweep_tasks"


def task(name: str, place: Path, what: str = "write", after: tuple[str, ...] = ()) -> Task:
    return Task(name, f"{TASKS}:{what}", {"name": name, "file": str(place / name)}, after)


def gone(place: Path, name: str) -> bool:
    """Whether the process whose id stands in the file ends within a few seconds."""
    number = int((place / name).read_text())
    for _ in range(100):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{number}/stat")
        if state.exists() and state.read_text().split()[2] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_tasks_run_beside_each_other_and_after_what_they_wait_for(tmp_path: Path) -> None:
    heard: dict[str, float] = {}
    swept([task("a", tmp_path), task("b", tmp_path), task("c", tmp_path, after=("a",))], 2, tmp_path, heard.__setitem__)
    (a0, a1, threads), (b0, b1, _), (c0, _, _) = ((float(v) for v in (tmp_path / n).read_text().split()) for n in "abc")
    assert heard == {"a": 1.0, "b": 1.0, "c": 1.0} and threads == 1
    assert max(a0, b0) < min(a1, b1), "two cores, two at once"
    assert c0 > a1 and "a network that prints" in (tmp_path / "a.log").read_text()


def test_one_core_runs_one_at_a_time(tmp_path: Path) -> None:
    swept([task("a", tmp_path), task("b", tmp_path)], 1, tmp_path)
    assert float((tmp_path / "b").read_text().split()[0]) > float((tmp_path / "a").read_text().split()[1])


@pytest.mark.parametrize(
    ("what", "says"),
    [("fail", r"^a β of 9 collapses the rate. Take a lower one.$"), ("crash", "status 1; got ValueError: no such")],
)
def test_a_failure_is_the_childs_own_sentence_and_ends_the_others(tmp_path: Path, what: str, says: str) -> None:
    tasks = [task("w", tmp_path, "wait"), task("a", tmp_path), task("f", tmp_path, what, after=("a",))]
    with pytest.raises(EdgewiseError, match=says):
        swept(tasks, 2, tmp_path)
    assert gone(tmp_path, "w")


def test_an_interrupt_ends_the_children(tmp_path: Path) -> None:
    def interrupted(what: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept([task("w", tmp_path, "wait")], 1, tmp_path, interrupted)
    assert gone(tmp_path, "w")


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    words = f"from tests.split.test_sweep import *; swept([task('w', p := Path({str(tmp_path)!r}), 'wait')], 1, p)"
    parent = subprocess.Popen([sys.executable, "-c", words])
    while not (tmp_path / "w").is_file() or not (tmp_path / "w").read_text():
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert gone(tmp_path, "w")


def test_a_sweep_that_waits_for_nothing_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="c after b"):
        swept([task("a", tmp_path), task("c", tmp_path, after=("b",))], 1, tmp_path)
