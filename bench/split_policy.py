"""The policy on the device with the points of the entropy coder, against every fixed point and an oracle, on the main job's
links.

The shipped detector gets codings in place of its affine points: codes of 256, 16, 4 and 2 levels a channel, their bytes by
static tables. Tables are fitted on rendered scenes of their own (FITTED); what a point sends and is worth is measured on the
scenes that the bundle's own table is from (MEASURED). The student of GHND comes with points of its own and is run by the table
in its manifest; it has no local part, so nothing stands by when its link fails.

Then all is as in `bench.adaptive`: the real agent, sessions and server in virtual time, the same links, the same worth of a
frame. All points that a bundle offers are judged, those too that a larger frame makes no better.
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
from bench.split_ways import OURS
from edgewise.apps.vision.bundles import find
from edgewise.codec.fitted import coding_for
from edgewise.codec.select import codec_for
from edgewise.core.artifact import Grid, Manifest
from edgewise.core.placement import OperatingPoint
from edgewise.core.wire import socket_bytes
from edgewise.data.preprocess import fit
from edgewise.runtime.bundle import Bundle, read_manifest
from edgewise.training import validate
from edgewise.training.frames import Frames, rendered

LEVELS = {"rans-256": 256, "rans-16": 16, "rans-4": 4, "rans-2": 2}
AFFINE = {"rans-256": "split-8", "rans-16": "split-4", "rans-4": "split-2"}
FITTED, MEASURED = range(300, 312), range(200, 220)


def run(quick: bool, bundle: Path = OURS) -> Report:
    """Rows of every point, phase and link; the targets of the policy for each bundle, for this machine and a Pi 4."""
    vehicles = Bundle.open(find("vehicles"))
    coded = with_rans(vehicles, quick)
    rows = list(saved(vehicles.manifest, coded))
    targets: list[Target] = []
    cases = [step(6.0 if quick else 20.0), *recorded(quick)]
    run = {"vehicles with rans": coded}
    if (bundle / "manifest.json").is_file():
        run["things"] = read_manifest(bundle)
    else:
        targets.append(left_out("the policy with the points of the GHND student", "≥ 0.95", f"it is not here: {bundle.name}"))
    for name, manifest in run.items():
        for device, slower in (("this machine", 1.0),) if quick else (("this machine", 1.0), ("Pi 4, modelled", PI4)):
            more, goals = adaptive.compare(manifest, cases, f"{name}, {device}", slower)
            rows += more
            targets += goals
    if len(cases) == 1:
        targets.append(left_out("recorded links", "mahimahi uplinks", f"the data pack {PACK} is not here; set EDGEWISE_DATA"))
    config = {
        "bundles": {name: manifest.address for name, manifest in run.items()},
        "links": [f"{c.name} {c.seconds:g} s" for c in cases],
        "deadline_s": adaptive.DEADLINE,
        "one_way_delay_s": ONE_WAY,
        "pi4_factor": PI4,
        "scenes": {"fitted": [FITTED[0], FITTED[-1]], "measured": [MEASURED[0], MEASURED[-1]]},
    }
    return Report(rows, targets, config, "virtual", "onnxruntime CPU")


def with_rans(bundle: Bundle, quick: bool = False) -> Manifest:
    """The bundle's manifest with points of the entropy coder in place of its affine ones, fitted and measured here."""
    manifest = bundle.manifest
    crossing, channels = manifest.crossing, range(manifest.crossing.channels)
    seen = features(bundle, rendered(FITTED[:2] if quick else FITTED, 1 if quick else 3, None).pictures)
    codings = {name: coding_for(crossing, [seen], [n] * len(channels), channels) for name, n in LEVELS.items()}
    kept = tuple(p for p in manifest.points if p.mode in ("local", "image"))
    made = tuple(OperatingPoint(name, "split", "rans", bits) for name, bits in _levels())
    described = replace(manifest, points=(*kept, *made), codings=codings)
    frames = rendered(MEASURED[:3] if quick else MEASURED, 1 if quick else 2, None)
    return replace(described, points=(*kept, *(measured(bundle, described, p, frames) for p in made)))


def _levels() -> list[tuple[str, int]]:
    """Names and bits: a stream says its level in 0 to 100."""
    return [(name, codes.bit_length() - 1) for name, codes in LEVELS.items()]


def features(bundle: Bundle, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the head gives for pictures (n, height, width, 3): (n, channel, height, width)."""
    head, look = bundle.session("head"), bundle.manifest.pictures["head"]
    found = [head.run({head.inputs[0].name: fit(image, look)})[head.outputs[0].name] for image in images]
    return np.concatenate(found)


def measured(bundle: Bundle, manifest: Manifest, point: OperatingPoint, frames: Frames) -> OperatingPoint:
    """A point of the coder on frames: bytes of its payloads, processor time, cell F1 by condition."""
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
    """Bytes on a socket of a point by the coder and by its affine codes, and the quality of both; the codes are the same."""
    rows = []
    for name in LEVELS:
        ours = after.point(name)
        n, worth = ours.quality["all"].n, ours.quality["all"]
        mine = socket_bytes(round(ours.bytes_up))
        rows.append(Row(name, "frame", mine, "bytes", n))
        rows.append(Row(name, "cell F1", worth.value, "", n, worth.low, worth.high))
        if name not in AFFINE:
            continue
        affine = AFFINE[name]
        theirs = before.point(affine)
        whole = socket_bytes(round(theirs.bytes_up))
        rows += [
            Row(name, f"frame of {affine}", whole, "bytes", theirs.quality["all"].n),
            Row(name, f"frame / {affine}", mine / whole, "", n),
            Row(name, f"cell F1 of {affine}", theirs.worth(), "", theirs.quality["all"].n),
        ]
    return rows
