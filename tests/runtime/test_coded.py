"""A bundle that sends features by tables: it runs from head to tail, a delta re-fits it, and its tables are not believed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgewise.apps.vision.bundles import find
from edgewise.codec import tables
from edgewise.codec.delta import encode
from edgewise.codec.fitted import coding_for, refitted
from edgewise.codec.select import codec_for
from edgewise.core.answer import Answer
from edgewise.core.artifact import MANIFEST, Bottleneck, Manifest, Picture, Raw
from edgewise.core.delta import Delta, Full
from edgewise.core.errors import ModelError
from edgewise.core.placement import OperatingPoint
from edgewise.data.junction import Junction
from edgewise.data.preprocess import fit
from edgewise.node.heads import Heads
from edgewise.node.tails import Tails
from edgewise.runtime.bundle import Bundle, bundle_files, write_bundle
from edgewise.runtime.parcel import parcel, unpacked
from edgewise.runtime.update import manifest_of, parameters, rebuilt, updated

Files = dict[str, bytes]


def pictures(seed: int, count: int) -> list[NDArray[np.uint8]]:
    junction = Junction(seed, "clear")
    return [junction.frame(2.5 * i)[0] for i in range(count)]


def features(bundle: Bundle, shown: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(picture, channel, height, width)."""
    head = bundle.session("head")
    look = bundle.manifest.pictures["head"]
    return np.concatenate([head.run({"picture": fit(one, look)})["bottleneck"] for one in shown])


def load(files: Files) -> Bundle:
    blobs = {hashlib.sha256(data).hexdigest(): data for data in files.values()}
    return Bundle.load(files[MANIFEST], blobs.__getitem__)


@pytest.fixture(scope="module")
def coded() -> Files:
    """The shipped bundle with a point `rans-6` of six bits, four layers, and tables of eight frames."""
    plain = Bundle.open(find("vehicles"))
    manifest = plain.manifest
    seen = features(plain, pictures(900, 8))
    spread = np.argsort(-seen.std(axis=(0, 2, 3))).tolist()
    coding = coding_for(manifest.crossing, [seen], [64] * 8, spread, 4)
    point = replace(manifest.point("split-8"), name="rans-6", codec="rans", level=6)
    new = replace(manifest, points=(*manifest.points, point), codings={"rans-6": coding})
    return bundle_files(find("vehicles")) | {MANIFEST: new.canonical}


def test_frames_go_through_head_coder_and_tail_and_say_what_they_say_at_eight_bits(coded: Files) -> None:
    bundle = load(coded)
    heads, tails = Heads(bundle), Tails([bundle])
    streams = {s.point: s for s in heads.streams()}
    assert tails.accept(streams["rans-6"]) is None
    shown = pictures(901, 4)
    frames, sizes = [], []
    for name in ("rans-6", "split-8"):
        payloads = [heads.prepare(one, bundle.manifest.point(name)).payload for one in shown]
        frames += [(streams[name], memoryview(p)) for p in payloads]
        sizes.append(float(np.mean([len(p) for p in payloads])))
    said = tails.run(frames)
    assert all(isinstance(a, Answer) for a in said)
    for ours, theirs in zip(said[:4], said[4:], strict=True):
        assert isinstance(ours, Answer) and isinstance(theirs, Answer)
        assert abs(len(ours.boxes) - len(theirs.boxes)) <= 1
        bits = [np.unpackbits(np.frombuffer(a.cells, np.uint8)) for a in (ours, theirs)]
        assert (bits[0] != bits[1]).sum() <= 10
    assert sizes[0] < 0.8 * sizes[1]
    codec = codec_for(bundle.manifest.point("rans-6"), bundle.manifest)
    first = memoryview(frames[0][1])
    assert isinstance(tails.run([(streams["rans-6"], first[: codec.prefixes(first)[1]])])[0], Answer)  # type: ignore[attr-defined]
    cut = tails.run([(streams["rans-6"], first[:-1]), frames[1]])
    assert isinstance(cut[0], str) and cut[1] == said[1]


def test_a_delta_carries_tables_that_were_fitted_again(coded: Files) -> None:
    old = load(coded)
    manifest = old.manifest
    path = "head.level.weight"
    change = Full(parameters(coded, manifest)[path] * np.float32(0.6))
    delta = encode(Delta(manifest.address, manifest.address, "test", {path: change}), "float32")
    stale = updated(coded, delta)
    seen = features(load(stale), pictures(900, 8))
    new = updated(coded, delta, codings=refitted(manifest, [seen]).codings)
    assert rebuilt(coded, delta, new[MANIFEST]) == new and unpacked(coded, parcel(coded, new)) == new
    was, now = (manifest_of(files).codings["rans-6"] for files in (stale, new))
    assert was.tables != now.tables and replace(now, tables=was.tables) == was

    fresh = features(load(new), pictures(901, 4))
    point = manifest.point("rans-6")
    before, after = (codec_for(point, manifest_of(files)) for files in (stale, new))
    assert sum(len(after.encode(x[None])) for x in fresh) < sum(len(before.encode(x[None])) for x in fresh)
    assert all((after.decode(after.encode(x[None])) == before.decode(before.encode(x[None]))).all() for x in fresh)
    heads, tails = Heads(load(new)), Tails([old, load(new)])
    stream = next(s for s in heads.streams() if s.point == "rans-6")
    assert isinstance(tails.run([(stream, memoryview(heads.prepare(pictures(901, 1)[0], point).payload))])[0], Answer)


