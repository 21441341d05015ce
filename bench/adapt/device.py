"""What a device pays for following its stream: processor time against the plain part, memory, torch; and frames around an update.

Plain and followed part answer the same frames one after the other, in blocks that alternate, once the stream has settled; both on
one thread, sessions built on the way included. Doubt is what a learner asks of each answer. "As it is" is the part as onnxruntime
runs it, normalisation folded into convolutions: the quickest that there is.

The update is that of delivery: another version of the shipped detector is made ready and swapped between two frames that are due
at a camera's rate (`bench.swaps`).
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from bench import swaps
from bench.adapt.bundled import bundle
from bench.adapt.ground import SCALES, before
from bench.adapt.models import pictures
from bench.jobs import Advance, Job, Size
from bench.kept import document
from bench.report import ROOT, Row, Target, at_most, left_out
from edgewise.data.doubt import doubt
from edgewise.data.streams import parse, stream
from edgewise.runtime.bundle import Bundle
from edgewise.runtime.tracked import Tracked

FILE = "records/device.json"
DOMAIN = "fog:5"
BLOCK = 100  # frames of one way before the other has its turn
MOST = 0.05
FORWARD = "import sys, edgewise.adapt.device, edgewise.runtime.tracked, edgewise.node.heads; print('torch' in sys.modules)"


class Paid(Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds a frame by block of frames, once settled: `plain`, `followed`, `doubts`; `state` bytes of all that following keeps
    between two frames; `torch`: whether it was imported; `late`: seconds of the latest frame around an update."""

    plain: tuple[float, ...]
    followed: tuple[float, ...]
    doubts: tuple[float, ...]
    watched: float
    state: int
    torch: bool
    late: float
    rounds: int


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    if seed:
        return []
    frames, rounds = {"full": (6000, 10), "medium": (2000, 3), "quick": (300, 1)}[size]
    arguments = {"size": size, "frames": frames, "rounds": rounds}
    return [
        Job("device.0", "bench.adapt.device:leave", (FILE,), arguments, 4.2, before("cifar10", 0), minutes=0.2 + 3e-4 * frames)
    ]


def leave(work: Path, advance: Advance, size: Size, frames: int, rounds: int) -> None:
    """The job."""
    limit = SCALES[size].judge
    manifest = bundle(work, work / "bundle", "cifar10", "student", 0, limit)
    opened = Bundle.open(work / "bundle")
    album = pictures("cifar10", "report", work, limit)
    shown = stream(parse(DOMAIN), album.labels, each=frames)
    session, part = opened.session("local"), Tracked.of(opened, "local", aside=False)
    spent: dict[str, list[float]] = {"plain": [], "followed": [], "doubts": []}
    before_watched = before_runs = 0
    for first in range(0, frames - BLOCK + 1, BLOCK):
        places = [shown.at(i) for i in range(first, first + BLOCK)]
        feeds = [{"picture": shown.through(album.of(p.index), p)[None]} for p in places]
        if first >= frames // 2 and not before_runs:
            before_watched, before_runs = part.tally.watched, part.tally.runs
        taken: dict[str, float] = {}
        begun = time.process_time()
        answers = [session.run(feed) for feed in feeds]
        taken["plain"] = time.process_time() - begun
        begun = time.process_time()
        for feed in feeds:
            part.run(feed)
        taken["followed"] = time.process_time() - begun
        begun = time.process_time()
        for outputs in answers:
            doubt(outputs, manifest.decoding)
        taken["doubts"] = time.process_time() - begun
        if first >= frames // 2:
            for way, seconds in taken.items():
                spent[way].append(seconds / BLOCK)
        advance("following", first / frames)
    course = part.course
    arrays = [course.running.mean, course.running.second, course.plain.mean, course.plain.second, course.slow, course.fast]
    state = sum(int(a.nbytes) for a in arrays if a is not None)
    late = swaps.swaps(rounds)
    share = (part.tally.watched - before_watched) / max(part.tally.runs - before_runs, 1)
    plain, followed, doubts = (tuple(spent[way]) for way in ("plain", "followed", "doubts"))
    paid = Paid(plain, followed, doubts, share, state, _torch(), late.delayed, rounds)
    document(work / FILE, paid)


def _torch() -> bool:
    """Whether what a device imports to follow and to choose imports torch."""
    said = subprocess.run([sys.executable, "-c", FORWARD], cwd=ROOT, capture_output=True, text=True, check=True)
    return said.stdout.strip() != "False"


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    path = work / FILE
    cost, calm = "device cost of following and of doubt", "update while serving"
    want, soon = "<= 5 % of forward time, 0 bytes of saved activations, no torch", "no frame later than one frame time"
    if not path.exists():
        return [], [left_out(cost, want, "it was not timed in this run"), left_out(calm, soon, "nothing was swapped in this run")]
    paid = msgspec.json.decode(path.read_bytes(), type=Paid)
    plain, followed, doubts = (np.asarray(v) for v in (paid.plain, paid.followed, paid.doubts))
    n = len(plain) * BLOCK
    extra = float(np.median(followed - plain) / np.median(plain))
    asked = float(np.median(doubts) / np.median(plain))
    lines = [
        Row(
            "device, as it is", "processor time a frame", float(np.median(plain)), "s", n, float(plain.min()), float(plain.max())
        ),
        Row(
            "device, followed",
            "processor time a frame",
            float(np.median(followed)),
            "s",
            n,
            float(followed.min()),
            float(followed.max()),
        ),
        Row("device, followed", "share of frames that were watched", 100 * paid.watched, "%", n),
        Row("device, followed", "more than as it is", 100 * extra, "%", n),
        Row("device, doubt of an answer", "of the forward pass", 100 * asked, "%", n),
        Row("device, followed", "bytes kept between frames", paid.state, "bytes"),
        Row("device, update", "delay of an inference by a swap, largest", paid.late, "s", paid.rounds),
    ]
    met = extra + asked <= MOST and not paid.torch
    got = f"{extra:+.1%} and {asked:.1%} for doubt; no backward pass, so no activation is kept; "
    got += f"{paid.state / 1e3:.1f} KB of averages; {'torch was imported' if paid.torch else 'no torch'}"
    why = (
        ""
        if met
        else f"one frame in {1 / max(paid.watched, 1e-9):.0f} is watched, unfolded, by a network of {np.median(plain):.2g} s"
    )
    swap = at_most(calm, 1 / swaps.RATE, lines[-1], "another process had the processor, or a session takes longer to make ready")
    return lines, [Target(cost, want, got, met, why), msgspec.structs.replace(swap, want=f"{soon} ({swap.want})")]
