"""An exit written into a bundle: the head is the same again, it says what torch says, and what has no place is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from edgewise.core.artifact import Exit, Picture, Raw, parse
from edgewise.core.errors import ModelError
from edgewise.core.placement import Quality
from edgewise.runtime.session import Session
from edgewise.split.doubt import Calibrated
from edgewise.split.exits import Convolved, Plain, parted, with_exit
from edgewise.split.training.exits import Exit as Classifier
from tests.small_bundles import colours, shades

KNOWN = Calibrated(0.3, risk=0.01, confidence=0.95, n=300, seen=0.0, left=0.5)
WORTH = Quality(0.9, 0.9, 0.9, 9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("shades")
    shades(where)
    return where


def plain(seed: int = 0) -> tuple[Classifier, Plain]:
    """An exit for three channels and as many classes whose normalisation has seen something."""
    torch.manual_seed(seed)
    net = Classifier(3, 3, width=5)
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(2 * torch.randn(8, 3, 8, 12) + 1)
    return net.eval(), net.eval().plain()


def test_both_parts_give_what_head_and_torch_give(folder: Path) -> None:
    head = (folder / "plain" / "head.onnx").read_bytes()
    net, weights = plain()
    first, rest = parted(head, "early", weights, "scores")
    pictures = np.random.default_rng(0).integers(0, 255, (4, 16, 24, 3)).astype(np.uint8)
    whole = Session.load(head).run({"picture": pictures})
    given = Session.load(first).run({"picture": pictures})
    assert set(given) == {"scores", "early"}
    assert np.array_equal(Session.load(rest).run({"early": given["early"]})["features"], whole["features"])
    with torch.no_grad():
        said = net(torch.from_numpy(given["early"])).numpy()
    assert np.abs(said - given["scores"]).max() < 1e-5


def test_the_manifest_says_what_is_known_and_is_canonical(folder: Path) -> None:
    data = (folder / "exit" / "manifest.json").read_bytes()
    manifest = parse(data)
    assert manifest.exit == Exit(0.3, 0.01, 0.95, 300)
    point = manifest.point("exit")
    assert (point.mode, point.left, point.bytes_up) == ("exit", round(2 / 3, 4), 400.0)
    assert manifest.codings["exit"] == manifest.codings["split"]
    assert manifest.first == "exit" and "head" not in manifest.pictures
    assert b'"exit"' not in (folder / "plain" / "manifest.json").read_bytes()  # who has none keeps the address that it had


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"exit": msgspec.UNSET}, "needs a threshold"),
        ({"decoding": Raw()}, "answers with classes"),
        ({"pictures": {"exit": Picture(24, 16), "head": Picture(24, 16)}}, "takes no picture"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(folder: Path, change: dict[str, object], words: str) -> None:
    manifest = parse((folder / "exit" / "manifest.json").read_bytes())
    with pytest.raises(ModelError, match=words):
        parse(msgspec.structs.replace(manifest, **change).canonical)


def test_what_has_no_place_for_an_exit_is_refused(folder: Path, tmp_path: Path) -> None:
    _, weights = plain()
    with pytest.raises(ModelError, match="already"):
        with_exit(folder / "exit", tmp_path / "out", "early", weights, KNOWN, "split", WORTH)
    colours(tmp_path / "filtered")
    with pytest.raises(ModelError, match="already"):
        with_exit(tmp_path / "filtered", tmp_path / "out", "early", weights, KNOWN, "split", WORTH)
    with pytest.raises(ModelError, match="no such split"):
        with_exit(folder / "plain", tmp_path / "out", "early", weights, KNOWN, "jpeg-90", WORTH)
    narrow = Plain((Convolved(np.zeros((2, 4, 1, 1), np.float32), np.zeros(2, np.float32), 1),), weights.weight, weights.bias)
    with pytest.raises(ModelError, match="other features"):
        with_exit(folder / "plain", tmp_path / "out", "early", narrow, KNOWN, "split", WORTH)
