"""A claim is reproduced where the model reaches it at some rate, refuted where it never does; the rates are told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.rates import claims
from bench.rates.boards import ANCHORS
from bench.rates.claims import CLAIMS, Held
from bench.rates.published_timed import FILE, Figures, ways
from bench.rates.timing import Size, Timed
from edgewise.runtime.timing import Timing

MODEL = "ResNet-50"


def figures(head: float = 0.001, head_size: int = 10_000) -> Figures:
    def timed(seconds: float, parameters: int = 1) -> Timed:
        return Timed(Timing(seconds, seconds, seconds, seconds, 1), Size(parameters, 1.0))

    pieces = {name: timed(s) for name, s in zip(ANCHORS, (0.035, 0.046, 0.004), strict=True)}
    pieces |= {n: timed(1e-4) for n in ("JPEG", "JPEG back", "codes to bytes", "bytes to codes")}
    pieces |= {f"{MODEL} BottleFit head": timed(head, head_size), f"{MODEL} BottleFit tail": timed(0.035)}
    pieces |= {f"{MODEL} autoencoder head": timed(0.020, 1_000_000), f"{MODEL} autoencoder tail": timed(0.020)}
    return Figures((MODEL,), pieces, 10_700.0)


def reported(work: Path, of: Figures) -> dict[str, bool | None]:
    (work / FILE).write_bytes(msgspec.json.encode(of))
    rows, targets, drawn = claims.rows(work)
    assert all(r.provenance == "modelled" for r in rows if "claim" in r.metric) and list(drawn) == ["region_published"]
    return {t.name: t.met for t in targets}


def test_a_small_head_saves_latency_and_one_as_slow_as_the_network_does_not(tmp_path: Path) -> None:
    quick, slow = (reported(tmp_path, figures(head)) for head in (0.001, 0.035))
    name = "BottleFit, 8.3 latency against local computing, up to"
    assert quick[name] is True and slow[name] is False


def test_a_head_that_is_not_83_times_smaller_is_said(tmp_path: Path) -> None:
    name = "BottleFit, 8.6 head smaller than the autoencoder's"
    assert reported(tmp_path, figures())[name] is True
    assert reported(tmp_path, figures(head_size=100_000))[name] is False


def test_every_claim_has_its_row_and_without_times_none_is_judged(tmp_path: Path) -> None:
    rows, targets, _ = claims.rows(tmp_path)
    assert not rows and len(targets) == len(CLAIMS) and all(t.met is None for t in targets)


@pytest.mark.parametrize(
    ("reduction", "told"),
    [
        ((0.1, 0.1, 0.1), "nowhere"),
        ((0.9, 0.9, 0.1), "up to 1 Mbit/s"),
        ((0.1, 0.9, 0.9), "from 1 Mbit/s on"),
        ((0.1, 0.9, 0.1), "from 1 Mbit/s to 1 Mbit/s"),
        ((0.9, 0.9, 0.9), "at all rates"),
    ],
)
def test_the_rates_at_which_a_claim_holds_are_told(reduction: tuple[float, ...], told: str) -> None:
    assert Held(CLAIMS[0], "pi4", MODEL, 0.005, reduction, (1e5, 1e6, 1e7)).where == told


def test_the_offloaded_picture_and_the_codes_carry_a_header() -> None:
    found = ways(MODEL, figures())
    assert found["offload"].frame == 10_724 and found["BottleFit"].frame == 24 + 3 * 29 * 29 and found["local"].frame == 0
