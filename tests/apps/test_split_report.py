"""A report on the shipped bundle: bytes are those of a socket, quality that of the labels, and bad input is a sentence."""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.split_outcome import PointRow, SplitReport, against_pictures
from edgewise.apps.vision.split_page import write_page
from edgewise.apps.vision.split_report import ReportConfig, report
from edgewise.apps.vision.split_wire import loopback
from edgewise.codec.select import codec_for
from edgewise.core.errors import EdgewiseError, ModelError, SourceError
from edgewise.core.wire import websocket_header
from edgewise.data.junction import Junction
from edgewise.net.frame import HEADER_SIZE
from edgewise.node.heads import Heads
from edgewise.plan.break_even import Line
from edgewise.runtime.bundle import Bundle
from edgewise.split.bound import Certified
from edgewise.split.gate import Convolved, Plain, with_filter

ROOT = Path(__file__).parents[2]
FRAMES = 5


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of the rendered junction with their true boxes as COCO says them, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("scene")
    images, boxes = [], []
    junction = Junction(210)
    for i in range(FRAMES):
        seen = junction.render(9.0 * i)
        Image.fromarray(seen.image).save(folder / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 640, "height": 360})
        for x0, y0, x1, y1 in seen.boxes:
            box = [640 * x0, 360 * y0, 640 * (x1 - x0), 360 * (y1 - y0)]
            boxes.append({"image_id": i, "category_id": 1, "bbox": [float(v) for v in box]})
    images.append({"id": FRAMES, "file_name": "none.png", "width": 640, "height": 360})
    (folder / "none.png").write_text("this is no picture")
    said = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "car"}]}
    (folder / "instances.json").write_text(json.dumps(said))
    return folder


@pytest.fixture(scope="module")
def found(scene: Path) -> SplitReport:
    return report(ReportConfig(bundle="vehicles", data=str(scene), device="this", jpeg=(30, 90), limit=50))


def test_bytes_are_counted_on_the_socket_and_add_up(found: SplitReport) -> None:
    assert found.frame_bytes_source == "socket" and found.secure
    for r in found.points:
        assert r.n == FRAMES
        assert r.bytes_mean == pytest.approx(r.payload + r.header + r.websocket + r.tls, abs=0.01)
        if r.mode == "local":
            assert r.bytes_mean == 0
        else:
            assert r.header == HEADER_SIZE and 6 <= r.websocket <= 14
            assert r.tls > 0 and r.tls % 22 == 0, "TLS 1.3: 22 bytes a record"
            assert r.bytes_low <= r.bytes_mean <= r.bytes_high


def test_payloads_are_those_of_the_codec_and_answers_those_of_the_decoded_features() -> None:
    bundle = Bundle.open(find("vehicles"))
    image, point = Junction(211).render(3.0).image, bundle.manifest.point("split-2")

    async def cross():  # type: ignore[no-untyped-def]
        async with loopback(bundle) as wire:
            return [await wire.cross(image, bundle.manifest.point(n)) for n in ("split-2", "local", "split-2")]

    first, local, again = asyncio.run(cross())
    payload = Heads(bundle).prepare(image, point).payload
    assert first.payload == again.payload == len(payload)
    assert first.wire == len(payload) + HEADER_SIZE + websocket_header(len(payload) + HEADER_SIZE) + first.tls
    assert local.wire == 0 and local.answer.boxes is not None
    decoded = codec_for(point, bundle.manifest).decode(payload)
    outputs = bundle.session("tail").run({"bottleneck": decoded})
    assert outputs["score"].shape[0] == 1 and first.answer == again.answer


def test_quality_is_that_of_the_labels_and_better_points_are_better(found: SplitReport) -> None:
    assert (found.metric, found.quality_of, found.data_kind) == ("AP50", "labels", "coco")
    by_name = {r.name: r for r in found.points}
    assert by_name["split-8"].quality > 0.3 > by_name["local"].quality
    assert all(r.quality_low <= r.quality <= r.quality_high and "AP" in r.more for r in found.points)
    assert found.uncut is not None and abs(found.uncut - by_name["split-8"].quality) < 0.1
    assert any("is taken for vehicle" in n for n in found.notes)


