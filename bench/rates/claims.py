"""What paper 8 claims of power and latency, row by row, on the networks that it was measured on.

BottleFit's claims ("up to"): power and latency −49 % and −89 % against local computing, −37 % and −55 % against edge offloading,
−54 % and −44 % on a Jetson Nano and −40 % and −62 % on a Raspberry Pi against splitting by autoencoders; a head 83 times smaller.
Only the abstract is public to us: links, server, runtime, pictures, and where the autoencoders stood are not in it. So we ask of
each claim at which link rates between 50 kbit/s and 20 Mbit/s it holds in our model, and say what it is at its best and worst.

    device   pi4 and jetson_nano, modelled from their profiles (`boards`)          models    ResNet-152, DenseNet-169 at 224 × 224
    server   rtx4090_pc, modelled                                                  link      Wi-Fi's joules (Huang et al. 2012)
    ways     local, offload, BottleFit, autoencoder, as `published_timed` has them

Two readings of "power": mean watts while a picture is being answered, and joules a picture. The claim is judged by the watts, as
it says power; the joules stand beside it. A claim is called reproduced where it is reached at some rate of the range, for "up to"
says no more, and the row says at which rates it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from bench.rates import delays
from bench.rates.boards import SERVER, Board, board
from bench.rates.published_timed import FILE, Figures, ways
from bench.rates.timing import Timed
from bench.rates.ways import FINE, ROUND_TRIPS, Answered, cost, link
from bench.report import Row, Target, left_out
from edgewise.plan.break_even import spoken

WORDS = {"power": "mean power", "energy": "joules", "latency": "latency", "busy": "device time"}

BOARDS = ("pi4", "jetson_nano")
Figure = Literal["power", "energy", "latency", "busy"]
Baseline = Literal["local", "offload", "autoencoder"]


class Claim(Struct, frozen=True, forbid_unknown_fields=True):
    """`figure` of BottleFit is lower than the `baseline`'s by `by`, on one of `boards`."""

    name: str
    figure: Figure
    baseline: Baseline
    by: float
    boards: tuple[str, ...] = BOARDS


CLAIMS = (
    Claim("8.3 power against local computing", "power", "local", 0.49),
    Claim("8.3 latency against local computing", "latency", "local", 0.89),
    Claim("8.4 power against edge offloading", "power", "offload", 0.37),
    Claim("8.4 latency against edge offloading", "latency", "offload", 0.55),
    Claim("8.5 power against an autoencoder, Jetson Nano", "power", "autoencoder", 0.54, ("jetson_nano",)),
    Claim("8.5 execution time against an autoencoder, Jetson Nano", "latency", "autoencoder", 0.44, ("jetson_nano",)),
    Claim("8.5 power against an autoencoder, Raspberry Pi", "power", "autoencoder", 0.40, ("pi4",)),
    Claim("8.5 execution time against an autoencoder, Raspberry Pi", "latency", "autoencoder", 0.62, ("pi4",)),
)
SMALLER = 83.0


class Held(Struct, frozen=True):
    """A claim on one board and model over link rates: the reduction at each of `rates`, for one round trip."""

    claim: Claim
    board: str
    model: str
    round_trip: float
    reduction: tuple[float, ...]
    rates: tuple[float, ...] = FINE

    @property
    def best(self) -> float:
        return max(self.reduction)

    @property
    def where(self) -> str:
        """At which rates it is reached, in words."""
        there = [r for r, by in zip(self.rates, self.reduction, strict=True) if by >= self.claim.by]
        if not there:
            return "nowhere"
        low, high = there[0], there[-1]
        if len(there) == len(self.rates):
            return "at all rates"
        if low == self.rates[0]:
            return f"up to {spoken(high)}"
        return f"from {spoken(low)} on" if high == self.rates[-1] else f"from {spoken(low)} to {spoken(high)}"


def held(claim: Claim, model: str, here: Board, round_trip: float, answers: Mapping[str, Sequence[Answered]]) -> Held:
    """The claim on one board and model, from what each way takes at every rate of FINE."""
    ours, other = ([_figure(claim.figure, a) for a in answers[name]] for name in ("BottleFit", claim.baseline))
    return Held(claim, here.name, model, round_trip, tuple(1 - a / b for a, b in zip(ours, other, strict=True)))


