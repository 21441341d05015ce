"""Picture codecs as baselines: bytes are those of the files, what is decoded is what was sent, and what is promised is left."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from bench.jobs import Advance, Size
from bench.rates import image_codec, local, pictures
from bench.rates.decoded import TUNING, Beside, Decoded, Files, answered, files, tuned
from bench.rates.ground import Ground
from bench.rates.imagenette import Part
from bench.rates.record import records
from edgewise.codec.image import ImageCodec, Kind
from edgewise.core.errors import ConfigError, ImageError
from edgewise.graph.picture import Look
from edgewise.split.gallery import Gallery
from edgewise.training.classes import MEAN, STD, tensor
from edgewise.training.nets.resnet import ResNet

SIDE, COUNT = 32, 48
HEADER = 24


def silent(what: str, share: float) -> None:
    pass


def part(seed: int) -> Part:
    """Smooth pictures of two classes, warm and cold."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    labels = rng.integers(0, 2, COUNT)
    waves = np.sin(rng.uniform(2, 9, (COUNT, 1, 1)) * x + rng.uniform(2, 9, (COUNT, 1, 1)) * y)
    tint = np.where(labels[:, None], [60, 0, -60], [-60, 0, 60])[:, None, None]
    found = (128 + 60 * waves[..., None] + tint).clip(0, 255).astype(np.uint8)
    return Part(Gallery(found, tuple(str(i) for i in range(COUNT)), ()), labels, ("cold", "warm"), np.arange(COUNT))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Ground:
    torch.manual_seed(0)
    net = ResNet(2, (4, 4, 4, 4), stem=(3, 1, False)).eval().requires_grad_(False)
    look = Look(SIDE, SIDE, 3, 1 / 255, MEAN, STD, False)
    made = Ground(part(0), part(1), net, look, 28, "cifar10-32")

    def ground(work: Path, size: Size, advance: Advance) -> Ground:
        return made

    for module in (pictures, image_codec, local):
        monkeypatch.setattr(module, "ground", ground)
    return made


@pytest.mark.parametrize("kind", pictures.KINDS)
def test_records_bear_the_bytes_of_the_files(kind: Kind, small: Ground, tmp_path: Path) -> None:
    pictures.as_is(tmp_path, silent, kind, "quick")
    found = {(r.about.method, r.about.point): r for r in records(tmp_path)}
    for quality in pictures.qualities(kind, "quick"):
        codec = ImageCodec(kind, quality, small=True)
        lengths = [len(codec.encode(small.held.of([i])[0])) for i in range(COUNT)]
        whole, shared = (found[f"{kind}{s}", f"q{quality}"] for s in ("", "-shared"))
        assert whole.bytes.tolist() == [n + HEADER for n in lengths] and whole.about.more["file"] == np.mean(lengths)
        assert (shared.bytes > HEADER).all() and (shared.bytes < whole.bytes).all()
        assert np.array_equal(shared.right, whole.right)
    left = {f for j in pictures.jobs(0, "quick") if j.name == f"{kind}.0" for f in j.leaves}
    assert left == {str(p.relative_to(tmp_path)) for p in (tmp_path / "records").iterdir()}


def test_files_are_coded_once_and_decode_to_the_same_pictures(small: Ground, tmp_path: Path) -> None:
    codec = ImageCodec("webp", 30, small=True)
    first = files(small.held, codec, tmp_path / "a.npz")

    class Refusing:
        def encode(self, image: np.ndarray, /) -> bytes:
            raise AssertionError("coded twice")

        def decode(self, data: bytes, /) -> np.ndarray:
            return codec.decode(data)

    again = files(small.held, Refusing(), tmp_path / "a.npz")
    assert [again[i] for i in range(COUNT)] == [codec.encode(small.held.of([i])[0]) for i in range(COUNT)]
    assert first.sizes.tolist() == [len(first[i]) for i in range(COUNT)] and first.sizes.sum() == len(first.data)
    one, two = (Decoded(f, codec).of([5, 3]) for f in (first, again))
    assert np.array_equal(one, two) and np.array_equal(one[1], codec.decode(first[3]))


