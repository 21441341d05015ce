"""`edgewise split tables`: the tables of a bundle's codings, fitted again to a person's own frames. Only bytes change.

A table that was counted on other scenes, or before a delta changed what the head gives, spends more bits than it must (the
Kullback–Leibler divergence of the two, per code). Quantisers, order, layers and byte guards stay, so every decoded value stays,
and with it every answer of a frame that the guard leaves whole (wrong tables make frames large, and the guard then costs them
layers: those come back). Models stay too: the new bundle differs in its manifest alone, and `publish --from` sends no more.

Frames are parted in blocks of neighbours: those that fitted tables do not judge them. A coding whose tables do not get smaller
on the others keeps its own. Where there is a filter, the frames that it lets go count alone. It knows these frames, and no
others; what pictures sent whole cost is not measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import refitted
from edgewise.core.artifact import Coding, Manifest
from edgewise.core.coherent import EARLY, PRESENT
from edgewise.core.delta import Delta
from edgewise.core.errors import ConfigError, ModelError, SourceError
from edgewise.core.placement import OperatingPoint
from edgewise.core.wire import FRAME_HEADER
from edgewise.runtime.bundle import Bundle, bundle_files
from edgewise.runtime.update import manifest_of, updated
from edgewise.split.samples import Samples, of_arrays, of_pictures

Advance = Callable[[str, float], None]
METHOD = "tables"


class Tables(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `edgewise split tables` is asked for: `fitted` samples at most for the tables, `judged` others for their bytes."""

    bundle: Path
    data: Path
    out: Path
    fitted: Annotated[int, Meta(ge=1)] = 400
    judged: Annotated[int, Meta(ge=1)] = 200
    most_bad: Annotated[float, Meta(ge=0, le=1)] = 0.05
    seed: int = 0
    threads: Annotated[int, Meta(ge=1)] = 1


class Row(Struct, frozen=True, forbid_unknown_fields=True):
    """A coding by its point: mean bytes of a judged frame with all its layers (header and payload), by the old tables and by the
    new, `taken` or not; the share of frames that the byte guard cuts, by both.
    """

    point: str
    before: float
    after: float
    taken: bool
    cut_before: float
    cut_after: float


class Retabled(Struct, frozen=True):
    """The new bundle: its manifest, a row for each coding, how many samples fitted and judged, what was filtered and left out."""

    manifest: Manifest
    rows: tuple[Row, ...]
    fitted: int
    judged: int
    dropped: int
    left: dict[str, str]


def retabled(config: Tables, advance: Advance = lambda what, share: None) -> Retabled:
    """Fit, measure, and write the bundle; ModelError where there is nothing to fit or nothing gained."""
    bundle, files = Bundle.open(config.bundle), bundle_files(config.bundle)
    manifest = bundle.manifest
    if not manifest.codings:
        raise ModelError(
            "the bundle has no tables",
            got=manifest.name,
            allowed="points of codec rans",
            hint="`edgewise split quick` makes them.",
        )
    if config.out.resolve() == config.bundle.resolve():
        raise ConfigError("the new bundle would replace the old one", got=config.out, allowed="a folder of its own")
    samples = _samples(manifest, config, advance)
    seen = _features(bundle, samples.of(samples.calibrate), config.threads, lambda share: advance("features", 0.6 * share))
    held = _features(bundle, samples.of(samples.judge), config.threads, lambda share: advance("features", 0.6 + 0.4 * share))
    dropped = len(samples.calibrate) + len(samples.judge) - len(seen) - len(held)
    if not seen or not held:
        raise SourceError(
            "the filter lets too few samples go", got=f"{len(seen)} to fit and {len(held)} to judge", allowed="1 or more of each"
        )
    advance("tables", 0.0)
    fresh = refitted(manifest, seen).codings
    rows, codings, points = _compared(manifest, fresh, held, advance)
    if not any(row.taken for row in rows):
        raise ModelError(
            "no table gets smaller by these samples",
            got="; ".join(f"{r.point}: {r.before:.0f} B by its own, {r.after:.0f} B by new ones" for r in rows),
            allowed="fewer bytes on samples that fitted nothing",
            hint="Keep the bundle, or give more samples.",
        )
    said = {
        "tables": f"fitted to {len(seen)} samples of {config.data.name}, bytes of {', '.join(r.point for r in rows if r.taken)} "
        f"measured on {len(held)} others",
        "points_of": manifest.provenance.get("points_of", manifest.address),
    }
    change = Delta(manifest.provenance.get("base", manifest.address), manifest.address, METHOD, {})
    made = updated(files, change, points=points, codings=codings, provenance=said)
    config.out.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        (config.out / name).write_bytes(data)
    advance("tables", 1.0)
    left = {x.name: x.why for x in samples.left}
    return Retabled(manifest_of(made), tuple(rows), len(seen), len(held), dropped, left)


