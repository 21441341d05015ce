"""Several tails from one bitstream: boxes, weather and a mask of vehicles from the frames of one student, its encoder untouched.

Three ways at one operating point of a student (`things.WAYS`), all with the same steps of training in all:

    single    a tail for each task: decoder, trunk and head are its own, and learned nothing else
    apart     the three single tails merged into one model: nothing is shared but the frame
    shared    one decoder and trunk for the three heads, learned together for as many epochs as the three single tails had in
              all; three exports, merged, in which the trunk runs once

Tails learn from kept codes, so the encoder cannot move; a score is judged from real bytes, in onnxruntime, through the merged
model of a bundle. Latency is head, coder both ways and tails, one thread, in turns with: two streams of their own (two heads, two
coders, a tail for boxes and one for the rest), and three runs of single tails behind one stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.jobs import Advance, Job, Size
from bench.rates import scenes, tasks, things
from bench.rates.detections import DRAWS
from bench.rates.sights import BATCH, Name, plain, sight
from bench.rates.tasks import DECODINGS, LABELS, TASKS, One, Tails, Task
from bench.report import Row, Target, left_out
from edgewise.codec.features import FeatureCodec
from edgewise.core.answer import Answer
from edgewise.core.placement import OperatingPoint
from edgewise.core.wire import FRAME_HEADER
from edgewise.data.decoding import answers, regions
from edgewise.data.junction.weather import CONDITIONS
from edgewise.data.things import drawn, resampled
from edgewise.runtime.bundle import Bundle, write_bundle
from edgewise.split.join import joined
from edgewise.split.training.frozen import Coded, features
from edgewise.split.training.parts import parts
from edgewise.split.training.rung import Rung
from edgewise.training.course import Course, Pictures, adam, follow
from edgewise.training.things_draw import truth

SIGHT: Name = "junction-384"
WAY, INDEX, POINT = "lean-task", 1, "split"
EPOCHS: dict[Size, float] = {"quick": 0.1, "medium": 0.25, "full": 0.75}
BELOW = 0.01
ROUNDS = 60  # of timing
DONE = "things/tails.json"
MERGED = ("shared", "apart")  # the ways of one tail for several tasks
WORTH = {"boxes": "AP of boxes", "weather": "right weather", "road": "IoU of vehicles"}


class Scores(Struct, frozen=True, forbid_unknown_fields=True):
    """By way and task the score, first as it is, then for each drawing of scenes; mean bytes;
    seconds by way of running; bytes of models that sharing saves."""

    scores: dict[str, dict[str, tuple[float, ...]]]
    bytes: float
    seconds: dict[str, tuple[float, float, float]]
    saved: int
    pictures: int


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """One job, behind the student that it stands on; of the full size alone, for exports take longer than small runs have."""
    after = (f"{SIGHT}-{WAY}.0",)
    return [Job("tails", "bench.rates.tails:run", (DONE,), {"size": size}, 5.2, after)] if seed == 0 and size == "full" else []


def run(work: Path, advance: Advance, size: Size) -> None:
    """Train the tails, write the bundles, judge and time them."""
    seen = sight(SIGHT, work, size)
    source, at = seen.source, seen.held
    done = things.climbed(work, seen, WAY, 0, size, advance)[INDEX]
    place = work / "things" / "tails"
    codes = Codes(done, source, place)
    single = {task: taught(done, codes, source, (task,), place / task, size, advance) for task in TASKS}
    shared = taught(done, codes, source, TASKS, place / "shared", size, advance)
    alone: dict[str, Path] = {task: bundle(done, single[task], task, place / f"bundle-{task}") for task in TASKS}
    together: dict[str, Path] = {task: bundle(done, shared, task, place / f"bundle-shared-{task}") for task in TASKS}
    joined(together, place / "bundle-shared", "junction")
    joined(alone, place / "bundle-apart", "junction")
    opened = {name: Bundle.open(place / f"bundle-{name}") for name in (*TASKS, "shared", "apart")}
    frames, values = sent(opened["shared"], at.pictures)
    scores: dict[str, dict[str, tuple[float, ...]]] = {way: judged(opened[way], values, at) for way in MERGED} | {"single": {}}
    for task in TASKS:
        scores["single"] |= judged(opened[task], values, at)
    seconds = timed(opened, at.pictures)
    saved = opened["apart"].size() - opened["shared"].size()
    found = Scores(scores, float(np.mean(frames)), seconds, saved, len(at))
    (work / DONE).write_bytes(msgspec.json.encode(found))


class Codes:
    """The codes of all training pictures as the student's coder has them, made once and kept."""

    def __init__(self, done: Rung, source: scenes.Source, place: Path) -> None:
        self._coded = Coded(done.coding)
        path = place / "codes.npy"
        if not path.exists():
            place.mkdir(parents=True, exist_ok=True)
            kept = np.lib.format.open_memmap(
                place / "codes.unfinished.npy", mode="w+", dtype=np.uint8, shape=(len(source), *done.bottleneck.shape)
            )
            first = 0
            for batch in features(done.net, done.stretch, source, done.look, range(len(source))):
                values = self._coded(torch.from_numpy(batch))
                code = torch.round((values - self._coded.low) * self._coded.inverse)
                kept[first : first + len(batch)] = code.to(torch.uint8).numpy()
                first += len(batch)
            kept.flush()
            (place / "codes.unfinished.npy").replace(path)
        self._codes: NDArray[np.uint8] = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return len(self._codes)

    def of(self, indices: list[int]) -> Pictures:
        """Nothing that a tail sees: it is handed values."""
        return np.zeros((len(indices), 1, 1, 3), np.uint8)

    def values(self, indices: list[int]) -> Tensor:
        """(n, channels, rows, columns) as they come out of the decoder."""
        code = torch.from_numpy(self._codes[indices].astype(np.float32))
        return code * self._coded.step + self._coded.low