def test_a_file_ends_where_the_next_begins() -> None:
    found = Files(np.frombuffer(b"abcdef", np.uint8), np.array([2, 2, 6]))
    assert [found[i] for i in range(3)] == [b"ab", b"", b"cdef"] and found.sizes.tolist() == [2, 0, 4]


def test_what_tunes_a_tail_lies_beside_what_was_coded(small: Ground) -> None:
    ways = [pictures.again(ImageCodec("jpeg", q, small=True)) for q in (2, 50)]
    source = Beside(small.train, ways, 3, seed=1)
    assert len(source) == 3 * COUNT
    came = source.of([7, COUNT + 7, 2 * COUNT + 7, 0])
    assert np.array_equal(came[..., 3:], small.train.of([7, 7, 7, 0]))
    possible = [way(small.train.of([7]))[0] for way in ways]
    assert all(any(np.array_equal(one, p) for p in possible) for one in came[:3, ..., :3])
    assert np.array_equal(came, Beside(small.train, ways, 3, seed=1).of([7, COUNT + 7, 2 * COUNT + 7, 0]))
    assert len(set(source.drawn.tolist())) == 2 and source.drawn.tolist() != Beside(small.train, ways, 3, 2).drawn.tolist()


def test_a_tuned_tail_is_taken_up_and_the_teacher_stays(small: Ground, tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in small.teacher.state_dict().items()}
    ways = [pictures.again(ImageCodec("jpeg", 5, small=True))]
    course = msgspec.structs.replace(TUNING["full"], epochs=16, batch=16, rate=0.1)
    net = tuned(small, ways, course, 0, tmp_path)
    assert all(torch.equal(v, small.teacher.state_dict()[k]) for k, v in before.items())
    coded = files(small.held, ImageCodec("jpeg", 5, small=True), tmp_path / "files.npz")
    source = Decoded(coded, ImageCodec("jpeg", 5))
    assert answered(net, source, small).mean() > answered(small.teacher, source, small).mean()
    again = tuned(small, ways, course, 0, tmp_path)  # no step is left to take
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in net.state_dict().items())
    with pytest.raises(ConfigError, match="another course"):
        tuned(small, [pictures.again(ImageCodec("jpeg", 9, small=True))], course, 0, tmp_path)


def test_a_pillow_without_avif_has_jobs_for_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "there", lambda kind: kind != "avif")
    assert {j.arguments["kind"] for j in pictures.jobs(0)} == {"jpeg", "webp"}
    assert all(j.run.endswith("with_tuned_tail") for j in pictures.jobs(1))  # nothing is drawn in a codec


def test_the_teacher_on_the_device_sends_nothing(small: Ground, tmp_path: Path) -> None:
    local.teacher(tmp_path, silent, "quick")
    (found,) = records(tmp_path)
    assert found.about.method == "teacher" and not found.bytes.any() and len(found.right) == COUNT
    assert found.about.more["macs"] > 0 and found.about.parameters == sum(p.numel() for p in small.teacher.parameters())


def test_a_learned_codec_gives_back_pictures_of_any_size(small: Ground, tmp_path: Path) -> None:
    image_codec.as_is(tmp_path, silent, 0, "quick")
    (found,) = records(tmp_path)
    done = image_codec.rung(tmp_path, small, 0, "quick")
    codec = image_codec.LearnedCodec(done, (SIDE, SIDE))
    assert found.bytes.tolist() == [HEADER + len(codec.encode(small.held.of([i])[0])) for i in range(COUNT)]
    wide = image_codec.LearnedCodec(done, (27, 41))
    picture = small.held.of([0])[0].repeat(2, axis=1)[:27, :41]
    data = wide.encode(picture)
    assert wide.decode(data).shape == picture.shape and data == wide.encode(picture)
    assert np.abs(wide.decode(data).astype(int) - wide.again(picture[None])[0]).max() <= 1
    with pytest.raises(ImageError, match="this stream"):
        codec.encode(picture)


def test_a_look_is_undone() -> None:
    look = Look(SIDE, SIDE, 3, 1 / 255, MEAN, STD, False)
    held = part(3).of([0, 1])
    assert np.array_equal(image_codec.bytes_of(tensor(held, look), look), held)
