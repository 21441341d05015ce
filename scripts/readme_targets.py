"""Writes the tables of targets in README and docs from bench/results: `python scripts/readme_targets.py` after a full run.

A table stands between two comments; a group of benchmarks has one of its own, on the page of PAGES or in the README, and says so
where results are missing. A test compares pages and results, so that no page can say other figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parents[1]
README = "README.md"
GROUPS = {
    "targets of delivery": ("delivery", "faults"),
    "targets of split": ("split_wire",),
    "targets of rates": ("split",),
}
PAGES = {"targets of rates": "docs/rates.md"}  # other than the README
WAYS = {
    "lean-task": "ours, taught the classes too",
    "lean": "ours, taught without a label",
    "entropic": "Entropic Student (narrow)",
    "bottlefit-coded": "BottleFit, with our coder",
    "image-codec-tuned": "a learned picture codec, tuned tail",
    "avif-tuned": "AVIF, tuned tail",
    "webp-tuned": "WebP, tuned tail",
    "jpeg-shared-tuned": "JPEG without its tables, tuned tail",
    "jpeg-tuned": "JPEG, tuned tail",
    "jpeg": "JPEG, tail as is",
}
POINTS = (1, 2, 2.5)  # of accuracy below the teacher
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


def sizes(found: Results) -> str:
    """Bytes of a whole frame by way and accuracy, as the benchmark of splits has them."""
    if "split" not in found:
        return "`./dev bench split` measures it; no full result is committed yet.\n"
    known = {(r["case"].split(" (")[0], r["metric"]): r["value"] for r in found["split"]["rows"]}
    head = "| bytes of a frame at the teacher's accuracy less |" + "".join(f" {p:g} points |" for p in POINTS)
    lines = [head, "|---" * (len(POINTS) + 1) + "|"]
    for case, words in WAYS.items():
        values = [known.get((case, f"bytes at teacher -{p:g} points")) for p in POINTS]
        lines.append(f"| {words} |" + "".join(f" {v:,.0f} |" if v is not None else " – |" for v in values))
    return "\n".join(lines) + "\n"


def rewritten(text: str, found: Results | None = None, page: str = README) -> str:
    """A page with its tables made anew."""
    found = results() if found is None else found
    grouped = {name for names in GROUPS.values() for name in names}
    tables = {title: group(found, names) for title, names in GROUPS.items()} | {"bytes of rates": sizes(found)}
    tables["targets"] = table({name: result for name, result in found.items() if name not in grouped})
    for title, new in tables.items():
        if PAGES.get(title, README) == page:
            text = _between(text, title, new)
    return text


def _between(text: str, name: str, new: str) -> str:
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return before + begin + new + end + after


if __name__ == "__main__":
    for page in {README, *PAGES.values()}:
        path = ROOT / page
        path.write_text(rewritten(path.read_text(encoding="utf-8"), page=page), encoding="utf-8")
