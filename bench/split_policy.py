"""The policy on the device with the points of the entropy coder: against every fixed point and an oracle, on the main job's
links.

The shipped detector gets codings in place of its affine points: the same codes of 256, 16 and 4 levels a channel, their bytes
by static tables. Tables are fitted on rendered scenes of their own (FITTED); what a point sends and is worth is measured on the
scenes that the bundle's own table is from (MEASURED). Then all is as in `bench.adaptive`: the real agent, sessions and server
in virtual time, the same links, the same worth of a frame.

A first row of each point says what the coder saves: the same codes, fewer bytes. A bundle of another kind (`split fit`) is
measured in the same way with `run(quick, bundle=…)`, by the table in its manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import thread_time

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from bench import adaptive
from bench.main_job import ONE_WAY, PACK, PI4, recorded, step
from bench.report import Report, Row, Target, left_out
from edgewise.apps.vision.bundles import find
from edgewise.codec.fitted import coding_for
from edgewise.codec.select import codec_for
from edgewise.core.artifact import Grid, Manifest
from edgewise.core.placement import OperatingPoint
from edgewise.data.preprocess import fit
from edgewise.runtime.bundle import Bundle, read_manifest
from edgewise.training import validate
from edgewise.training.frames import Frames, rendered

LEVELS = {"rans-256": 256, "rans-16": 16, "rans-4": 4}
AFFINE = {"rans-256": "split-8", "rans-16": "split-4", "rans-4": "split-2"}
FITTED, MEASURED = range(300, 312), range(200, 220)


def run(quick: bool, bundle: Path | None = None) -> Report:
    """Rows of every point, phase and link; the targets of the policy, for this machine and a Pi 4."""
    rows: list[Row] = []
    targets: list[Target] = []
    if bundle is None:
        opened = Bundle.open(find("vehicles"))
        manifest = with_rans(opened, quick)
        rows += saved(opened.manifest, manifest)
    else:
        manifest = read_manifest(bundle)
    cases = [step(6.0 if quick else 20.0), *recorded(quick)]
    for device, slower in (("this machine", 1.0),) if quick else (("this machine", 1.0), ("Pi 4, modelled", PI4)):
        more, goals = adaptive.compare(manifest, cases, device, slower)
        rows += more
        targets += goals
    if len(cases) == 1:
        targets.append(left_out("recorded links", "mahimahi uplinks", f"the data pack {PACK} is not here; set EDGEWISE_DATA"))
    config = {
        "bundle": manifest.address,
        "points": [p.name for p in manifest.points],
        "links": [f"{c.name} {c.seconds:g} s" for c in cases],
        "deadline_s": adaptive.DEADLINE,
        "one_way_delay_s": ONE_WAY,
        "pi4_factor": PI4,
        "scenes": {"fitted": [FITTED[0], FITTED[-1]], "measured": [MEASURED[0], MEASURED[-1]]} if bundle is None else {},
    }
    return Report(rows, targets, config, "virtual", "onnxruntime CPU")


def with_rans(bundle: Bundle, quick: bool = False) -> Manifest:
    """The bundle's manifest with points of the entropy coder in place of its affine ones, fitted and measured here."""
    manifest = bundle.manifest
    crossing, channels = manifest.crossing, range(manifest.crossing.channels)
    seen = features(bundle, rendered(FITTED[:2] if quick else FITTED, 1 if quick else 3, None).pictures)
    codings = {name: coding_for(crossing, [seen], [n] * len(channels), channels) for name, n in LEVELS.items()}
    kept = tuple(p for p in manifest.points if p.mode in ("local", "image"))
    made = tuple(OperatingPoint(name, "split", "rans", codes) for name, codes in _levels())
    described = replace(manifest, points=(*kept, *made), codings=codings)
    frames = rendered(MEASURED[:3] if quick else MEASURED, 1 if quick else 2, None)
    return replace(described, points=tuple(measured(bundle, described, p, frames) for p in described.points))


def _levels() -> list[tuple[str, int]]:
    """Names and bits: a stream says its level in 0 to 100."""
    return [(name, codes.bit_length() - 1) for name, codes in LEVELS.items()]


def features(bundle: Bundle, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the head gives for pictures (n, height, width, 3): (n, channel, height, width)."""
    head, look = bundle.session("head"), bundle.manifest.pictures["head"]
    found = [head.run({head.inputs[0].name: fit(image, look)})[head.outputs[0].name] for image in images]
    return np.concatenate(found)


def measured(bundle: Bundle, manifest: Manifest, point: OperatingPoint, frames: Frames) -> OperatingPoint:
    """A point of the coder on frames: bytes of its payloads, processor time, cell F1 by condition; others keep their figures."""
    if point.codec != "rans":
        return point
    codec, tail = codec_for(point, manifest), bundle.session("tail")
    told = []
    for image in frames.pictures:
        begun = thread_time()
        payload = codec.encode(features(bundle, image[None]))
        sent = thread_time()
        maps = tail.run({tail.inputs[0].name: codec.decode(payload)})
        told.append(validate.Told(maps, len(payload), sent - begun, thread_time() - sent))
    assert isinstance(manifest.decoding, Grid)
    return validate.measured(point, told, manifest.decoding, frames, validate.truth(frames))


def saved(before: Manifest, after: Manifest) -> Sequence[Row]:
    """Bytes of a point by the coder and by its affine codes, and the quality of both; the codes are the same."""
    rows = []
    for name, affine in AFFINE.items():
        ours, theirs = after.point(name), before.point(affine)
        share = ours.bytes_up / theirs.bytes_up
        n = ours.quality["all"].n
        rows += [
            Row(name, "payload", ours.bytes_up, "bytes", n),
            Row(name, f"payload of {affine}", theirs.bytes_up, "bytes", theirs.quality["all"].n),
            Row(name, f"payload / {affine}", share, "", n),
            Row(name, "cell F1", ours.worth(), "", n, ours.quality["all"].low, ours.quality["all"].high),
            Row(name, f"cell F1 of {affine}", theirs.worth(), "", theirs.quality["all"].n),
        ]
    return rows
