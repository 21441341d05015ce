"""The verbs of adaptation and docs/adapt.md: its commands, its example, tables with all methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from edgewise import cli
from edgewise.adapt.method import Tally
from edgewise.adapt.recipe import Recipe
from edgewise.adapt.replay import Replayed, Trail
from edgewise.apps.vision.adapting_options import read_recipe
from edgewise.cli.adapt import replay_table
from tests.pages import DOCS, blocks, commands

TEXT = (DOCS / "adapt.md").read_text(encoding="utf-8")
COMMANDS = [words[1:] for words in commands(TEXT)]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_page_is_understood(words: list[str], understood: Callable[[list[str]], list[str]]) -> None:
    assert understood(words) == [words[1] if words[0] in cli.GROUPS else words[0]]


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    [code], [said] = blocks(TEXT, "python"), blocks(TEXT, "text")
    exec(compile(code, "docs/adapt.md", "exec"), {})
    assert capsys.readouterr().out == said


def test_the_recipe_of_the_page_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(blocks(TEXT, "toml")[0])
    assert read_recipe(tmp_path / "recipe.toml") == Recipe(cascade=0.25)


def test_a_table_has_a_row_for_every_method_and_fits_a_screen() -> None:
    names = ("none", "moving statistics", "random uploads", "upload all", "CEMA as published")
    right = np.arange(400) % 2 == 0
    trails = {n: Trail(right.astype(np.float32), Tally(seen=400, uploaded=100, bytes_up=123_456, deltas=3), 0.5) for n in names}
    found = Replayed(("fog:3", "night:5", "clean"), np.arange(400) % 3, trails)
    screen = Console(width=100, record=True, quiet=False)
    with screen.capture() as kept:
        screen.print(replay_table(found, "a title"))
    said = kept.get()
    assert all(n in said for n in names) and "123" in said and "…" not in said and "night:5" in said


def test_a_report_without_a_log_says_where_it_would_be(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        cli.main(["adapt", "report", str(tmp_path)])
    assert "there is no log of adaptation" in capsys.readouterr().err
