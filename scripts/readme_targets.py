"""Writes the README's table of targets from bench/results: `python scripts/readme_targets.py` after a full benchmark run.

A test compares the two, so that the README cannot say other figures than the results.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- targets -->\n", "<!-- /targets -->"


def table() -> str:
    """Markdown rows of every target of every result file."""
    lines = ["| benchmark | target | wanted | measured | |", "|---|---|---|---|---|"]
    for file in sorted((ROOT / "bench/results").glob("*.json")):
        result = msgspec.json.decode(file.read_bytes())
        for t in result["targets"]:
            verdict = {True: "met", False: "**missed**", None: "not measured"}[t["met"]]
            reason = f": {t['reason']}" if t["reason"] else ""
            lines.append(f"| {result['name']} | {t['name']} | {t['want']} | {t['got']} | {verdict}{reason} |")
    return "\n".join(lines) + "\n"


def rewritten(text: str) -> str:
    """The README with its table made anew."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(rewritten(readme.read_text(encoding="utf-8")), encoding="utf-8")
