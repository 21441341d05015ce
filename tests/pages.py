"""A page of docs as tests read it: its blocks of code, and the commands in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def blocks(text: str, kind: str) -> list[str]:
    """What stands in the fences of a kind (`bash`, `python`, `text`, …)."""
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Each line of a bash block in words, without its comment."""
    return [shlex.split(line, comments=True) for block in blocks(text, "bash") for line in block.splitlines() if line.strip()]
