"""Write the shipped link traces: rates drawn from seeded Markov chains, clearly synthetic, ours to pass on.

    python scripts/synthetic_links.py [--out edgewise/profiles/links]

Each chain walks over a ladder of rates (bit/s): in every step of 0.5 s it stays, goes one rung up or down, or falls into an
outage from which it comes back with a chance of a half; a rate is spread by up to ±10 % around its rung. The ladders were chosen
so that mean, 5th and 95th percentile lie near those of real uplinks (LTE 5.95 Mbit/s, 1.18 to 11.5; 3G 0.8 to 0.9 Mbit/s), but
no recording went into them, and no claim about a real network follows from them. The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STEP, SECONDS = 0.5, 300


@dataclass(frozen=True)
class Chain:
    """A ladder of rates (bit/s), the chance to stay on a rung, to fall into an outage, and the seed."""

    name: str
    ladder: Sequence[float]
    stay: float
    outage: float
    seed: int


CHAINS = (
    Chain("lte_synthetic_up", [1.1e6, 1.8e6, 2.8e6, 4e6, 5.5e6, 7.2e6, 9e6, 11.5e6], 0.5, 0.004, 11),
    Chain("lte_synthetic_down", [2e6, 4e6, 8e6, 13e6, 19e6, 26e6, 34e6, 44e6], 0.6, 0.004, 12),
    Chain("wifi_synthetic_up", [4e6, 10e6, 18e6, 28e6, 38e6, 48e6, 58e6], 0.4, 0.001, 21),
    Chain("wifi_synthetic_down", [6e6, 14e6, 25e6, 38e6, 52e6, 66e6, 80e6], 0.4, 0.001, 22),
    Chain("3g_synthetic_up", [0.15e6, 0.35e6, 0.6e6, 0.9e6, 1.2e6, 1.6e6, 2.0e6], 0.5, 0.01, 33),
    Chain("3g_synthetic_down", [0.2e6, 0.5e6, 0.9e6, 1.4e6, 2.0e6, 2.8e6, 3.8e6], 0.7, 0.01, 32),
    # The nominal rates of LoRaWAN's data rates 0 to 5 in Europe.
    Chain("lora_synthetic_up", [250, 440, 980, 1760, 3125, 5470], 0.9, 0.002, 41),
)
STEPS = {"step_up": [(0, 20e6), (20, 0.3e6), (40, 5e6)]}  # falls hard, comes back by halves; 60 s


def rates(chain: Chain) -> list[float]:
    """The rate of each step, in bit/s."""
    rng = random.Random(chain.seed)
    rung, out, found = len(chain.ladder) // 2, False, []
    for _ in range(int(SECONDS / STEP)):
        move = rng.random()
        out = rng.random() < (0.5 if out else chain.outage)
        if move >= chain.stay:
            up = move < chain.stay + (1 - chain.stay) / 2
            rung = min(max(rung + (1 if up else -1), 0), len(chain.ladder) - 1)
        spread = 0.9 + 0.2 * rng.random()
        found.append(0.0 if out else chain.ladder[rung] * spread)
    return found


def table(rows: Sequence[tuple[float, float]]) -> str:
    return "time_s,rate_bit_s\n" + "".join(f"{time:g},{rate:.0f}\n" for time, rate in rows)


def files() -> dict[str, str]:
    """Every shipped trace: file name to text."""
    made = {f"{c.name}.csv": table([(i * STEP, r) for i, r in enumerate(rates(c))]) for c in CHAINS}
    made |= {f"{name}.csv": table(rows) for name, rows in STEPS.items()}
    return made


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=Path("edgewise/profiles/links"))
    out = options.parse_args().out
    for name, text in files().items():
        (out / name).write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
