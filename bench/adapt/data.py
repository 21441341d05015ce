"""The pictures on which adaptation is judged, and through which shifts: some to choose constants with, others to report on.

| set | pictures | teaches | chooses | reports |
|---|---|---|---|---|
| cifar10 | 32 × 32, JPEG copies | 18,000 of train | the last 2,000 of train (200 a class) | 10,000 of test |
| imagenette | 128 × 128 | all of train but each class's last 60 | those 600 | 3,925 of val: longer domains show them again |
| junction | 640 × 360, rendered | seeds from 1000 | 200 to 299 | 100 to 199 |
| clip | 640 × 360, real, with another network's boxes | its first 262 labelled frames | the next 88 | the last 87 |

Learning rates, momenta and thresholds are chosen on CHOOSING's shifts alone and reported on REPORTED's, which share no family
with them. The shipped detector was trained in all weathers of the renderer, so that its own fog and night cost it little; what
costs it something are our families over frames rendered in clear air, where the truth is the clear frame's. Pictures of
Imagenette and CIFAR-10 are for research alone: no weights that saw them leave the build folder.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from bench.jobs import Advance
from bench.report import ROOT
from edgewise.core.artifact import Picture
from edgewise.data.album import Album
from edgewise.data.boxes import occupied
from edgewise.data.clip import by_time, frame, read_clip
from edgewise.data.dataset import Entry
from edgewise.data.junction import Junction
from edgewise.data.pack import Pack, open_pack
from edgewise.data.streams import Domain, parse, seen
from edgewise.split.gallery import gathered

Part = Literal["teach", "choose", "report"]
PACKS = ROOT.parent / "shared" / "data"
CIFAR, IMAGENETTE = Picture(32, 32), Picture(128, 128)
HELD = {"cifar10": 200, "imagenette": 60}  # of each class of train, from its end: for choosing
CHOOSING = parse("blur:5,jpeg:5,brightness:5,rain:5,posterised:4")
REPORTED = parse("gaussian_noise:5,fog:5,motion_blur:5,contrast:5,night:5,sketch:4")
SEEDS: dict[Part, int] = {"teach": 1000, "choose": 200, "report": 100}
TICK = 0.5  # s between two frames of a stream of one camera


def cifar10(part: Part, work: Path, limit: int = 0, packs: Path = PACKS, advance: Advance = lambda what, share: None) -> Album:
    """CIFAR-10 at 32 px, decoded once into `work`; `limit` pictures, evenly over the classes (0: all)."""
    return _classes("cifar10", "test", part, CIFAR, work, limit, packs, advance)


def imagenette(part: Part, work: Path, limit: int = 0, packs: Path = PACKS, advance: Advance = lambda what, share: None) -> Album:
    """Imagenette at 128 px, decoded once into `work`; `limit` pictures, evenly over the classes (0: all)."""
    return _classes("imagenette", "val", part, IMAGENETTE, work, limit, packs, advance)


def _classes(name: str, held: str, part: Part, picture: Picture, work: Path, limit: int, packs: Path, advance: Advance) -> Album:
    pack = _opened(packs / f"{name}.tar")
    wanted = _of_part([n for n in pack.names if f"/{held if part == 'report' else 'train'}/" in n], part, HELD[name])
    if limit:
        wanted = [wanted[i] for i in np.linspace(0, len(wanted) - 1, min(limit, len(wanted))).round().astype(int)]
    place = work / f"{name}-{part}" if not limit else work / f"{name}-{part}-{limit}"
    found = gathered(pack, picture, place, names=wanted, advance=advance)
    entries = tuple(Entry(n, label=PurePosixPath(n).parent.name) for n in found.names)
    skipped = {"the picture cannot be read": len(found.left)} if found.left else {}
    names = tuple(sorted({e.label for e in entries}))
    return Album(entries, lambda i: np.asarray(found.pictures[i]), names, (f"{name}, {part}",), skipped)


@functools.lru_cache(maxsize=4)
def _opened(path: Path) -> Pack:
    """A tar of many files, indexed once."""
    return open_pack(path)


def _of_part(names: Sequence[str], part: Part, held: int) -> list[str]:
    """Of the names of a folder a class: all to report on; of those that teach the last `held` of each class choose."""
    if part == "report":
        return list(names)
    by_class: dict[str, list[str]] = {}
    for name in names:
        by_class.setdefault(PurePosixPath(name).parent.name, []).append(name)
    return [n for row in by_class.values() for n in (row[-held:] if part == "choose" else row[:-held])]


class View(Struct, frozen=True):
    """A frame of a road: `image` (360, 640, 3; uint8), its boxes (n, 4; fractions), occupied cells (23, 40); `drawn`: camera and
    number of the frame, which draw every grain of what it is seen through."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    cells: NDArray[np.bool_]
    drawn: tuple[int, int]

    def through(self, domain: Domain) -> View:
        """The same frame through a domain: its truth stays."""
        return replace(self, image=seen(self.image, domain, self.drawn))


def road(scene: int, domain: Domain, frames: int) -> Iterator[View]:
    """`frames` of one pole camera that reports, TICK apart, rendered in clear air and seen through `domain`.

    `scene` counts the cameras. Truth is exact. About 30 ms a frame.
    """
    seed = SEEDS["report"] + scene
    junction = Junction(seed, "clear")
    for number in range(frames):
        yield View(*junction.frame(number * TICK), (seed, number)).through(domain)


def clip(domain: Domain, part: Part = "report", packs: Path = PACKS) -> Iterator[View]:
    """Labelled frames of the real clip in order of time, seen through `domain`. **Its boxes are another network's output.**"""
    pack = _opened(packs / "opendatacam.tar")
    parts = dict(zip(("teach", "choose", "report"), by_time(read_clip(pack, ("car", "bus")).pictures), strict=True))
    for number, picture in enumerate(parts[part]):
        boxes = np.array([(b.x0, b.y0, b.x1, b.y1) for b in picture.boxes], float).reshape(-1, 4)
        yield View(frame(pack, picture), boxes, occupied(boxes), (0, number)).through(domain)
