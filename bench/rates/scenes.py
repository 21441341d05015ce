"""Rendered junctions as the detectors of the benchmark see them: frames that teach, and held-out ones with their whole truth.

The teacher takes 384 × 216; every codec starts from that picture. Seeds 1000 and on teach (in shards, rendered once), 100 to 199
are held out, six weathers each; frames of one seed are one block for intervals. Their texture is poorer than that of real
pictures, which flatters every codec's bytes and every score alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray

from bench.jobs import Size
from bench.kept import arrays
from edgewise.core.decoding import Things
from edgewise.data.junction.footage import LABEL, footage
from edgewise.data.junction.weather import CONDITIONS
from edgewise.data.preprocess import fit
from edgewise.data.things import Scene
from edgewise.graph.picture import Look
from edgewise.training import things_frames
from edgewise.training.nets import fpn
from edgewise.training.things_frames import Things as Frames

FIRST = 100  # seed of the first held-out scene
SCENES: dict[Size, int] = {"quick": 1, "medium": 8, "full": 50}
TAUGHT: dict[Size, int] = {"quick": 1, "medium": 20, "full": 800}
LOOK = Look(fpn.PICTURE.height, fpn.PICTURE.width)
DECODING = Things(threshold=0.05, overlap=0.6, keypoints=fpn.KEYPOINTS, mask=28)
LABELS = (LABEL,)
DATA = "junction-384"
Pictures = NDArray[np.uint8]


class Held(Struct, frozen=True):
    """Held-out pictures (n, height, width, 3), their truth (boxes and masks), weather and block."""

    pictures: Pictures
    truth: tuple[Scene, ...]
    condition: tuple[str, ...]
    block: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def weather(self) -> NDArray[np.int64]:
        """The number of each picture's weather."""
        return np.array([CONDITIONS.index(c) for c in self.condition])


def held(work: Path, size: Size = "full") -> Held:
    """The held-out frames; rendered once, then kept in `work/things`."""
    path = work / "things" / f"held-{SCENES[size]}.npz"
    if not path.exists():
        _render(path, range(FIRST, FIRST + SCENES[size]))
    with np.load(path) as kept:
        ends = np.cumsum(kept["counts"])
        parts = [np.split(kept[name], ends[:-1]) for name in ("boxes", "number")]
        facts = json.loads(kept["facts"].tobytes())
        truth = tuple(
            Scene(boxes, LABELS * len(boxes), mask, number) for boxes, number, mask in zip(*parts, kept["masks"], strict=True)
        )
        return Held(kept["pictures"], truth, tuple(facts["condition"]), tuple(facts["block"]))


def taught(work: Path, size: Size = "full", heard: Callable[[str], None] = lambda line: None) -> list[Frames]:
    """The training frames in shards with their truth, rendered where they are missing."""
    return things_frames.shards(work / "things" / "frames", TAUGHT[size], 2, fpn.PICTURE, 0.35, heard=heard)


class Source:
    """The pictures of training frames by number, counted through all shards."""

    def __init__(self, parts: list[Frames]) -> None:
        self.parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def of(self, indices: list[int]) -> Pictures:
        places = [(int(np.searchsorted(self._ends, i, side="right")), int(i)) for i in indices]
        return np.stack([self.parts[p].pictures[i - int(self._ends[p]) + len(self.parts[p])] for p, i in places])

    def truth(self, indices: list[int]) -> Frames:
        """The whole frames of these numbers."""
        return things_frames.taken(self.parts, np.asarray(indices))


def tensor(pictures: Pictures) -> torch.Tensor:
    """(n, 3, height, width) in 0..1, channels last in memory."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    return x.contiguous(memory_format=torch.channels_last)


def _render(path: Path, seeds: range) -> None:
    seen = list(footage(seeds))
    facts = {"condition": [f.condition for f in seen], "block": [f.block for f in seen]}
    arrays(
        path,
        pictures=np.concatenate([fit(f.image, fpn.PICTURE) for f in seen]),
        masks=np.stack([f.truth.mask for f in seen]),
        counts=np.array([len(f.truth.boxes) for f in seen]),
        boxes=np.concatenate([f.truth.boxes for f in seen]),
        number=np.concatenate([f.truth.number for f in seen]),
        facts=np.frombuffer(json.dumps(facts).encode(), np.uint8),
    )
