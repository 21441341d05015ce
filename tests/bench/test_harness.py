"""A result file holds what the issue asks for, can be read back, and never hides a missed target; so do the committed ones."""

import json
import math
import socket
from pathlib import Path

import pytest

from bench import harness
from bench.report import Report, Row, Target, at_least, at_most, left_out, readable, summary
from bench.units import units
from edgewise.core.errors import ConfigError, LinkError

KEYS = {
    "result": {"name", "commit", "machine", "threads", "seconds", "link_kind", "engine_kind", "config", "rows", "targets"},
    "row": {"case", "metric", "value", "unit", "n", "low", "high", "provenance"},
    "target": {"name", "want", "got", "met", "reason"},
}
RESULTS = sorted(harness.RESULTS.glob("*.json"))


def toy(quick: bool) -> Report:
    row = summary("toy", "latency", [0.001, 0.002, 0.009], "s")
    targets = [
        at_most("fast", 0.003, row, "-"),
        at_most("very fast", 0.001, row, "it is a toy"),
        left_out("big", "1", "quick run"),
    ]
    return Report([row], targets, {"quickly": quick}, "virtual", "toy", {"": b"png", "map": b"png"})


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for place in ("RESULTS", "QUICK_RESULTS"):
        monkeypatch.setattr(harness, place, tmp_path / place)
    monkeypatch.setattr(harness, "ROOT", tmp_path)
    monkeypatch.setattr(harness, "names", lambda: ["toy"])
    monkeypatch.setattr(harness, "benchmark", lambda name: toy)
    return tmp_path


def check(path: Path) -> dict[str, object]:
    """The form of house.md, as plain JSON."""
    said: dict[str, object] = json.loads(path.read_text())
    assert set(said) == KEYS["result"]
    for part in ("row", "target"):
        several = said[part + "s"]
        assert isinstance(several, list)
        assert all(set(one) == KEYS[part] for one in several)
    assert harness.read(path).name == path.stem
    assert socket.gethostname() not in path.read_text() or len(socket.gethostname()) < 4
    return said


def test_a_quick_run_writes_the_form_and_a_missed_target_is_no_failure(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness.main(["toy", "--quick"]) == 0
    said = check(results / "QUICK_RESULTS" / "toy.json")
    assert [t["met"] for t in said["targets"]] == [True, False, None]  # type: ignore[attr-defined, index]
    assert said["config"] == {"quick": True, "quickly": True}
    assert (results / "QUICK_RESULTS" / "toy_map.png").read_bytes() == b"png"
    assert not (results / "RESULTS").exists()
    out = capsys.readouterr().out
    assert "missed" in out
    assert "it is a toy" in out
    assert "2 ms" in out


def test_a_full_run_goes_where_results_are_committed(results: Path) -> None:
    assert harness.main(["toy"]) == 0
    assert check(results / "RESULTS" / "toy.json")["config"] == {"quick": False, "quickly": False}


def test_a_benchmark_that_cannot_run_is_a_sentence_and_status_1(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(quick: bool) -> Report:
        raise LinkError("the server did not come up")

    monkeypatch.setattr(harness, "benchmark", lambda name: broken)
    assert harness.main(["toy"]) == 1
    assert "did not come up" in capsys.readouterr().err
    monkeypatch.setattr(harness, "benchmark", lambda name: toy)
    assert harness.main(["toy", "--traces", "folder"]) == 1
    assert "replays no traces" in capsys.readouterr().err


def test_an_unknown_name_is_told_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert harness.main(["nothing"]) == 1
    assert "no such benchmark; got nothing; allowed:" in capsys.readouterr().err.replace("\n", " ")


def test_a_report_refuses_what_is_no_figure_and_a_miss_without_a_reason() -> None:
    with pytest.raises(ConfigError, match="no number"):
        Row("case", "metric", math.nan, "s")
    with pytest.raises(ConfigError, match="no samples"):
        summary("case", "metric", [], "s")
    for met in (False, None):
        with pytest.raises(ConfigError, match="no reason"):
            Target("t", "1", "2", met)
    row = Row("case", "metric", 2.0, "s")
    assert (at_most("t", 2.0, row, "-").met, at_least("t", 2.0, row, "-").met) == (True, True)
    assert (at_most("t", 1.9, row, "-").met, at_least("t", 2.1, row, "-").met) == (False, False)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (2.5e-7, "s", "250 ns"),
        (0.98, "bytes", "0.98 B"),
        (1.2e9, "bit/s", "1.2 Gbit/s"),
        (0.0, "s", "0 s"),
        (12_345.0, "1/s", "12,345 /s"),
        (0.951, "", "0.951"),
    ],
)
def test_figures_are_read_with_prefixes(value: float, unit: str, words: str) -> None:
    assert readable(value, unit) == words


def test_units_are_rates_of_this_machine() -> None:
    for row in units(seconds=0.03):
        assert row.value > 0
        assert row.n >= 5


@pytest.mark.parametrize("path", RESULTS, ids=[p.stem for p in RESULTS])
def test_committed_results_are_full_runs_in_the_form(path: Path) -> None:
    said = check(path)
    config = said["config"]
    assert isinstance(config, dict)
    assert config["quick"] is False
    assert said["rows"]
    assert said["targets"]


def sized(quick: bool, medium: bool = False) -> Report:
    return Report([], [], {"size": "quick" if quick else "medium" if medium else "full"})


def test_a_medium_run_is_for_benchmarks_that_have_one(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert harness.main(["toy", "--medium"]) == 1  # toy has none
    monkeypatch.setattr(harness, "benchmark", lambda name: sized)
    assert harness.main(["toy", "--medium"]) == 0
    assert harness.read(results / "QUICK_RESULTS" / "toy.json").config == {"quick": False, "medium": True, "size": "medium"}
    assert not (results / "RESULTS").exists()  # what is committed is a full run
    with pytest.raises(SystemExit):
        harness.main(["toy", "--quick", "--medium"])
