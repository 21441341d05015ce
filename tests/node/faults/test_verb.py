"""`edgewise faults` as a person calls it: sums, the story of one seed, and exit status 1 where a law was broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewise.cli import dispatch
from edgewise.core.errors import ConfigError
from edgewise.node.store.inbox import Inbox


def test_sums_of_some_schedules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["faults", "--seeds", "3", "--first", "24", "--json", str(tmp_path / "faults.json")]) == 0
    said = json.loads((tmp_path / "faults.json").read_text())
    assert {k: said[k] for k in ("schedules", "lost", "torn", "double", "converged")} == {
        "schedules": 3, "lost": 0, "torn": 0, "double": 0, "converged": 3,
    }  # fmt: skip
    assert said["items"] > 100 and said["frames"] > 100
    shown = capsys.readouterr().out
    assert "converged" in shown and max(map(len, shown.splitlines())) <= 80


def test_a_broken_law_ends_with_status_1_and_its_story(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inbox, "take", lambda *_: "new")
    assert dispatch(["faults", "--seeds", "6", "--json", str(tmp_path / "faults.json")]) == 1
    assert "double" in capsys.readouterr().out
    seed, *_ = json.loads((tmp_path / "faults.json").read_text())["failing"]
    assert dispatch(["faults", "--seed", str(seed), "--trace", str(tmp_path / "trace.txt")]) == 1
    shown = capsys.readouterr().out
    assert f"seed {seed}:" in shown and "witness" in shown
    trace = (tmp_path / "trace.txt").read_text().splitlines()
    assert any("witness" in line for line in trace)


def test_no_schedules_are_no_run() -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        dispatch(["faults", "--seeds", "0"])
