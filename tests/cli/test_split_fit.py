"""`edgewise split fit` as a person calls it: sentences and statuses, help on how to choose, a stop that says how to go on."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.cli import main
from edgewise.split import fit as job
from tests.split import tiny


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Status and everything that was printed, on one line."""
    with pytest.raises(SystemExit) as ended:
        main(["split", "fit", *words])
    out = capsys.readouterr()
    return int(ended.value.code or 0), " ".join((out.out + out.err).split())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--recipe", "ghnd", "--rates", "3"], "has no such option; got --rates"),
        (["--recipe", "lean", "--device", "tpu"], "no such kind of device"),
        (["--recipe", "lean", "--labels", "a", "b"], "the labels do not fit the network; got 2 labels: a, b; allowed: 4"),
        (["--recipe", "lean", "--model", "hf:org/name"], "nothing is downloaded"),
    ],
)
def test_what_does_not_work_is_a_sentence_and_a_status(
    more: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.folder(tmp_path / "data", 12)
    words = ["--model", "tests.split.tiny:build", "--cut", "stem..layer2", "--data", str(tmp_path / "data")]
    status, told = said([*words, "--out", str(tmp_path / "out"), *more], capsys)
    assert status == 1 and told.startswith("edgewise: ") and says in told and "Traceback" not in told


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "lesson", stopped)
    status, told = said(["--model", "a:b", "--cut", "c", "--data", ".", "--out", "there"], capsys)
    assert status == 130 and "stopped. What was learned is kept in there-work; the same command goes on there." in told


def test_help_names_every_recipe_and_how_to_choose(capsys: pytest.CaptureFixture[str]) -> None:
    status, told = said(["--help"], capsys)
    assert status == 0 and "{hnd,ghnd,bottlefit,entropic,lean}" in told
    for word in ("For the fewest bytes: lean", "--supervised", "--cores", "config.json of a vision model"):
        assert word in told


@pytest.mark.parametrize("more", [["one", "two", "--out", "there"], ["one", "two", "--address", "abc"], []])
def test_a_report_of_several_bundles_is_a_table_and_no_page(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["split", "report", *more, "--data", "x"])
    assert ended.value.code == 1 and "a report cannot be made" in " ".join(capsys.readouterr().err.split())