def spoilt(manifest: Manifest, data: bytes) -> Manifest:
    return replace(manifest, codings={"rans-6": replace(manifest.codings["rans-6"], tables=data)})


def test_altered_tables_are_another_address_and_inconsistent_ones_a_sentence(coded: Files, tmp_path: Path) -> None:
    manifest = manifest_of(coded)
    packed = manifest.codings["rans-6"].tables
    found = tables.unpack(packed)
    first = found.frequencies[0]
    swapped = tables.pack(tables.Tables(found.offsets, (tuple(sorted(first)), *found.frequencies[1:]), found.precision))
    other = spoilt(manifest, swapped)
    assert other.address != manifest.address
    stranger, tails = load(coded | {MANIFEST: other.canonical}), Tails([load(coded)])
    assert "does not hold the model" in str(tails.accept(Heads(stranger).streams()[0]))

    for name, data in {
        "bundle": packed[:-1],
        "codes": tables.pack(tables.Tables((9,) * 8, (first,) * 8, found.precision)),
    }.items():
        wrong = coded | {MANIFEST: spoilt(manifest, data).canonical}
        with pytest.raises(ModelError, match=r"tables|table of channel"):
            load(wrong)
        folder = tmp_path / name
        folder.mkdir()
        for file, content in wrong.items():
            (folder / file).write_bytes(content)
        with pytest.raises(ModelError):
            Bundle.open(folder)


def test_many_small_tables_that_hold_much_are_refused_together(coded: Files) -> None:
    """Each alone is allowed; a decoder of all of them would hold 720 MiB."""
    manifest = manifest_of(coded)
    one = replace(manifest.codings["rans-6"], tables=tables.pack(tables.fit([[5, 3]] * 8, precision=16)))
    assert len(one.tables) < 200
    point, others = manifest.point("rans-6"), [p for p in manifest.points if p.name != "rans-6"]

    def offering(count: int) -> Files:
        names = [f"rans-{i}" for i in range(count)]
        points = (*others, *(replace(point, name=n) for n in names))
        return coded | {MANIFEST: replace(manifest, points=points, codings=dict.fromkeys(names, one)).canonical}

    assert len(load(offering(8)).manifest.codings) == 8
    with pytest.raises(ModelError, match="too large together"):
        load(offering(64))


def test_what_would_not_open_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a range for each channel"):
        fixed(tmp_path, Bottleneck((2, 3), (0.0,), (1.0,), 1))
    assert not list(tmp_path.iterdir())


def fixed(folder: Path, bottleneck: Bottleneck) -> Manifest:
    """A model of tokens whose batch is one: tokens = 2 × sample (2, 3), y = tokens + 1."""
    models = {}
    for name, kind, value, takes, gives in (("head", "Mul", 2.0, "sample", "tokens"), ("tail", "Add", 1.0, "tokens", "y")):
        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2, 3]) for n in (takes, gives)]
        weight = helper.make_tensor("w", TensorProto.FLOAT, [], [value])
        graph = helper.make_graph([helper.make_node(kind, [takes, "w"], [gives])], name, ends[:1], ends[1:], [weight])
        opset = [helper.make_opsetid("", 17)]
        models[name] = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    samples = np.random.default_rng(0).uniform(-1, 1, (50, 2, 3)).astype(np.float32)
    coding = coding_for(bottleneck, [2 * samples], [0, 256, 32], [2, 1], 2) if len(bottleneck.low) == 3 else None
    return write_bundle(
        folder,
        name="tokens",
        labels=(),
        task="other",
        parts=models,  # type: ignore[arg-type]
        pictures={},
        bottleneck=bottleneck,
        decoding=Raw(),
        points=(OperatingPoint("rans", "split", "rans", 8),) if coding else (),
        provenance={},
        codings={"rans": coding} if coding else {},
    )


def test_a_model_without_pictures_whose_batch_is_one_is_served_many_frames_at_once(tmp_path: Path) -> None:
    from edgewise.data.decoding import raw

    fixed(tmp_path, Bottleneck((2, 3), (-2.0,) * 3, (2.0,) * 3, 1))
    bundle = Bundle.open(tmp_path)
    heads, tails = Heads(bundle), Tails([bundle])
    (stream,) = heads.streams()
    assert tails.accept(stream) is None and tails.key(stream)[1] == "split"
    samples = np.random.default_rng(1).uniform(-1, 1, (5, 2, 3)).astype(np.float32)
    point = bundle.manifest.points[0]
    said = tails.run([(stream, memoryview(heads.prepare(one, point).payload)) for one in samples])
    for one, answer in zip(samples, said, strict=True):
        assert isinstance(answer, Answer)
        assert raw.outputs(answer)["y"][:, 1:] == pytest.approx(2 * one[:, 1:] + 1, abs=0.07)


def test_the_words_of_the_shipped_manifest_are_those_of_today() -> None:
    manifest = msgspec.json.decode((find("vehicles") / MANIFEST).read_bytes())
    assert manifest["decoding"]["kind"] == "grid" and manifest["codings"] == {} and manifest["bottleneck"]["axis"] == 0
    assert Picture(320, 180) == Bundle.open(find("vehicles")).manifest.pictures["head"]