def taught(
    done: Rung, codes: Codes, source: scenes.Source, chosen: tuple[Task, ...], work: Path, size: Size, advance: Advance
) -> Tails:
    """Tails whose trunk and `chosen` heads learned from codes; what `work` holds is taken up."""
    tails = Tails(plain(done.net))
    split = tasks.split(tails)
    encoder, between = split.encoder, split.between
    held = tasks.Held()
    split.encoder, split.between = held, nn.Identity()
    tails.eval().requires_grad_(True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weather = np.array([CONDITIONS.index(c) for part in source.parts for c in part.condition])

    def lesson(_: Pictures, indices: list[int]) -> Tensor:
        held.now = codes.values(indices).contiguous(memory_format=torch.channels_last)
        return tasks.loss(tails, chosen, torch.from_numpy(weather[indices]), truth(source.truth(indices)))

    learnt = [*tails.net.parameters()] if "boxes" in chosen else _without(tails.net, tails.net.heads)
    learnt += [p for name in ("weather", "road") if name in chosen for p in getattr(tails, name).parameters()]
    course = Course(epochs=EPOCHS[size] * len(chosen), rate=1e-3, batch=16, warm=0.1, mirror=False)
    follow(
        tails, learnt, codes, lesson, course, work, lambda what, share: advance(f"{'+'.join(chosen)}", share), optimiser=adam()
    )
    split.encoder, split.between = encoder, between
    return tails.eval().requires_grad_(False)


def bundle(done: Rung, tails: Tails, task: Task, place: Path) -> Path:
    """A bundle of the student's head and the tail of one task."""
    split = tasks.split(tails)
    between, split.between = split.between, nn.Identity()
    try:
        one = One(tails, task).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
        made = parts(one, one, "net.stem", scenes.LOOK)
    finally:
        split.between = between
    write_bundle(
        place,
        name=task,
        task={"boxes": "detection", "weather": "classification", "road": "segmentation"}[task],  # type: ignore[arg-type]
        labels=LABELS[task],
        parts={"head": made.models["head"], "tail": made.models["tail"]},
        pictures={"head": scenes.LOOK.picture},
        bottleneck=done.bottleneck,
        decoding=DECODINGS[task],
        points=(OperatingPoint(POINT, "split", "rans", 1),),
        codings={POINT: done.coding},
        parameters={path: p for path, p in made.parameters.items() if p.part in ("head", "tail")},
        provenance={"student": f"{WAY}, β {done.beta:g}"},
    )
    return place


def sent(opened: Bundle, pictures: Pictures) -> tuple[list[int], NDArray[np.float32]]:
    """Bytes of each frame, and the values that come out of them."""
    head, codec = opened.session("head"), FeatureCodec(opened.manifest.crossing, opened.manifest.codings[POINT])
    sizes, values = [], []
    for picture in pictures:
        payload = codec.encode(head.run({head.inputs[0].name: picture[None]})[head.outputs[0].name])
        sizes.append(FRAME_HEADER + len(payload))
        values.append(codec.decode(payload))
    return sizes, np.concatenate(values)


def judged(opened: Bundle, values: NDArray[np.float32], at: scenes.Held) -> dict[str, tuple[float, ...]]:
    """The score of each task that the bundle answers, as it is and for each drawing of scenes."""
    tail, manifest = opened.session("tail"), opened.manifest
    said: list[Answer] = []
    for first in range(0, len(values), BATCH):
        outputs = tail.run({tail.inputs[0].name: values[first : first + BATCH]})
        said += answers(outputs, manifest.decoding, manifest.labels)
    weights = [np.ones(len(at)), *resampled(at.block, DRAWS, seed=0)]
    found: dict[str, tuple[float, ...]] = {}
    if manifest.task in ("detection", "several"):
        bare = [msgspec.structs.replace(t, mask=np.zeros((0, 0), np.uint8)) for t in at.truth]
        found["boxes"] = tuple(one["box"] for one in drawn(said, bare, weights))
    if manifest.task in ("classification", "several"):
        right = np.array([a.classes[0].label == c for a, c in zip(said, at.condition, strict=True)], float)
        found["weather"] = tuple(float((w * right).sum() / w.sum()) for w in weights)
    if manifest.task in ("segmentation", "several"):
        true = tasks.cells(torch.from_numpy(np.stack([t.mask for t in at.truth]))).numpy()
        seen = np.stack([regions.classes(a) for a in said]) == 1
        both, either = (seen & true).sum((1, 2)), (seen | true).sum((1, 2))
        found["road"] = tuple(float((w * both).sum() / (w * either).sum()) for w in weights)
    return found


def timed(opened: Mapping[str, Bundle], pictures: Pictures) -> dict[str, tuple[float, float, float]]:
    """Seconds from picture to answers (median, 5th and 95th percentile), each way in turn on the same pictures."""
    one = opened["shared"]
    codec = FeatureCodec(one.manifest.crossing, one.manifest.codings[POINT])
    sessions = {name: b.session("tail") for name, b in opened.items()}

    def carried(picture: Any) -> NDArray[np.float32]:
        head = one.session("head")
        return codec.decode(codec.encode(head.run({head.inputs[0].name: picture[None]})[head.outputs[0].name]))

    def answered(name: str, values: NDArray[np.float32]) -> None:
        session, manifest = sessions[name], opened[name].manifest
        answers(session.run({session.inputs[0].name: values}), manifest.decoding, manifest.labels)

    def single(picture: Any) -> None:
        values = carried(picture)
        for task in TASKS:
            answered(task, values)

    def streams(picture: Any) -> None:
        answered("boxes", carried(picture))
        values = carried(picture)
        answered("weather", values)
        answered("road", values)

    ways: dict[str, Callable[[Any], None]] = {
        "shared": lambda picture: answered("shared", carried(picture)),
        "apart": lambda picture: answered("apart", carried(picture)),
        "three tails": single,
        "two streams": streams,
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 3):
        for name, way in ways.items():
            begun = time.thread_time()
            way(pictures[number % len(pictures)])
            spent[name].append(time.thread_time() - begun)
    return {name: tuple(np.quantile(each[3:], (0.5, 0.05, 0.95)).tolist()) for name, each in spent.items()}


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    """Rows and targets of what the job left."""
    want = "each at most 1 point below its own single-task tail, and a total latency below running two codecs"
    name = "several tails from one bitstream"
    if not (work / DONE).exists():
        return [], [left_out(name, want, "its job has not run")]
    found = msgspec.json.decode((work / DONE).read_bytes(), type=Scores)
    out = []
    for way, by in found.scores.items():
        for task, values in by.items():
            low, high = np.quantile(values[1:], (0.025, 0.975)).tolist()
            out.append(Row(f"tails, {way}", WORTH[task], values[0], "", found.pictures, low, high))
    out.append(Row("tails", "frame", found.bytes, "bytes", found.pictures))
    for way, (middle, low, high) in found.seconds.items():
        out.append(Row(f"tails, {way}", "picture to answers, 1 thread", middle, "s", ROUNDS, low, high))
    two = found.seconds["two streams"][0]
    told, good = [], False
    for way in MERGED:
        more, words, worst = _below_single(found, way)
        out += more
        took = found.seconds[way][0]
        told.append(f"{way}: {words} points, {1e3 * took:.1f} ms")
        good = good or (worst >= -BELOW and took < two)
    got = f"{'; '.join(told)}; two streams {1e3 * two:.1f} ms"
    return out, [Target(name, want, got, good, "" if good else "both ways give up more than that for one of the tasks")]


def _below_single(found: Scores, way: str) -> tuple[list[Row], str, float]:
    """A merged way less single tails, paired over drawings: rows, words, and the worst of the tasks."""
    out, told, worst = [], [], 0.0
    for task in TASKS:
        each = np.array(found.scores[way][task]) - np.array(found.scores["single"][task])
        low, high = np.quantile(each[1:], (0.025, 0.975)).tolist()
        out.append(Row(f"tails, {way} less single", f"{WORTH[task]}, paired", float(each[0]), "", found.pictures, low, high))
        told.append(f"{task} {100 * each[0]:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")
        worst = min(worst, float(each[0]))
    return out, ", ".join(told), worst


def _without(net: nn.Module, left: nn.Module) -> list[nn.Parameter]:
    aside = {id(p) for p in left.parameters()}
    return [p for p in net.parameters() if id(p) not in aside]
