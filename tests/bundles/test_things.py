"""The things bundle that comes with edgewise: it opens, it is small, and it answers a rendered junction in three tasks."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="rendering needs OpenCV: pip install 'edgewise[camera]'")

import edgewise
from edgewise.core.answer import Answer
from edgewise.data.junction.footage import Seen, footage
from edgewise.data.things import scores
from edgewise.node.heads import Heads
from edgewise.node.tails import Tails
from edgewise.runtime.bundle import Bundle

FOLDER = Path(edgewise.__file__).parent / "bundles" / "things"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(FOLDER)


@pytest.fixture(scope="module")
def seen() -> list[Seen]:
    return list(footage([2], conditions=("clear", "haze")))


def test_no_file_of_it_is_large(bundle: Bundle) -> None:
    assert all(part.size < 2_000_000 for part in bundle.manifest.parts.values())
    assert bundle.manifest.crossing.shape == (3, 60, 100) and bundle.manifest.provenance["teacher"] == "things.safetensors"


def test_features_and_pictures_find_the_vehicles(bundle: Bundle, seen: list[Seen]) -> None:
    heads, tails = Heads(bundle), Tails([bundle])
    said: dict[str, list[Answer]] = {"split-4": [], "jpeg-75": []}
    sent: dict[str, list[int]] = {name: [] for name in said}
    streams = {s.point: s for s in heads.streams()}
    for name, answers in said.items():
        for frame in seen:
            payload = heads.prepare(frame.image, bundle.manifest.point(name)).payload
            (answer,) = tails.run([(streams[name], memoryview(payload))])
            assert isinstance(answer, Answer)
            answers.append(answer)
            sent[name].append(len(payload))
    assert np.mean(sent["split-4"]) < np.mean(sent["jpeg-75"]) / 3
    truth = [f.truth for f in seen]
    split, picture = (scores(said[name], truth) for name in said)
    assert split["box50"] > 0.5 and split["mask50"] > 0.5 and split["points50"] > 0.3
    assert split["box50"] > picture["box50"] - 0.1
