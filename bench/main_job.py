"""The main job: is the choice per frame worth it, does the plan hold, and does the shipped detector see?

Four parts: the adaptive policy on recorded and synthetic links (`bench.adaptive`), the step link once for real through the
proxy (`bench.live`), planned against measured latency (`bench.latency`), and the detector (`bench.detector`).
"""

from __future__ import annotations

import asyncio
import tarfile
import tempfile
from pathlib import Path

import msgspec

from bench import adaptive, detector, latency, live
from bench.report import Report, Row, Target, left_out
from edgewise.apps.vision.bundles import find
from edgewise.core.errors import ConfigError
from edgewise.core.link import Link
from edgewise.profiles.load import load_link
from edgewise.runtime.bundle import read_manifest

PACK = "links/mahimahi/mahimahi-traces.tar.gz"
PI4 = 8.0  # a Pi 4 needs about so much longer than this machine for the head: see docs/planning.md
ONE_WAY = 0.02  # s; the traces have no delay of their own


def run(quick: bool, traces: tuple[Path, ...] = ()) -> Report:
    """Everything; `traces` are folders of a person's own link traces, run beside ours."""
    manifest = read_manifest(find("vehicles"))
    rows: list[Row] = []
    targets: list[Target] = []
    cases = [step(6.0 if quick else 20.0), *recorded(quick), *_own(traces)]
    for device, slower in (("this machine", 1.0),) if quick else (("this machine", 1.0), ("Pi 4, modelled", PI4)):
        more, goals = adaptive.compare(manifest, cases, device, slower)
        rows += more
        targets += goals
    modes = (live.ADAPTIVE,) if quick else (live.ADAPTIVE, *(p.name for p in manifest.points if p.mode != "drop"))
    quality = adaptive.table(manifest)[1]
    more, goals = asyncio.run(live.measure(modes, quality, 3.0 if quick else 15.0))
    rows += more
    targets += goals
    for part in (latency, detector):
        found = part.run(quick)
        rows += found.rows
        targets += found.targets
    if len(cases) == 1:
        targets.append(left_out("recorded links", "mahimahi uplinks", f"the data pack {PACK} is not here; set EDGEWISE_DATA"))
    config = {
        "deadline_s": adaptive.DEADLINE,
        "interval_s": adaptive.INTERVAL,
        "left_out_frames": adaptive.LEFT_OUT,
        "links": [f"{c.name} {c.seconds:g} s" for c in cases],
        "bundle": manifest.address,
        "one_way_delay_s": ONE_WAY,
        "pi4_factor": PI4,
    }
    return Report(rows, targets, config, link_kind="virtual; proxy where it says so", engine_kind="onnxruntime CPU")


def step(seconds: float) -> adaptive.Case:
    """The step link, `seconds` a phase."""
    link, phases = live.step(seconds)
    return adaptive.Case("step", link, 3 * seconds, phases)


def recorded(quick: bool) -> list[adaptive.Case]:
    """The mahimahi uplinks, whole; one minute of one of them where it must be quick."""
    pack = detector.packs() / PACK
    if not pack.is_file():
        return []
    with tarfile.open(pack) as archive, tempfile.TemporaryDirectory() as folder:
        ups = sorted(n for n in archive.getnames() if n.endswith(".up"))
        cases = []
        for name in ups[:1] if quick else ups:
            member = archive.extractfile(name)
            assert member is not None
            file = Path(folder) / Path(name).name
            file.write_bytes(member.read())
            cases.append(_case(file, 60.0 if quick else None))
    return cases


def _own(folders: tuple[Path, ...]) -> list[adaptive.Case]:
    cases = []
    for folder in folders:
        files = sorted(f for f in folder.rglob("*") if f.is_file() and not f.name.startswith("."))
        if not files:
            raise ConfigError("a folder of traces is empty", got=folder, allowed="mahimahi .up files or tables of time and rate")
        cases += [_case(f, None) for f in files]
    return cases


def _case(file: Path, seconds: float | None) -> adaptive.Case:
    loaded = load_link(file)
    link = msgspec.structs.replace(loaded, rate_down=20e6, trace_down=None, delay=max(loaded.delay, ONE_WAY))
    length = _length(link)
    lasts = length if seconds is None else min(seconds, length)
    return adaptive.Case(file.stem, link, lasts, (adaptive.Phase("", 0.0, lasts),))


def _length(link: Link) -> float:
    return link.trace_up.duration if link.trace_up is not None else 120.0
