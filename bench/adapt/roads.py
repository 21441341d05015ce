"""The junction's detector in fog and at night: what following the stream on the device alone wins back, and how soon.

One camera at a time, frames half a second apart, through our fog and night; the same frames in clear air say what the weather
cost. The shipped detector was trained in all weathers of the renderer, but not through these (`bench.adapt.data`). It runs as it
is and followed (`edgewise.runtime.tracked`: forward only, no torch, no upload), side by side: its local part, and its head before
the tail, which stays as it is. A camera is set up in clear air, at most `LEAD` frames long, before the weather comes: what is
normal in its place is not what the model saw in all places (`edgewise.runtime.follow`). Cells and F1 are those of
`bench.detector`; a cell counts where its probability is above the manifest's threshold.

    won back = (F1 followed − F1 as it is) / (F1 in clear air − F1 as it is), over the frames after a stretch

and the real clip, darkened, whose boxes are another network's: agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.adapt.data import PACKS, View, clip, road
from bench.adapt.ground import SCALES
from bench.adapt.models import CLEAR
from bench.jobs import Advance, Job, Size
from bench.kept import arrays, finished
from bench.report import Row, Target, left_out
from edgewise.apps.vision.bundles import find
from edgewise.core.artifact import PartName
from edgewise.core.decoding import Grid
from edgewise.data.metrics import counts, f1
from edgewise.data.preprocess import fit
from edgewise.data.streams import Domain, parse
from edgewise.runtime.bundle import Bundle
from edgewise.runtime.follow import CAMERA
from edgewise.runtime.tracked import Tracked

DOMAINS = ("fog:5", "night:5")
WAYS = ("clear", "as it is", "followed")
ROUTES = ("local", "split")
LEAD = 200  # frames in clear air, which count for nothing
SCENES = 3
ENDS = {"all": 0.0, "after 500": 0.25, "last fifth": 0.8}  # of the stretch, from where on
WANT = 0.5


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    if seed:
        return []
    frames = SCALES[size].detector
    scenes = SCENES if size == "full" else 1
    found = [
        Job(
            f"roads.{s}",
            "bench.adapt.roads:leave",
            (_file(f"junction-{s}"),),
            {"scene": s, "frames": frames},
            4,
            minutes=0.0025 * frames,
        )
        for s in range(scenes)
    ]
    if size != "quick" and (PACKS / "opendatacam.tar").exists():
        found.append(Job("roads.clip", "bench.adapt.roads:darkened", (_file("clip"),), {}, 4, minutes=1))
    return found


def _file(name: str) -> str:
    return f"roads/{name}.npz"


class Ways:
    """The shipped bundle by both routes, as it is and followed, one for each domain."""

    def __init__(self, domains: Sequence[str]) -> None:
        self.domains = parse(",".join(domains))
        self.bundle = Bundle.open(find("vehicles"))
        decoding = self.bundle.manifest.decoding
        assert isinstance(decoding, Grid)
        self._threshold = decoding.cell_threshold
        self.followed = {
            (d.name, part): Tracked.of(self.bundle, part, CAMERA, aside=False) for d in self.domains for part in ("local", "head")
        }
        self.table: dict[tuple[str, str], list[NDArray[np.int64]]] = {}

    def see(self, view: View) -> None:
        """Count the cells of one clear frame, as it is and through each domain, by both routes."""
        for domain in self.domains:
            self._count(domain, "clear", view)
            shifted = view.through(domain)
            for way in WAYS[1:]:
                self._count(domain, way, shifted)

    def lead(self, view: View) -> None:
        """A frame of the time in which the camera is set up."""
        for domain in self.domains:
            for part in ("local", "head"):
                self._run(domain, part, "followed", view.image)

    def _count(self, domain: Domain, way: str, view: View) -> None:
        for route in ROUTES:
            outputs = self._run(domain, "local" if route == "local" else "head", way, view.image)
            if route == "split":
                outputs = self.bundle.session("tail").run({"bottleneck": outputs["bottleneck"]})
            said = outputs["occupied"][0, 0] >= self._threshold
            self.table.setdefault((f"{domain.name}, {route}", way), []).append(counts(said[None], view.cells[None])[0])

    def _run(self, domain: Domain, part: PartName, way: str, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        feed = {"picture": fit(image, self.bundle.manifest.pictures[part])}
        return self.followed[domain.name, part].run(feed) if way == "followed" else self.bundle.session(part).run(feed)

    def keep(self, path: Path) -> None:
        arrays(path, **{"|".join(key): np.stack(rows) for key, rows in self.table.items()})


def leave(work: Path, advance: Advance, scene: int, frames: int) -> None:
    """A job: one rendered camera, every frame clear, in fog and at night."""
    ways, lead = Ways(DOMAINS), min(LEAD, frames)
    for number, view in enumerate(road(scene, CLEAR, lead + frames)):
        if number < lead:
            ways.lead(view)
        else:
            ways.see(view)
            advance(f"junction {scene}", (number - lead) / frames)
    ways.keep(work / _file(f"junction-{scene}"))


def darkened(work: Path, advance: Advance) -> None:
    """A job: the labelled frames of the clip that choose nothing of ours and that report, in order, as they are and darkened;
    they lead the way in themselves."""
    ways = Ways(("night:4",))
    views = [view for part in ("choose", "report") for view in clip(CLEAR, part)]
    for view in views:
        ways.lead(view)
    for number, view in enumerate(views):
        ways.see(view)
        advance("clip", number / len(views))
    ways.keep(work / _file("clip"))


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    tables: dict[tuple[str, str], list[NDArray[np.int64]]] = {}
    for path in finished(work / "roads"):
        front = "clip, " if path.stem == "clip" else ""
        with np.load(path) as kept:
            for key in kept.files:
                domain, way = key.split("|")
                tables.setdefault((front + domain, way), []).append(kept[key])
    lines: list[Row] = []
    for (domain, way), parts in tables.items():
        for name, share in ENDS.items():
            scores = [f1(t[int(share * len(t)) :]) for t in parts]
            pooled = f1(np.concatenate([t[int(share * len(t)) :] for t in parts]))
            n = sum(len(t) for t in parts)
            lines.append(Row(f"roads, {domain}", f"cell F1, {way}, {name}", pooled, "", n, min(scores), max(scores)))
    return lines, [_target(tables, f"{domain}, {route}") for domain in (*DOMAINS, "clip, night:4") for route in ROUTES]


def _target(tables: dict[tuple[str, str], list[NDArray[np.int64]]], domain: str) -> Target:
    name, want = f"detector, {domain}, cell F1, forward only", ">= half of what it cost is won back within 2,000 frames"
    if not all((domain, way) in tables for way in WAYS):
        return left_out(name, want, "these frames were not seen in this run")
    clear, plain, followed = (
        f1(np.concatenate([t[int(ENDS["last fifth"] * len(t)) :] for t in tables[domain, way]])) for way in WAYS
    )
    cost = clear - plain
    if cost < 0.01:
        return left_out(name, want, f"the weather cost nothing: {clear:.3f} clear, {plain:.3f} as it is")
    won = (followed - plain) / cost
    got = f"{won:.0%} of {cost:.3f} (clear {clear:.3f}, as it is {plain:.3f}, followed {followed:.3f})"
    why = "" if won >= WANT else "what fog and night take away is not only the mean and spread of features"
    return Target(name, want, got, won >= WANT, why)
