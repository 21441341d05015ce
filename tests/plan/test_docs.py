"""The example of docs/planning.md runs and prints what the page says that it prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "planning.md"


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    code, said = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", text, re.DOTALL)[0]
    exec(compile(code, str(PAGE), "exec"), {})
    assert capsys.readouterr().out == said
