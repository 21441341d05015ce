"""Context tables against static ones, and coded bytes against the ideal length, on latents of trained students.

Both kinds of tables are fitted to the same training pictures, and code the same held-out ones. A payload is everything behind the
wire's header: container, checksum, states and codes. The ideal length is −Σ log2 of what its own table says of each code, with no
byte for anything else; it knows the escapes, which cost their code's eight bits. Milliseconds are of processor time on this host.

    contexts compared        saves of a static table's ideal length, in trials on 1,000 pictures: stride 8   stride 16
    size of left and up      min(|l|, 3) + min(|u|, 3), capped at 4: 5 tables a channel             14 %      5 to 6 %
    left and up with signs   each clipped to ±2: 25 tables a channel                                25 %    11 to 13 %
    the same, and activity   of all channels around: 98 tables a channel                            27 %    12 to 14 %
    sums over all channels   left, up, corner, and here in groups before: 39 tables a channel       29 %    25 %

The last is what the codec does (`edgewise.codec.context`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import UNSET, Struct
from numpy.typing import NDArray

from bench.jobs import Advance, Job, Size
from bench.rates import entropic, ours
from bench.rates.ground import ground
from bench.rates.imagenette import Part
from bench.report import Row, Target, left_out
from edgewise.codec import tables
from edgewise.codec.context import grid, outlook
from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import with_tables
from edgewise.codec.quantise import Levels
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.split.training.frozen import features
from edgewise.split.training.ladder import Climb
from edgewise.split.training.rung import Rung

FOLDER = "contexts"
FITTED, JUDGED = 1024, 1000  # pictures
SMALL = 500  # bytes
LESS, OVER = -0.12, 0.03
BATCH, ROUNDS = 32, 5
NAMES = ("context tables against static ones", f"coded bytes above the ideal length below {SMALL} B")
ESCAPED = 8  # bits of a code that its table has not
Floats = NDArray[np.float64]


class Found(Struct, frozen=True, forbid_unknown_fields=True):
    """Mean bytes of a payload over `n` held-out pictures, ideal and as coded, by both kinds of tables; milliseconds of a frame by
    contexts, alone and in a batch; `kilobytes` of tables, weights and bounds.
    """

    method: str
    point: str
    n: int
    static: float
    static_ideal: float
    context: float
    context_ideal: float
    encode: float
    decode: float
    decode_batch: float
    kilobytes: float


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """Each rung of Entropic Student and of ours, once it is there; seed 0 alone."""
    if seed:
        return []
    found = []
    for method, module in ((entropic.METHOD, entropic), (ours.METHOD, ours), (ours.TASK, ours)):
        betas = module.BETAS[size]
        for index, beta in enumerate(betas):
            point = entropic.point(beta)
            arguments = {"method": method, "index": index, "betas": list(betas), "size": size}
            leaves = (f"{FOLDER}/{method}.{point}.json",)
            name = f"contexts-{method}-{point}.{seed}"
            found.append(Job(name, "bench.rates.contexts:measured", leaves, arguments, 3, (f"{method}-{point}.{seed}",)))
    return found


def measured(work: Path, advance: Advance, method: str, index: int, betas: list[float], size: Size = "full") -> None:
    """Both kinds of tables for the latents of one rung."""
    on = ground(work, size, advance)
    if method == entropic.METHOD:
        asked = entropic.plan(tuple(betas), 0, size, on.crop)
        folder = work / method / "seed-0"
        labels = on.train.labels.tolist()
        rung = Climb(on.teacher, entropic.CUT, entropic.DESIGN, on.train, labels, on.look, asked, folder, advance).rung(index)
    else:
        rung = ours.climb(work, on, index, betas, 0, size, method, advance)
    taught = _latents(rung, on.train, FITTED)
    judged = np.concatenate(_latents(rung, on.held, JUDGED))
    found = compared(rung.bottleneck, rung.coding, taught, judged, method, entropic.point(betas[index]))
    path = work / FOLDER / f"{method}.{found.point}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(found))


def _latents(rung: Rung, source: Part, most: int) -> list[NDArray[np.float32]]:
    indices = np.linspace(0, len(source) - 1, min(most, len(source))).round().astype(int).tolist()
    return list(features(rung.net, rung.stretch, source, rung.look, indices))


def compared(
    bottleneck: Bottleneck,
    coding: Coding,
    taught: Sequence[NDArray[np.float32]],
    judged: NDArray[np.float32],
    method: str = "",
    point: str = "",
) -> Found:
    """Both kinds of tables in the place of a coding's own, fitted to `taught` (each batch, *shape), on `judged` (n, *shape)."""
    bare = msgspec.structs.replace(coding, context=UNSET, most=0)
    centre = coding.context.centre if coding.context else None
    static, context = with_tables(bottleneck, bare, taught), with_tables(bottleneck, bare, taught, True, centre)
    known = context.context
    assert known
    one, other = FeatureCodec(bottleneck, static), FeatureCodec(bottleneck, context)
    sent = [other.encode(x[None]) for x in judged]
    out = np.empty((BATCH, *bottleneck.shape), np.float32)
    several = sent[:BATCH]
    return Found(
        method=method,
        point=point,
        n=len(judged),
        static=float(np.mean([len(one.encode(x[None])) for x in judged])),
        static_ideal=float(ideal(bottleneck, static, judged).mean()),
        context=float(np.mean([len(data) for data in sent])),
        context_ideal=float(ideal(bottleneck, context, judged).mean()),
        encode=_milliseconds(lambda: [other.encode(x[None]) for x in judged[: len(several)]]) / len(several),
        decode=_milliseconds(lambda: [other.decode(data) for data in several]) / len(several),
        decode_batch=_milliseconds(lambda: other.decode_many(several, out[: len(several)])) / len(several),
        kilobytes=(len(context.tables) + len(known.weights) + len(known.bounds)) / 1e3,
    )


