"""Jobs run as processes: each leaves what it promised, is kept the second time, waits for what it comes after, fails alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from bench.jobs import Advance, Job, jobs_of, methods
from bench.running import in_turn, listed, run
from edgewise.core.errors import ConfigError, SourceError

HERE = "tests.bench.test_running"


def leave(work: Path, advance: Advance, name: str, needs: str = "") -> None:
    if needs and not (work / needs).exists():
        raise SourceError("what it needs is not there", got=needs)
    advance("leaving", 0.5)
    (work / name).write_text(str(time.monotonic_ns()))


def forget(work: Path, advance: Advance) -> None:
    pass


def linger(work: Path, advance: Advance) -> None:
    (work / "lingers").touch()
    time.sleep(60)


def job(name: str, priority: float = 4, after: tuple[str, ...] = (), needs: str = "") -> Job:
    return Job(name, f"{HERE}:leave", (name,), {"name": name, "needs": needs}, priority, after)


def test_jobs_run_in_order_and_are_kept(tmp_path: Path) -> None:
    heard: list[tuple[str, float]] = []
    jobs = [job("second", 1, ("first",), "first"), job("first", 2)]
    states = [o.state for o in run(jobs, tmp_path, 2, 60, lambda what, share: heard.append((what, share)))]
    assert states == ["done", "done"] and ("first: leaving", 0.5) in heard
    written = (tmp_path / "first").read_text()
    assert [o.state for o in run(jobs, tmp_path, 2, 60)] == ["kept", "kept"]
    assert (tmp_path / "first").read_text() == written
    (tmp_path / "second").unlink()
    assert [o.state for o in run(jobs, tmp_path, 1, 60)] == ["done", "kept"]


def test_another_plan_is_run_anew_and_files_without_a_note_are_kept(tmp_path: Path) -> None:
    asked = replace(job("one"), plan={"epochs": [10, 5]})
    (tmp_path / "one").touch()
    assert asked.done(tmp_path)  # it was there before anybody noted plans
    assert [o.state for o in in_turn([asked], tmp_path)] == ["kept"]
    (tmp_path / "one").unlink()
    assert [o.state for o in in_turn([asked], tmp_path)] == ["done"] and asked.done(tmp_path)
    for other in (replace(asked, plan={"epochs": [8, 5]}), replace(asked, arguments={"name": "one", "needs": "one"})):
        assert not other.done(tmp_path)
    assert in_turn([other], tmp_path)[0].state == "done" and other.done(tmp_path) and not asked.done(tmp_path)


def test_a_failure_is_a_sentence_and_stays_alone(tmp_path: Path) -> None:
    jobs = [job("bad", needs="nothing"), job("behind", after=("bad",)), Job("empty", f"{HERE}:forget", ("gone",)), job("good")]
    bad, behind, empty, good = run(jobs, tmp_path, 2, 60)
    assert bad.state == "failed" and bad.reason.startswith("what it needs is not there")
    assert behind.state == "waits" and "bad" in behind.reason
    assert empty.state == "failed" and "without leaving gone" in empty.reason
    assert good.state == "done"


def test_seconds_end_what_runs(tmp_path: Path) -> None:
    slow = Job("slow", f"{HERE}:linger", ("never",))
    [found] = run([slow], tmp_path, 1, 3)
    assert found.state == "ended" and found.seconds < 30


def test_small_jobs_run_in_this_process(tmp_path: Path) -> None:
    jobs = [job("second", 1, ("first",), "first"), job("first", 2), job("bad", needs="nothing"), job("behind", after=("bad",))]
    found = in_turn(jobs, tmp_path)
    assert [o.state for o in found] == ["done", "done", "failed", "waits"] and found[2].reason.startswith("what it needs")
    assert [o.state for o in in_turn(jobs[:2], tmp_path)] == ["kept", "kept"]


def test_what_is_undone_is_listed_with_its_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one").touch()
    listed([replace(job("one"), minutes=7), replace(job("two"), minutes=4.5)], tmp_path, Console(width=120))
    said = capsys.readouterr().out
    assert "one" in said and "done" in said and "1 of 2 not done, about 4 minutes" in said


@pytest.mark.parametrize("room", ["rates", "adapt"])
def test_an_unknown_method_is_named(room: str) -> None:
    assert methods(room)
    with pytest.raises(ConfigError, match="no such method"):
        jobs_of(room, ["nothing"])
