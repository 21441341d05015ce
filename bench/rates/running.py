"""Runs jobs of the split benchmark: `python -m bench.rates.running --help`; what they are: `bench.rates.jobs`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.rates.jobs import WORK, jobs_of, methods
from bench.running import command


def main(words: Sequence[str] | None = None) -> int:
    return command("python -m bench.rates.running", WORK, methods(), jobs_of, words)


if __name__ == "__main__":
    sys.exit(main())