def rows(work: Path) -> tuple[list[Row], list[Target], dict[str, bytes]]:
    """A row for each claim, board, model and round trip, one for each piece, and a target for each claim."""
    path = work / FILE
    if not path.is_file():
        why = "the published networks were not timed in this run"
        return [], [left_out(f"BottleFit, {c.name}", f"-{c.by:.0%}", why) for c in CLAIMS], {}
    figures = msgspec.json.decode(path.read_bytes(), type=Figures)
    boards = {name: board(name, figures.pieces) for name in (*BOARDS, SERVER)}
    found: list[Row] = [_piece(name, one) for name, one in figures.pieces.items()]
    found += [r for model in figures.models for r in _sizes(model, figures)]
    answers = {
        (name, model, round_trip): {
            way.name: [cost(way, boards[name], boards[SERVER], link(rate, round_trip)) for rate in FINE]
            for way in ways(model, figures).values()
        }
        for name in BOARDS
        for model in figures.models
        for round_trip in ROUND_TRIPS
    }
    targets = []
    for claim in CLAIMS:
        every = [
            held(one, model, boards[name], round_trip, answers[name, model, round_trip])
            for one in _readings(claim)
            for name in claim.boards
            for model in figures.models
            for round_trip in (ROUND_TRIPS if one.figure != "busy" else ROUND_TRIPS[:1])
        ]
        found += [_row(one) for one in every]
        judged = [h for h in every if h.claim.figure == claim.figure]
        targets.append(_target(claim, judged, [h for h in every if h.claim.figure != claim.figure]))
    drawn = {}
    for name in BOARDS:
        for model in figures.models:
            case = f"{model} on {boards[name].device.title}: local, offload, BottleFit, autoencoder"
            four = tuple(ways(model, figures).values())
            more, won = delays.region(four, boards[name], boards[SERVER], case)
            found += more
            if (name, model) == (BOARDS[0], figures.models[0]):
                drawn["region_published"] = delays.plane(won, boards[name], case)
    return found, [*targets, _smaller(figures)], drawn


def _readings(claim: Claim) -> list[Claim]:
    """The claim as it is judged, and the other reading: joules beside watts, the device's own seconds beside all seconds."""
    other: Figure = "energy" if claim.figure == "power" else "busy"
    alone = claim.baseline != "offload" or claim.figure == "power"  # a JPEG takes the device next to no time
    return [claim, msgspec.structs.replace(claim, figure=other)] if alone else [claim]


def _figure(name: Figure, of: Answered) -> float:
    found = {"power": of.power, "energy": of.energy, "latency": of.latency, "busy": of.busy}[name]
    assert found is not None  # both boards have idle and active power
    return found


def _row(one: Held) -> Row:
    case = f"BottleFit on {one.model}, {one.board}, {1e3 * one.round_trip:g} ms round trip"
    metric = f"{WORDS[one.claim.figure]} against {one.claim.baseline}, claim -{one.claim.by:.0%} {one.where}"
    return Row(case, metric, -100 * one.best, "%", len(one.rates), -100 * one.best, -100 * min(one.reduction), "modelled")


def _target(claim: Claim, judged: Sequence[Held], other: Sequence[Held]) -> Target:
    """Reproduced where a board and model reach it at some rate; what it is there and elsewhere in `got`."""
    best = max(judged, key=lambda h: h.best)
    low = min(min(h.reduction) for h in judged)
    met = best.best >= claim.by
    spoken_of = f"{WORDS[claim.figure]} {_signed(best.best)} to {_signed(low)}; reached " + "; ".join(
        f"{h.where} ({h.board}, {h.model})" for h in judged if h.round_trip == ROUND_TRIPS[0]
    )
    aside = max(other, key=lambda h: h.best, default=None)
    if aside is not None:
        spoken_of += f"; {WORDS[aside.claim.figure]} {_signed(aside.best)} at best"
    reason = f"refuted in our model: of {WORDS[claim.figure]} no link rate from 50 kbit/s to 20 Mbit/s gives it"
    if claim.figure == "power" and not met:
        reason += "; a device that waits for an answer idles, whatever it has sent, so its watts hardly differ"
    return Target(f"BottleFit, {claim.name}, up to", f"-{claim.by:.0%}", spoken_of, met, "" if met else reason)


def _signed(reduction: float) -> str:
    return f"{-100 * reduction:+.0f} %"


def _piece(name: str, one: Timed) -> Row:
    t = one.seconds
    return Row(name, "time, one thread", t.busy, "s", t.n, t.low, t.high)


def _sizes(model: str, figures: Figures) -> list[Row]:
    """Parameters and multiply-adds of a network and of what a device runs of it, and how much smaller BottleFit's head is."""
    names = [model, f"{model} BottleFit head", f"{model} autoencoder head"]
    found = [Row(n, "parameters", figures.pieces[n].size.parameters, "") for n in names]
    found += [Row(n, "multiply-adds", figures.pieces[n].size.macs, "", provenance="modelled") for n in names]
    head = figures.pieces[names[1]].size.parameters
    for n in (names[0], names[2]):
        found.append(Row(f"{model} BottleFit head", f"times smaller than {n}", figures.pieces[n].size.parameters / head, ""))
    return found


def _smaller(figures: Figures) -> Target:
    """8.6: the least ratio over the models counts."""
    ratios = {
        m: figures.pieces[f"{m} autoencoder head"].size.parameters / figures.pieces[f"{m} BottleFit head"].size.parameters
        for m in figures.models
    }
    met = min(ratios.values()) >= SMALLER
    got = ", ".join(f"{r:.0f} × ({m})" for m, r in ratios.items())
    reason = "" if met else "our autoencoder stands elsewhere or is narrower than theirs, of which nothing is public to us"
    return Target("BottleFit, 8.6 head smaller than the autoencoder's", f">= {SMALLER:.0f} ×", got, met, reason)
