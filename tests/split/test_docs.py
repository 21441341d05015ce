"""docs/split.md: its example prints what it says, and every command in it is one that the verbs understand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "split.md"
TEXT = PAGE.read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    return [shlex.split(line, comments=True)[1:] for block in blocks for line in block.splitlines() if line.strip()]


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", TEXT, re.DOTALL)[0]
    exec(compile(code, str(PAGE), "exec"), {})
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_of_the_page_is_understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import edgewise.cli as cli

    heard: list[str] = []

    def understood(name: str, verb):  # type: ignore[no-untyped-def]
        from functools import wraps

        @wraps(verb)
        def only_heard(*args: object, **kwargs: object) -> int:
            heard.append(name)
            return 0

        return only_heard

    monkeypatch.setattr(cli, "VERBS", {n: understood(n, v) for n, v in cli.VERBS.items()})
    groups = {n: (about, {v: understood(v, f) for v, f in verbs.items()}) for n, (about, verbs) in cli.GROUPS.items()}
    monkeypatch.setattr(cli, "GROUPS", groups)
    assert cli.dispatch(words) == 0
    assert heard == [words[1] if words[0] in cli.GROUPS else words[0]]


def test_pictures_of_the_page_are_there() -> None:
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", TEXT):
        assert (PAGE.parent / name).is_file(), name
