"""HND and GHND against their teacher and against JPEG: bytes of whole frames, and boxes, masks and keypoints that come of them.

One detector of three tasks is the teacher (`full` of the bundles); in its students layer1 is a bottleneck of three channels,
taught without labels (`edgewise.split.training.things`). Everything that crosses goes through a socket as a frame; the tail
sees decoded bytes alone. JPEG of several qualities, at the teacher's size and at the camera's, is answered by the teacher in
the same run.

Test scenes are seeds 100 and on, which neither teaching nor choosing saw; the point that is judged is chosen on seeds 200 and
on: the smallest frames that lose a point at most in each task. Differences are paired: each drawing of scenes scores both
sides. Rendered frames are poorer in texture than real ones, which flatters JPEG's bytes and every score alike.
"""

from __future__ import annotations

import socket
import zlib
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.report import ROOT, Report, Row, Target
from edgewise.codec.features import FeatureCodec
from edgewise.codec.image import ImageCodec
from edgewise.core.answer import Answer
from edgewise.core.artifact import Bottleneck
from edgewise.core.decoding import Things
from edgewise.core.errors import ConfigError
from edgewise.core.placement import Quality
from edgewise.data.decoding.things import answers
from edgewise.data.junction.footage import LABEL, Seen, footage
from edgewise.data.preprocess import fit
from edgewise.data.things import TASKS, differences, intervals
from edgewise.net.frame import HEADER_SIZE, Header, Kind, decode, encode
from edgewise.runtime.bundle import Bundle
from edgewise.split.points import coded, ranged

GHND, HND = ROOT / "edgewise" / "bundles" / "things", ROOT / "bench" / "weights" / "things-hnd"
DECODING = Things(threshold=0.05, overlap=0.6, keypoints=8, mask=28)
TEST, CHOOSE = 100, 200
QUALITIES = (10, 20, 35, 50, 75, 90)
BELOW, CHOSEN = 0.015, 0.01  # AP below the teacher: what the target allows, and what the choice does
QUARTER = 0.25
PUBLISHED = 8  # bytes of scale and zero point beside the published codes of 8 bits
NAMES = {"box": "AP of boxes", "mask": "AP of masks", "points": "AP of keypoints"}
BATCH = 8
Floats = NDArray[np.float32]


class Way(Struct, frozen=True):
    """One way to answer frames: bytes of each on the socket, and the answers."""

    case: str
    bytes: tuple[int, ...]
    answers: tuple[Answer, ...]


class Set(Struct, frozen=True):
    """Frames with their truth, and the pictures at the size of the network."""

    seen: tuple[Seen, ...]
    small: NDArray[np.uint8]

    def differences(self, ours: Way, theirs: Way) -> dict[str, Quality]:
        return differences(ours.answers, theirs.answers, [f.truth for f in self.seen], [f.block for f in self.seen])

    def scores(self, way: Way) -> dict[str, Quality]:
        return intervals(way.answers, [f.truth for f in self.seen], [f.block for f in self.seen])


