"""A person's own pictures from end to end: `split fit` on blood cells, then `split report` on pictures that taught nothing.

The teacher is our detector of three kinds of cells (`edgewise.training.bccd`); GHND gives it a bottleneck of three channels on
the pack's unlabelled training pictures, minutes on one core, with rounding noise for half of them (ours). The 72 test pictures
and their boxes judge every operating point, the uncut model and JPEG in one run; bytes are counted on a socket with TLS. The
pack is not part of the project; the student stays in the build folder, and a run that is called again carries on there.
"""

from __future__ import annotations

from pathlib import Path

from bench.report import ROOT, Report, Row, Target, left_out
from edgewise.apps.vision.split_outcome import PointRow
from edgewise.apps.vision.split_report import ReportConfig, report
from edgewise.split.fit import Fit, fit
from edgewise.training import bccd

PACK = ROOT.parent / "shared" / "data" / "bccd.tar"
WEIGHTS = ROOT / "bench" / "weights" / "bccd.safetensors"
WORK = ROOT / "build" / "split_bccd"
FULL, QUICK = 420.0, 5.0  # seconds of training
BELOW, QUARTER = 0.015, 0.25
NAME = "GHND on blood cells, boxes"
WANT = f"AP50 at most {100 * BELOW:.1f} points below the teacher at <= 1/4 of JPEG q75 of the picture"
JPEG = "jpeg-75"


def run(quick: bool, work: Path | None = None) -> Report:
    """Rows of every point of the report and one target."""
    if not PACK.exists():
        return Report([], [left_out(NAME, WANT, f"the pack is not here: {PACK.name}")])
    place = work or WORK / ("quick" if quick else "full")
    config = Fit(
        model="edgewise.training.bccd:build",
        cut="stem.2",
        data=PACK,
        weights=WEIGHTS,
        out=place / "bundle",
        fine=True,
        width=bccd.PICTURE.width,
        height=bccd.PICTURE.height,
        task="detection",
        labels=bccd.LABELS,
        seconds=QUICK if quick else FULL,
        schedule="cosine",
        relative=True,
        noise="round",
        bits=(8, 6, 4, 3),
    )
    made = fit(config)
    found = report(ReportConfig(bundle=str(made.folder), data=str(PACK), limit=12 if quick else 200, device="this"))
    teacher = next(p for p in found.points if p.name == "uncut-on-device")
    picture = next(p for p in found.points if p.name == JPEG)
    splits = [p for p in found.points if p.mode == "split"]
    rows = [row for p in found.points for row in rows_of(p)]
    taught = {"steps": made.steps, "seconds": round(made.seconds), "bundle": made.manifest.address}
    return Report(rows, [judged(splits, teacher, picture, quick)], taught, "loopback, TLS", "onnxruntime CPU")


def rows_of(point: PointRow) -> list[Row]:
    """Bytes on the socket and AP50 of one way."""
    case = f"blood cells, {point.name}"
    return [
        Row(case, "frame", point.bytes_mean, "bytes", point.n, point.bytes_low, point.bytes_high),
        Row(case, "AP50", point.quality, "", point.n, point.quality_low, point.quality_high),
    ]


def judged(splits: list[PointRow], teacher: PointRow, picture: PointRow, quick: bool) -> Target:
    """The smallest split that is near enough, or the best one where none is."""
    near = [p for p in splits if teacher.quality - p.quality <= BELOW]
    best = min(near, key=lambda p: p.bytes_mean) if near else max(splits, key=lambda p: p.quality)
    share = best.bytes_mean / picture.bytes_mean
    got = f"{best.name}: {100 * (best.quality - teacher.quality):+.1f} points, {share:.3f} of the bytes"
    if quick:
        return Target(NAME, WANT, got, None, "a quick run teaches for seconds")
    met = bool(near) and share <= QUARTER
    return Target(NAME, WANT, got, met, "" if met else "the student learnt for minutes on 205 pictures")