def _compared(
    manifest: Manifest, fresh: dict[str, Coding], held: Sequence[NDArray[np.float32]], advance: Advance
) -> tuple[list[Row], dict[str, Coding], tuple[OperatingPoint, ...]]:
    """Rows; of each coding the one of fewer bytes; points with the payloads of what was taken."""
    rows, codings, payloads = [], dict(manifest.codings), {}
    for number, (name, coding) in enumerate(manifest.codings.items()):
        before, _, cut_before = _sent(manifest, coding, held)
        after, sent, cut_after = _sent(manifest, fresh[name], held)
        taken = after < before
        rows.append(Row(name, FRAME_HEADER + before, FRAME_HEADER + after, taken, cut_before, cut_after))
        if taken:
            codings[name], payloads[name] = fresh[name], round(sent, 1)
        advance("tables", (number + 1) / (len(manifest.codings) + 1))
    points = tuple(msgspec.structs.replace(p, bytes_up=payloads.get(p.name, p.bytes_up)) for p in manifest.points)
    return rows, codings, points


def _sent(manifest: Manifest, coding: Coding, held: Sequence[NDArray[np.float32]]) -> tuple[float, float, float]:
    """Mean payload in bytes with all layers and as the byte guard lets it go, and the share of frames that it cuts."""
    codec = FeatureCodec(manifest.crossing, msgspec.structs.replace(coding, most=0))
    whole = np.array([len(codec.encode(one)) for one in held])
    if not coding.most:
        return float(whole.mean()), float(whole.mean()), 0.0
    guarded = FeatureCodec(manifest.crossing, coding)
    sent = float(np.mean([len(guarded.encode(one)) for one in held]))
    return float(whole.mean()), sent, float((whole > coding.most).mean())


def _samples(manifest: Manifest, config: Tables, advance: Advance) -> Samples:
    first = manifest.first
    if (picture := manifest.pictures.get(first)) is not None:
        return of_pictures(config.data, picture, config.fitted, config.judged, config.most_bad, config.seed, advance)
    shape = tuple(n or 1 for n in manifest.parts[first].inputs[0].shape[1:])
    return of_arrays(config.data, shape, config.fitted, config.judged, config.most_bad, config.seed, advance)


def _features(bundle: Bundle, values: NDArray[Any], threads: int, heard: Callable[[float], None]) -> list[NDArray[np.float32]]:
    """What crosses (1, *shape) for each sample; samples that the filter drops are left out."""
    return list(_crossing(bundle, values, threads, heard))


def _crossing(
    bundle: Bundle, values: NDArray[Any], threads: int, heard: Callable[[float], None]
) -> Iterator[NDArray[np.float32]]:
    head, guard = bundle.session("head", threads), bundle.manifest.filter
    first = bundle.session("filter", threads) if guard is not None else None
    for number in range(len(values)):
        feed = values[number : number + 1]
        heard(number / len(values))
        if first is not None and guard is not None:
            seen = first.run({first.inputs[0].name: feed})
            if float(seen[PRESENT].reshape(-1)[0]) < guard.threshold:
                continue
            feed = seen[EARLY]
        yield head.run({head.inputs[0].name: feed})[head.outputs[0].name]
