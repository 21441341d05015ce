"""Runs jobs of the adaptation benchmark: `python -m bench.adapt.running --help`; what they are: the modules of bench/adapt."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.adapt.ground import WORK, jobs_of, methods
from bench.running import command


def main(words: Sequence[str] | None = None) -> int:
    return command("python -m bench.adapt.running", WORK, methods(), jobs_of, words)


if __name__ == "__main__":
    sys.exit(main())
