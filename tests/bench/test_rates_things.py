"""Curves of detections: BD-rate by its laws, files that come back; a student's tails of three tasks begin as its detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from bench.rates import detected, detections  # noqa: E402
from bench.rates.detections import Curve, Scored, above, difference, file, judged, keep  # noqa: E402
from bench.rates.jobs import jobs_of  # noqa: E402
from bench.rates.record import About  # noqa: E402
from bench.rates.scenes import DECODING, Source  # noqa: E402
from bench.rates.scenes import Held as Shown  # noqa: E402
from bench.rates.sights import HEADS, Raw, Sight, plain  # noqa: E402
from bench.rates.tasks import ROWS, TASKS, Held, One, Tails, cells, loss, split  # noqa: E402
from edgewise.core.answer import Answer, Box  # noqa: E402
from edgewise.core.errors import SourceError  # noqa: E402
from edgewise.data.things import Scene, scores  # noqa: E402
from edgewise.graph.picture import Look  # noqa: E402
from edgewise.split.training import lean  # noqa: E402
from edgewise.split.training.stretch import stretch, student  # noqa: E402
from edgewise.training import things_frames  # noqa: E402
from edgewise.training.nets import fpn  # noqa: E402
from edgewise.training.things import Truth  # noqa: E402

RANDOM = np.random.default_rng(3)
SIZE = np.array([500.0, 900.0, 1600.0, 4000.0])
SCORE = np.array([0.2, 0.3, 0.35, 0.37])


@pytest.mark.parametrize("share", [0.5, 1.0, 1.7])
def test_a_curve_that_takes_a_share_of_the_bytes_everywhere_has_that_bd_rate(share: float) -> None:
    one, other = curve("a", SIZE, SCORE), curve("b", share * SIZE, SCORE)
    found, back = difference(one, other, "box"), difference(other, one, "box")
    assert found is not None and found.value == pytest.approx(share - 1)
    assert back is not None and (1 + back.value) * share == pytest.approx(1), "seen from the other side it is the inverse"


def test_only_scores_that_both_reach_count() -> None:
    one = curve("a", SIZE, SCORE)
    half = difference(one, curve("b", SIZE[1:] / 2, SCORE[1:]), "box")
    assert half is not None and half.value == pytest.approx(-0.5)
    assert difference(one, curve("b", SIZE, SCORE + 0.5), "box") is None
    assert difference(one, curve("b", SIZE[:1], SCORE[:1]), "box") is None
    assert difference(one, curve("b", SIZE, SCORE * np.nan), "box") is None


def test_where_every_point_scores_higher_the_smallest_frames_are_compared() -> None:
    one = curve("a", SIZE, SCORE)
    found = above(one, curve("b", SIZE / 4, SCORE + 0.5), "box")
    assert found is not None and found.value == pytest.approx(-0.75) and found.scores == pytest.approx((0.37, 0.7))
    assert above(one, curve("b", SIZE / 4, SCORE), "box") is None and above(curve("b", SIZE, SCORE + 0.5), one, "box") is None
    assert above(one, curve("b", SIZE, SCORE * np.nan), "box") is None


def curve(method: str, size: np.ndarray, score: np.ndarray) -> Curve:
    """Points with two drawings: in the second all scores are 0.01 lower."""
    return Curve(
        method,
        tuple(
            Scored(About(method, str(i)), (b, b, b), {"box": (s, s, s - 0.01)}, 9)
            for i, (b, s) in enumerate(zip(size.tolist(), score.tolist(), strict=True))
        ),
    )


def test_a_point_that_a_cheaper_one_beats_counts_for_nothing() -> None:
    worse = curve("a", np.append(SIZE, 5000.0), np.append(SCORE, 0.1))
    score, size = worse.at("box", 0)
    assert np.exp(size) == pytest.approx(SIZE) and score.tolist() == SCORE.tolist()
    found = difference(curve("b", 2 * SIZE, SCORE), worse, "box")
    assert found is not None and found.value == pytest.approx(-0.5) and found.drawings == 2
    assert found.low == pytest.approx(-0.5) and found.scores == (0.2, 0.37)
    assert difference(curve("b", SIZE, SCORE), curve("c", SIZE, SCORE + 0.5), "box") is None


def test_detections_come_back_and_their_scores_are_the_projects(tmp_path: Path) -> None:
    truth = [Scene(np.array([[0.1, 0.1, 0.4, 0.5]]), ("car",)) for _ in range(4)]
    said = [Answer(boxes=(Box(0.1, 0.1, 0.4, 0.5 + 0.1 * i, 0.9, "car"),)) for i in range(4)]
    found = judged(About("a", "b", data="x"), [10, 20, 30, 40], said, truth, ["s", "s", "t", "t"], draws=8)
    assert found.scored.scores["box"][0] == pytest.approx(scores(said, truth)["box"], abs=1e-4)
    assert found.scored.bytes[0] == 25 and set(found.scored.bytes) <= {15.0, 25.0, 35.0}, "whole blocks are drawn"
    assert keep(found, tmp_path) == tmp_path / file(found.about)
    assert detections.detections(tmp_path, "x") == [found] and detections.detections(tmp_path, "y") == []
    (tmp_path / file(found.about)).write_bytes(b"\x00")
    with pytest.raises(SourceError, match="cannot be read"):
        detections.detections(tmp_path, "x")


def test_rows_without_jobs_say_so(tmp_path: Path) -> None:
    rows, targets = detected.rows(tmp_path)
    assert rows == [] and targets and all(t.met is None and "not run" in t.reason for t in targets)
    names = [j.name for j in jobs_of(["things", "tails"])]
    assert "junction-384-lean-task.0" in names and len(set(names)) == len(names)
    assert all(j.after for j in jobs_of(["tails"]))


@pytest.fixture(scope="module")
def raw() -> Raw:
    torch.manual_seed(0)
    return Raw(1, 2, 3).eval()


def test_a_raw_detector_and_its_plain_one_are_one_network(raw: Raw) -> None:
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        maps, said = raw(x), plain(raw)(x)
    assert set(maps) == {"score", "box", "points", "coefficients", "prototypes"}
    there = said["score"] > 0
    assert torch.equal(said["score"][there], torch.sigmoid(maps["score"])[there]) and there.any()


def test_a_detector_of_boxes_alone_learns_without_masks() -> None:
    net = Raw(3, 0, 0).eval()
    x = torch.rand(1, 3, 64, 96)
    assert set(net(x)) == {"score", "box"}
    frames = things_frames.Things(
        np.zeros((1, 64, 96, 3), np.uint8),
        np.full((1, 64, 4), np.nan, np.float32),
        np.zeros((1, 64), np.int64),
        np.zeros((1, 64, 0, 2), np.float32),
        np.zeros((1, 0, 0), np.uint8),
        np.zeros((1, 64), np.uint8),
        ("",),
        ("",),
    )
    frames.boxes[0, 0] = 0.2, 0.2, 0.6, 0.7
    empty = np.zeros((0, 64, 96, 3), np.uint8)
    at = Sight("bccd-320", net, Source([frames]), Shown(empty, (), (), ()), Look(64, 96), DECODING, ("a", "b", "c"), HEADS)
    value = at.loss(net(x), dict, [0])
    assert value.isfinite() and value > 0
    assert stretch(net, "stem..layer1", x).paths == ("stem", "layer1")


def test_tails_begin_as_the_students_detector_and_never_touch_its_encoder(raw: Raw) -> None:
    x = torch.rand(2, 3, 216, 384)
    cut = stretch(raw, "stem..layer1", x)
    net = student(raw, cut, lean.lean(cut.geometry, 4)).eval()
    tails = Tails(plain(net)).eval()
    with torch.no_grad():
        whole, boxes = plain(net)(x), One(tails, "boxes")(x)
        assert torch.allclose(whole["box"], boxes["box"], atol=1e-6) and torch.allclose(whole["score"], boxes["score"], atol=1e-6)
        assert One(tails, "weather")(x)["logits"].shape == (2, 6) and One(tails, "road")(x)["map"].shape[2] == ROWS
        codes = split(tails).encoder(x)
    held = Held()
    encoder, split(tails).encoder = split(tails).encoder, held
    held.now = codes
    masks = torch.zeros(2, 180, 320, dtype=torch.uint8)
    masks[0, 90:, 160:] = 7
    box = torch.tensor([[[0.5, 0.5, 1.0, 1.0]], [[torch.nan] * 4]])
    said = Truth(
        box, torch.zeros(2, 1).long(), torch.zeros(2, 1, 8, 2), masks, torch.full((2, 1), 7), torch.ones(2), torch.zeros(2)
    )
    assert cells(masks)[0].float().mean() == pytest.approx(0.25) and not cells(masks)[1].any()
    loss(tails, TASKS, torch.tensor([0, 5]), said).backward()  # type: ignore[no-untyped-call]
    grads = {name.partition(".")[0] for name, p in tails.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert grads == {"net", "weather", "road"}
    assert all(p.grad is None for p in encoder.parameters())
    with torch.no_grad():
        one = [float(loss(tails, (task,), torch.tensor([0, 5]), said)) for task in TASKS]
        assert sum(one) == pytest.approx(float(loss(tails, TASKS, torch.tensor([0, 5]), said)), rel=1e-5)
    assert isinstance(plain(net), fpn.Detector)