def ideal(bottleneck: Bottleneck, coding: Coding, values: NDArray[np.float32]) -> Floats:
    """Bytes (n,) that the tables of a coding say of features (n, *shape), without anything around them."""
    known, levels, of = tables.unpack(coding.tables), Levels(coding), grid(bottleneck)
    bits = np.zeros((len(known), max(coding.levels)))
    for row, first, frequencies in zip(bits, known.offsets, known.frequencies, strict=True):
        said = known.precision - np.log2(frequencies)
        row[:] = said[-1] + ESCAPED
        row[first : first + len(said) - 1] = said[:-1]
    found = []
    for one in values:
        planes = np.moveaxis(one, bottleneck.axis, 0).reshape(bottleneck.channels, -1)
        codes = levels.quantise(planes)[list(coding.order)]
        table = np.broadcast_to(np.arange(len(codes))[:, None], codes.shape)
        if coding.context:
            start, parts = 0, []
            for k, n in enumerate(coding.layers):
                look = outlook(coding, coding.context, k)
                parts.append(look.contexts(look.sums(codes[start : start + n], of)))
                start += n
            table = table * coding.context.count + np.concatenate(parts)
        found.append(bits[table, codes].sum() / 8)
    return np.array(found)


def _milliseconds(run: Callable[[], object]) -> float:
    """Processor time of the best of some rounds."""
    run()
    found = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        run()
        found.append(time.process_time() - begun)
    return 1e3 * min(found)


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    """Rows of every rung that was measured; a target each of the two, over all of them."""
    paths = sorted((work / FOLDER).glob("*.json"))
    if not paths:
        why = "no student's latents were coded in this run"
        return [], [left_out(NAMES[0], f"{LESS:.0%}", why), left_out(NAMES[1], f"≤ {OVER:.0%}", why)]
    found = [msgspec.json.decode(path.read_bytes(), type=Found) for path in paths]
    made = []
    for f in found:
        case = f"{f.method} {f.point}, tables"
        made += [
            Row(case, "payload, static tables", f.static, "bytes", f.n),
            Row(case, "payload, context tables", f.context, "bytes", f.n),
            Row(case, "ideal length, context against static", f.context_ideal / f.static_ideal - 1, "1", f.n),
            Row(case, "payload, context against static", f.context / f.static - 1, "1", f.n),
            Row(case, "payload above ideal length, static", f.static / f.static_ideal - 1, "1", f.n),
            Row(case, "payload above ideal length, context", f.context / f.context_ideal - 1, "1", f.n),
            Row(case, "encode, processor time", f.encode / 1e3, "s", BATCH),
            Row(case, "decode, processor time", f.decode / 1e3, "s", BATCH),
            Row(case, f"decode in a batch of {BATCH}, processor time", f.decode_batch / 1e3, "s", BATCH),
            Row(case, "tables, weights and bounds", f.kilobytes * 1e3, "bytes", 1),
        ]
    saved = [f.context_ideal / f.static_ideal - 1 for f in found]
    coded = [f.context / f.static - 1 for f in found]
    met = max(saved) <= LESS and max(coded) <= LESS
    targets = [
        Target(
            NAMES[0],
            f"{LESS:.0%}",
            f"{max(saved):.1%} of the ideal length at the worst of {len(found)} points (mean {np.mean(saved):.1%}); "
            f"coded {max(coded):.1%} (mean {np.mean(coded):.1%})",
            met,
            "" if met else "what some of these students say hangs together less than what the target was set for",
        )
    ]
    small = [f for f in found if f.context < SMALL]
    if not small:
        return made, [*targets, left_out(NAMES[1], f"≤ {OVER:.0%}", f"no point is below {SMALL} B")]
    most = max(small, key=lambda f: f.context / f.context_ideal)
    over = most.context / most.context_ideal - 1
    said = f"{over:.1%} at the worst of {len(small)} points ({most.method} {most.point}: {most.context:.0f} B)"
    reason = "" if over <= OVER else "some four bytes are the container's and the state's: so small a frame has no more to share"
    return made, [*targets, Target(NAMES[1], f"≤ {OVER:.0%}", said, over <= OVER, reason)]
