"""Writes the README's tables of targets from bench/results: `python scripts/readme_targets.py` after a full benchmark run.

A table stands between two comments; a group of benchmarks has one of its own, which says so where results are missing. A test
compares README and results, so that the README cannot say other figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parents[1]
GROUPS = {"targets of delivery": ("delivery", "faults"), "targets of split": ("split_wire",)}
Results = Mapping[str, Any]  # by name, as `bench.report` writes them


def results() -> dict[str, Any]:
    return {file.stem: msgspec.json.decode(file.read_bytes()) for file in sorted((ROOT / "bench/results").glob("*.json"))}


def table(found: Results) -> str:
    """Markdown rows of every target of these results; nothing where there are none."""
    lines = ["| benchmark | target | wanted | measured | |", "|---|---|---|---|---|"]
    for result in found.values():
        for t in result["targets"]:
            verdict = {True: "met", False: "**missed**", None: "not measured"}[t["met"]]
            reason = f": {t['reason']}" if t["reason"] else ""
            lines.append(f"| {result['name']} | {t['name']} | {t['want']} | {t['got']} | {verdict}{reason} |")
    return "\n".join(lines) + "\n" if found else ""


def group(found: Results, names: Sequence[str]) -> str:
    """The table of some benchmarks, and a sentence for each of them that has no committed result."""
    there = {name: found[name] for name in names if name in found}
    missing = [f"`./dev bench {name}` measures it; no full result is committed yet.\n" for name in names if name not in there]
    return "\n".join(filter(None, [table(there), *missing]))


def rewritten(text: str, found: Results | None = None) -> str:
    """The README with its tables made anew."""
    found = results() if found is None else found
    grouped = {name for names in GROUPS.values() for name in names}
    text = _between(text, "targets", table({name: result for name, result in found.items() if name not in grouped}))
    for title, names in GROUPS.items():
        text = _between(text, title, group(found, names))
    return text


def _between(text: str, name: str, new: str) -> str:
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return before + begin + new + end + after


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(rewritten(readme.read_text(encoding="utf-8")), encoding="utf-8")