def test_what_cannot_be_read_is_named(found: SplitReport, scene: Path) -> None:
    assert list(found.unreadable) == ["none.png"] and found.n == FRAMES
    with pytest.raises(SourceError, match=r"too many samples.*none\.png"):
        report(ReportConfig(bundle="vehicles", data=str(scene), device="this", unreadable=0))


def guarded(folder: Path, threshold: float) -> Path:
    """The shipped bundle with a filter of arbitrary weights before its points."""
    generator = np.random.default_rng(3)

    def mean(inside: int, outside: int) -> np.ndarray:
        return np.kron(np.eye(outside), np.ones((1, inside // outside))).astype(np.float32) * outside / inside

    layer = Convolved(generator.normal(0, 0.2, (5, 24, 3, 3)).astype(np.float32), np.zeros(5, np.float32), 1)
    down, across = (mean(46, 23), mean(80, 40).T.copy()), (mean(21, 3), mean(38, 2).T.copy())
    plain = Plain(down, (layer,), across, generator.normal(0, 1, 5 * 7).astype(np.float32), 0.1)
    certified = Certified(threshold, 0.95, 0.95, 100, 0.03, 0.98, "blocks")
    with_filter(find("vehicles"), folder, "relu_1", plain, certified, "vehicle")
    return folder


def test_what_the_filter_drops_sends_nothing_and_is_counted(scene: Path, tmp_path: Path) -> None:
    first = Heads(Bundle.open(guarded(tmp_path / "open", 0.0)))
    seen = sorted(look.present for i in range(FRAMES) if (look := first.look(np.asarray(Image.open(scene / f"{i}.png")))))
    assert seen[1] < seen[2], "frames that the filter tells apart"
    half = guarded(tmp_path / "half", (seen[1] + seen[2]) / 2)
    found = report(ReportConfig(bundle=str(half), data=str(scene), device="this", jpeg=(50,)))
    for r in found.points:
        assert (r.n, r.dropped) == (FRAMES, 2)
        assert r.bytes_mean == pytest.approx(r.bytes_sent * (FRAMES - 2) / FRAMES, abs=0.01)
        assert "filter" in r.steps
    assert found.filter_recall == pytest.approx((FRAMES - 2) / FRAMES) and found.filter_n == FRAMES


def test_latency_falls_with_the_rate_and_break_even_is_where_the_lines_cross(found: SplitReport) -> None:
    sent = {r.name: r for r in found.points}
    for r in found.points:
        assert list(r.curve) == sorted(r.curve, reverse=True)
        assert r.mode == "local" or r.curve[0] > r.bytes_mean * 8 / found.rates[0]
    for e in found.break_even:
        if e.rate is None or not found.rates[0] < e.rate < found.rates[-1]:
            continue
        a, b = (Line(n, sent[n].curve[-1] - sent[n].bytes_mean * 8 / found.rates[-1], sent[n].bytes_mean * 8) for n in (e.a, e.b))
        assert a.latency(e.rate) == pytest.approx(b.latency(e.rate), rel=1e-3)
    assert found.fastest[0].low == 0 and math.isinf(found.fastest[-1].high)


def test_the_json_and_the_page_hold_it_all(found: SplitReport, tmp_path: Path) -> None:
    read = json.loads(msgspec.json.encode(found))
    assert read["frame_bytes_source"] == "socket"
    assert all({"bytes_mean", "quality", "n"} <= p.keys() for p in read["points"])
    page = write_page(found, tmp_path).read_text(encoding="utf-8")
    assert all(r.name in page for r in found.points) and page.count("data:image/png;base64,") == 3
    with Image.open(tmp_path / "quality.png") as picture:
        assert picture.size[0] > 800


def row(name: str, mode: str, size: float, quality: float) -> PointRow:
    figures = dict.fromkeys(("bytes_low", "bytes_high", "bytes_p95", "payload", "header", "websocket", "tls"), 0.0)
    seconds = {"device_seconds": 0.0, "edge_seconds": 0.0, "quality_low": quality, "quality_high": quality}
    return PointRow(
        name=name, mode=mode, codec="", level=0, baseline=False, bytes_mean=size, quality=quality, n=9, **figures, **seconds
    )  # type: ignore[arg-type]


def test_a_jpeg_that_is_smaller_at_equal_quality_is_said() -> None:
    said = against_pictures([row("split", "split", 900, 0.9), row("jpeg-20", "image", 700, 0.9), row("jpeg-90", "image", 5e3, 1)])
    assert "A JPEG is smaller than split" in said[0] and "jpeg-20" in said[0]
    said = against_pictures([row("split", "split", 900, 0.9), row("jpeg-20", "image", 700, 0.8), row("jpeg-90", "image", 5e3, 1)])
    assert "18%" in said[0] and "jpeg-90" in said[0]
    said = against_pictures([row("split", "split", 900, 0.9), row("jpeg-20", "image", 700, 0.8)])
    assert "No picture that was tried is as good" in said[0]


def altered(tmp_path: Path, old: bytes, new: bytes) -> Path:
    """The shipped bundle with something in its manifest changed."""
    folder = tmp_path / "altered"
    folder.mkdir()
    for file in find("vehicles").iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    said = (folder / "manifest.json").read_bytes()
    assert old in said
    (folder / "manifest.json").write_bytes(said.replace(old, new, 1))
    return folder


def test_a_bundle_that_is_not_what_it_says_is_refused(tmp_path: Path, scene: Path) -> None:
    true = Bundle.open(find("vehicles")).address
    other = altered(tmp_path, b'"threshold":0.45', b'"threshold":0.55')
    with pytest.raises(ModelError, match="not the one that was asked for"):
        report(ReportConfig(bundle=str(other), data=str(scene), device="this", address=true[:12]))
    broken = bytearray((other / "head.onnx").read_bytes())
    broken[len(broken) // 2] ^= 1
    (other / "head.onnx").write_bytes(broken)
    with pytest.raises(ModelError, match="not the file that its manifest describes"):
        report(ReportConfig(bundle=str(other), data=str(scene), device="this"))


def edgewise(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "edgewise", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd=ROOT)


def test_the_verb_prints_and_writes_without_labels_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(rng.integers(0, 255, (90, 160, 3), np.uint8)).save(tmp_path / f"{i}.png")
    words = ["split", "report", "vehicles", "--data", str(tmp_path), "--limit", "2", "--device", "this", "--jpeg", "50"]
    done = edgewise(*words, "--json", str(tmp_path / "r.json"))
    assert done.returncode == 0, done.stderr
    assert "There are no labels to judge by" in done.stdout and "uncut" in done.stdout
    read = json.loads((tmp_path / "r.json").read_text())
    assert (read["n"], read["quality_of"]) == (2, "the uncut model")
    eight = next(p for p in read["points"] if p["name"] == "split-8")
    assert eight["n"] == 2 and eight["bytes_mean"] > eight["payload"] > 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing", "--data", "{here}"], "no such bundle"),
        (["vehicles", "--data", "/no/such/place"], "/no/such/place"),
        (["vehicles", "--data", "{here}"], "nothing to look at"),
        (["vehicles", "--data", "{here}", "--same", "car"], "WORD=LABEL"),
        (["vehicles", "--data", "{here}", "--limit", "0"], "nothing to look at"),
        (["vehicles", "--data", "{film}", "--device", "toaster"], "toaster"),
        (["vehicles", "--data", "{film}", "--link", "string"], "string"),
    ],
)
def test_bad_input_is_answered_with_a_sentence(words: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "film").mkdir()
    Image.fromarray(np.zeros((9, 16, 3), np.uint8)).save(tmp_path / "film/a.png")
    places = {"{here}": tmp_path / "empty", "{film}": tmp_path / "film"}
    (tmp_path / "empty").mkdir()
    from edgewise.cli import dispatch

    with pytest.raises(EdgewiseError) as error:
        dispatch(["split", "report", *(str(places.get(w, w)) for w in words)])
    assert says in str(error.value)
