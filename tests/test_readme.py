"""The README is true: its commands exist, its pictures are there, and its figures are those of the committed results."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.pages import commands

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def edgewise_calls() -> list[list[str]]:
    dev = {"demo": ["demo"], "run": []}
    calls = [c[1:] for c in commands(README) if c[0] == "edgewise"]
    return calls + [dev[c[1]] + c[2:] for c in commands(README) if c[0] == "./dev" and c[1] in dev]


def test_there_are_commands_to_check() -> None:
    assert len(edgewise_calls()) >= 8
    assert [c[:2] for c in commands(README)[:2]] == [["./dev", "demo"], ["./dev", "test"]]


@pytest.mark.parametrize("words", edgewise_calls(), ids=" ".join)
def test_a_command_of_the_readme_is_understood(words: list[str]) -> None:
    code = (
        "import sys, edgewise.cli as cli\n"
        "def stop(f):\n"
        "    import functools\n"
        "    return functools.wraps(f)(lambda *a, **k: 0)\n"
        "cli.VERBS.update({n: stop(f) for n, f in cli.VERBS.items()})\n"
        "cli.GROUPS.update({n: (t, {m: stop(f) for m, f in v.items()}) for n, (t, v) in cli.GROUPS.items()})\n"
        "cli.main(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_and_picture_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def targets_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_targets", ROOT / "scripts/readme_targets.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_figures_are_those_of_the_results() -> None:
    script = targets_script()
    for page in {"README.md", *script.PAGES.values()}:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert script.rewritten(text, page=page) == text, f"{page}: run python scripts/readme_targets.py"


def test_each_result_stands_in_one_table_and_a_missing_one_is_said() -> None:
    script = targets_script()
    found = {
        n: {"name": n, "targets": [{"name": f"target of {n}", "want": "1", "got": "2", "met": True, "reason": ""}]} for n in "ab"
    }
    found |= {"faults": {"name": "faults", "targets": [{"name": "lost", "want": "0", "got": "3", "met": False, "reason": "why"}]}}
    text = script.rewritten(README, found)
    own = text.split("<!-- targets of delivery -->")[1].split("<!-- /targets of delivery -->")[0]
    assert text.count("target of a") == text.count("target of b") == 1 and "target of" not in own
    assert "| faults | lost | 0 | 3 | **missed**: why |" in own and text.count("| faults |") == 1
    assert "./dev bench delivery" in own and "./dev bench faults" not in own