class Wire:
    """A pair of sockets: a payload goes over as a frame; back come the payload that was read and the bytes that were carried."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self._number = 0

    def carry(self, payload: bytes) -> tuple[bytes, int]:
        self._number += 1
        sent = encode(Header(Kind.DATA, self._number, 1), payload)
        came = bytearray()
        for start in range(0, len(sent), 1 << 15):  # less than a socket's buffer, so that one thread can do both ends
            piece = sent[start : start + (1 << 15)]
            self._here.sendall(piece)
            while len(came) < start + len(piece):
                came += self._there.recv(1 << 16)
        return bytes(decode(bytes(came), len(came))[1]), len(came)

    def close(self) -> None:
        self._here.close()
        self._there.close()


def run(quick: bool, ghnd: Path = GHND, hnd: Path = HND) -> Report:
    """Rows of every way, paired differences, four targets."""
    bundles = {"GHND": opened(ghnd), "HND": opened(hnd)}
    test = frames(bundles["GHND"], TEST, 5 if quick else 50)
    choose = frames(bundles["GHND"], CHOOSE, 5 if quick else 20)
    wire = Wire()
    teacher = whole(bundles["GHND"], test)
    features = {name: bottlenecks(bundle, test.small) for name, bundle in bundles.items()}
    ways = {name: splits(name, bundle, features[name], wire) for name, bundle in bundles.items()}
    jpegs = {side: pictures(bundles["GHND"], test, side, wire) for side in ("384 px", "640 px")}
    chosen = choice(bundles["GHND"], choose, wire)
    rows: list[Row] = []
    for way in (teacher, *ways["GHND"].values(), *ways["HND"].values(), *jpegs["384 px"].values(), *jpegs["640 px"].values()):
        rows += rows_of(way, test)
    best, other = ways["GHND"][chosen], ways["HND"][chosen]
    found = {
        "teacher": test.differences(best, teacher),
        "HND": test.differences(best, other),
        "JPEG q75 of 384 px": test.differences(best, jpegs["384 px"][75]),
        "JPEG q75 of 640 px": test.differences(best, jpegs["640 px"][75]),
    }
    for against, by_task in found.items():
        rows += [paired(f"{best.case} less {against}", by_task[task], task) for task in TASKS]
    for way in ways.values():
        rows += [paired(f"{way[chosen].case} less teacher", test.differences(way[chosen], teacher)[t], t) for t in TASKS]
    tabled = {name: tables(bundle, features[name], bottlenecks(bundle, choose.small)) for name, bundle in bundles.items()}
    for name, (found_rows, _, _) in tabled.items():
        rows += [Row(f"{name}, published codes", *row) for row in found_rows]
    wire.close()
    targets = (
        near(best, found["teacher"]),
        small(best, found["JPEG q75 of 384 px"], jpegs["384 px"][75], jpegs["640 px"][75]),
        better(found["HND"], best, other),
        exact({name: (saved, same) for name, (_, saved, same) in tabled.items()}),
    )
    return Report(
        rows,
        targets,
        {
            "test_seeds": [TEST, TEST + (5 if quick else 50) - 1],
            "choosing_seeds": [CHOOSE, CHOOSE + (5 if quick else 20) - 1],
            "chosen": chosen,
            "bundles": {name: bundle.manifest.provenance for name, bundle in bundles.items()},
        },
        "socket pair",
        "onnxruntime CPU",
    )


def opened(folder: Path) -> Bundle:
    if not (folder / "manifest.json").is_file():
        raise ConfigError(
            "a trained student is not here",
            got=folder.name,
            allowed="a bundle of edgewise.split.training.things",
            hint="Train it: python -m edgewise.split.training.things --work DIR --out BUNDLE.",
        )
    return Bundle.open(folder)


def frames(bundle: Bundle, first: int, scenes: int) -> Set:
    seen = tuple(footage(range(first, first + scenes)))
    return Set(seen, np.concatenate([fit(f.image, bundle.manifest.pictures["head"]) for f in seen]))


def answered(bundle: Bundle, part: str, batch: NDArray[np.generic]) -> list[Answer]:
    session = bundle.session(part)  # type: ignore[arg-type]
    said: list[Answer] = []
    for first in range(0, len(batch), BATCH):
        said += answers(session.run({session.inputs[0].name: batch[first : first + BATCH]}), DECODING, (LABEL,))
    return said


def bottlenecks(bundle: Bundle, small: NDArray[np.uint8]) -> Floats:
    head = bundle.session("head")
    return np.concatenate([head.run({head.inputs[0].name: p[None]})[head.outputs[0].name] for p in small])


def whole(bundle: Bundle, at: Set) -> Way:
    sizes = tuple(HEADER_SIZE + p.size for p in at.small)
    return Way("teacher", sizes, tuple(answered(bundle, "full", at.small)))


def splits(name: str, bundle: Bundle, features: Floats, wire: Wire) -> dict[str, Way]:
    """Every point with a coding: features through coder, socket, decoder and tail."""
    found = {}
    for point in bundle.manifest.points:
        if point.codec != "rans":
            continue
        codec = FeatureCodec(bundle.manifest.crossing, bundle.manifest.codings[point.name])
        came = [wire.carry(codec.encode(one[None])) for one in features]
        seen = np.concatenate([codec.decode(payload) for payload, _ in came])
        case = f"{name} 3 channels, {point.level} bits"
        found[point.name] = Way(case, tuple(size for _, size in came), tuple(answered(bundle, "tail", seen)))
    return found


def pictures(bundle: Bundle, at: Set, side: str, wire: Wire) -> dict[int, Way]:
    """JPEG of the network's size or of the camera's, answered by the teacher."""
    sources = list(at.small) if side == "384 px" else [f.image for f in at.seen]
    found = {}
    for quality in QUALITIES:
        codec = ImageCodec("jpeg", quality)
        came = [wire.carry(codec.encode(image)) for image in sources]
        shown = np.concatenate([fit(codec.decode(payload), bundle.manifest.pictures["head"]) for payload, _ in came])
        sizes = tuple(size for _, size in came)
        found[quality] = Way(f"JPEG q{quality} of {side}", sizes, tuple(answered(bundle, "full", shown)))
    return found


def choice(bundle: Bundle, at: Set, wire: Wire) -> str:
    """The point with the smallest frames that is nowhere more than CHOSEN below the teacher; where none is, the best of all."""
    teacher = whole(bundle, at)
    ways = splits("GHND", bundle, bottlenecks(bundle, at.small), wire)
    lost = {name: min(at.differences(way, teacher)[t].value for t in TASKS) for name, way in ways.items()}
    good = [name for name in ways if lost[name] >= -CHOSEN]
    return min(good, key=lambda n: np.mean(ways[n].bytes)) if good else max(lost, key=lambda n: lost[n])


def tables(bundle: Bundle, test: Floats, choose: Floats) -> tuple[list[tuple[str, float, str, int]], float, bool]:
    """The published codes (8 bits, one range for the tensor) as they are, deflated, and by static tables fitted on other scenes;
    the share that tables save, and whether every code came back."""
    held = ranged(choose, per_channel=False)
    published = Bottleneck(bundle.manifest.crossing.shape, held.low, held.high)
    codec = FeatureCodec(published, coded(published, choose, (8,), range(test.shape[1]))["split-8"])
    low, step = np.float32(held.low[0]), np.float32((held.high[0] - held.low[0]) / 255)
    sizes, deflated, same = [], [], True
    for one in test:
        codes = np.clip(np.round((one - low) / step), 0, 255).astype(np.uint8)
        payload = codec.encode(one[None])
        back = np.round((codec.decode(payload)[0] - low) / step).astype(int)
        same = same and bool((np.abs(back - codes) <= (np.abs((one - low) / step % 1 - 0.5) < 1e-3)).all())
        sizes.append(HEADER_SIZE + len(payload))
        deflated.append(HEADER_SIZE + PUBLISHED + len(zlib.compress(codes.tobytes(), 6)))
    raw = HEADER_SIZE + PUBLISHED + test[0].size
    saved = 1 - float(np.mean(sizes)) / raw
    rows = [
        ("frame, raw", float(raw), "bytes", len(test)),
        ("frame, zlib 6", float(np.mean(deflated)), "bytes", len(test)),
        ("frame, static tables", float(np.mean(sizes)), "bytes", len(test)),
        ("saved by static tables", 100 * saved, "%", len(test)),
    ]
    return rows, saved, same


def rows_of(way: Way, at: Set) -> list[Row]:
    low, high = np.percentile(way.bytes, (5, 95))
    rows = [Row(way.case, "frame", float(np.mean(way.bytes)), "bytes", len(way.bytes), float(low), float(high))]
    for task, score in at.scores(way).items():
        if task in NAMES:
            rows.append(Row(way.case, NAMES[task], score.value, "", score.n, score.low, score.high))
    return rows


def paired(case: str, by: Quality, task: str) -> Row:
    return Row(case, f"{NAMES[task]}, paired", by.value, "", by.n, by.low, by.high)


def near(best: Way, by: dict[str, Quality]) -> Target:
    met = all(by[t].value >= -BELOW for t in TASKS)
    want = f"each of the three tasks at most {100 * BELOW:.1f} points below the teacher"
    return Target(f"{best.case}, against the teacher", want, told(by), met, "" if met else "the student learned too little")


def small(best: Way, by: dict[str, Quality], narrow: Way, wide: Way) -> Target:
    """Against q75 at the network's own size, the harder of the two; equal means within what the teacher's target allows."""
    size, one, two = (float(np.mean(w.bytes)) for w in (best, narrow, wide))
    met = size <= QUARTER * one and all(by[t].value >= -BELOW for t in TASKS)
    got = f"{size:,.0f} B of {one:,.0f} B at 384 px ({size / one:.2f}; {size / two:.2f} of {two:,.0f} B at 640 px); {told(by)}"
    want = f"<= 1/4 of the bytes of JPEG q75, no task more than {100 * BELOW:.1f} points below it"
    return Target(f"{best.case}, against JPEG", want, got, met, "" if met else "frames too large, or a task too far below")


def better(by: dict[str, Quality], ghnd: Way, hnd: Way) -> Target:
    """GHND is not worse: the mean of the tasks is not below, and no task lies below with its whole interval."""
    mean = float(np.mean([by[t].value for t in TASKS]))
    met = mean >= 0 and all(by[t].high >= 0 for t in TASKS)
    reason = "" if met else "the loss at later layers did not pay here"
    got = f"{told(by)}; {np.mean(ghnd.bytes):,.0f} B and {np.mean(hnd.bytes):,.0f} B"
    return Target("GHND against HND", "better or equal", got, met, reason)


def exact(by: dict[str, tuple[float, bool]]) -> Target:
    met = all(0.15 <= saved <= 0.40 and same for saved, same in by.values())
    got = "; ".join(f"{name} -{saved:.0%}, {'exact' if same else 'not exact'}" for name, (saved, same) in by.items())
    reason = "" if met else "more than asked for" if all(s > 0.15 and e for s, e in by.values()) else "codes are nearly uniform"
    return Target("static tables on published codes of 8 bits", "-15 % to -40 % of the bytes, exact", got, met, reason)


def told(by: dict[str, Quality]) -> str:
    """Differences in points, with their intervals."""
    return ", ".join(f"{t} {100 * by[t].value:+.1f} [{100 * by[t].low:+.1f}, {100 * by[t].high:+.1f}]" for t in TASKS)
