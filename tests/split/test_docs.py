"""docs/split.md: its example prints what it says, and every command in it is one that the verbs understand."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from edgewise import cli
from tests.pages import DOCS, commands

PAGE = DOCS / "split.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = [words[1:] for words in commands(TEXT)]


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", TEXT, re.DOTALL)[0]
    exec(compile(code, str(PAGE), "exec"), {})
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_page_is_understood(words: list[str], understood: Callable[[list[str]], list[str]]) -> None:
    assert understood(words) == [words[1] if words[0] in cli.GROUPS else words[0]]


def test_pictures_of_the_page_are_there() -> None:
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", TEXT):
        assert (PAGE.parent / name).is_file(), name
