"""The threat model is no prose: every test and every forged thing that docs/security.md names exists, and each line names one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from bench.forged import cases

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
MUST = (
    "arbitrary software",
    "freeze",
    "rollback",
    "fast forward",
    "endless data",
    "slow retrieval",
    "extraneous dependencies",
    "mix and match",
    "malicious mirror",
    "wrong key",
    "wrong role",
    "root stolen",
    "stolen device",
    "another authority",
    "duplicate node name",
    "lies",
    "archive bomb",
    "path outside",
    "replay",
    "1970",
)


def lines() -> list[str]:
    """The rows of the tables of attacks, without their heads."""
    return [line for line in TEXT.splitlines() if line.startswith("| **")]


def written() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.add(node.name)
    return found


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) >= 30
    assert named - written() == set()


def test_every_forged_thing_that_it_names_is_in_the_table() -> None:
    named = set(re.findall(r'table: "([^"…]+)"', TEXT))
    assert len(named) >= 20
    assert named - {case.name for case in cases()} == set()


def test_every_attack_has_a_line_and_every_line_a_proof() -> None:
    attacks = [line.split("|")[1].lower() for line in lines()]
    assert [what for what in MUST if not any(what in attack for attack in attacks)] == []
    for line in lines():
        cells = line.strip("|").split("|")
        assert len(cells) == 4, line
        assert "`test_" in cells[3] or 'table: "' in cells[3], f"no proof: {cells[0]}"
        assert cells[1].strip(), f"nothing protects: {cells[0]}"


def test_the_verbs_and_files_that_it_names_exist() -> None:
    from edgewise.cli import GROUPS

    for verb in re.findall(r"`edgewise keys (\w+)", TEXT):
        assert verb in GROUPS["keys"][1], verb
