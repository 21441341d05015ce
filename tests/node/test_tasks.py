"""Heads and tails of any task: behind a filter, without pictures, with batches of one, with features that are no map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewise.core.answer import Answer
from edgewise.core.errors import ImageError, TensorError
from edgewise.data.decoding import raw
from edgewise.data.source import open_source
from edgewise.node.heads import Heads
from edgewise.node.parts import Parts
from edgewise.node.tails import Tails
from edgewise.runtime.bundle import Bundle
from tests import small_bundles
from tests.small_bundles import colours, painted, sound, tokens


@pytest.fixture(scope="module", params=[True, False], ids=["full", "parts"])
def coloured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("colours")
    colours(folder, full=request.param)
    return Bundle.open(folder)


def up(bundle: Bundle, samples: list[np.ndarray], point: str) -> list[Answer | str]:
    """What the server says of samples that a device prepares."""
    heads, tails = Heads(bundle), Tails([bundle])
    heads.warm()
    stream = next(s for s in heads.streams() if s.point == point)
    assert tails.accept(stream) is None
    return tails.run([(stream, memoryview(heads.prepare(s, bundle.manifest.point(point)).payload)) for s in samples])


@pytest.mark.parametrize("point", ["split", "jpeg-90"])
def test_every_way_says_the_same_colour(coloured: Bundle, point: str) -> None:
    pictures = [painted(c, 250) for c in (2, 0, 1)]
    said = up(coloured, pictures, point)
    assert [a.classes[0].label for a in said if isinstance(a, Answer)] == ["blue", "red", "green"]
    assert [Heads(coloured).local(p).answer.classes[0].label for p in pictures] == ["blue", "red", "green"]


def test_the_filter_looks_once_and_the_head_goes_on_from_there(coloured: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    heads, ran = Heads(coloured), []
    run = Parts.run
    monkeypatch.setattr(Parts, "run", lambda self, part, batch: (ran.append(part), run(self, part, batch))[1])
    bright = heads.look(painted(0, 250))
    assert bright is not None and bright.passes
    made = heads.prepare(painted(0, 250), coloured.manifest.point("split"), bright)
    assert ran == ["filter", "head"]
    assert made.payload == heads.prepare(painted(0, 250), coloured.manifest.point("split")).payload
    dark = heads.look(painted(0, 120))
    assert dark is not None and not dark.passes and dark.present == pytest.approx(120 / 255 / 3, abs=1e-3)
    assert heads.filter is not None and heads.filter.of == "red"


def test_a_filter_that_gives_no_number_lets_everything_pass(coloured: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Parts.run
    spoilt = lambda self, part, batch: run(self, part, batch) | {"present": np.array([np.nan], np.float32)}  # noqa: E731
    monkeypatch.setattr(Parts, "run", spoilt)
    look = Heads(coloured).look(painted(0, 0))
    assert look is not None and look.passes


def test_sound_is_answered_by_the_same_heads_and_tails_one_by_one(tmp_path: Path) -> None:
    sound(tmp_path)
    bundle = Bundle.open(tmp_path)
    samples = [np.full((1, 64), v, np.float32) for v in (0.25, -0.5, 1.0)]
    said = up(bundle, samples, "split")
    means = [raw.outputs(a)["mean"].item() for a in said if isinstance(a, Answer)]
    assert means == pytest.approx([0.5, -1.0, 2.0], abs=0.05)
    assert raw.outputs(Heads(bundle).local(samples[0]).answer)["mean"].item() == pytest.approx(0.5, abs=1e-3)


def test_what_a_part_does_not_take_is_refused_with_a_sentence(tmp_path: Path, coloured: Bundle) -> None:
    sound(tmp_path)
    heads = Heads(Bundle.open(tmp_path))
    for wrong in (painted(0, 9), np.zeros((1, 63), np.float32), np.zeros(64, np.float32), np.zeros((2, 1, 64), np.float32)):
        with pytest.raises(TensorError, match="takes"):
            heads.prepare(wrong, heads.manifest.point("split"))
    with pytest.raises(ImageError):
        Heads(coloured).prepare(np.zeros((1, 64), np.float32), coloured.manifest.point("split"))


def test_tokens_cross_as_they_are_and_are_no_picture_to_the_server(tmp_path: Path) -> None:
    tokens(tmp_path)
    bundle = Bundle.open(tmp_path)
    draw = np.random.default_rng(3)
    pictures = [draw.integers(0, 255, (8, 8, 3), np.uint8) for _ in range(4)]
    assert Tails([bundle]).key(Heads(bundle).streams()[0])[1] == "split"
    parts = Parts(bundle)
    true = [parts.run("tail", parts.run("head", p[None])["features"])["mean"][0] for p in pictures]
    said = [raw.outputs(a)["mean"] for a in up(bundle, pictures, "split") if isinstance(a, Answer)]
    assert np.allclose(said, true, atol=0.02)


def test_a_fixed_batch_is_run_piece_by_piece_with_the_same_outcome(tmp_path: Path) -> None:
    sound(tmp_path)
    parts, many = Parts(Bundle.open(tmp_path)), np.random.default_rng(0).normal(size=(5, 1, 64)).astype(np.float32)
    assert np.array_equal(parts.run("head", many)["features"], many * 2)


def test_outputs_that_are_no_answer_are_refused_alone(tmp_path: Path, coloured: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Parts.run

    def spoilt(self: Parts, part: str, batch: np.ndarray) -> dict[str, np.ndarray]:
        found = run(self, part, batch)  # type: ignore[arg-type]
        if part == "tail":
            found["scores"][1] = np.nan
        return found

    monkeypatch.setattr(Parts, "run", spoilt)
    said = up(coloured, [painted(c, 250) for c in (2, 0, 1)], "split")
    assert [isinstance(a, Answer) for a in said] == [True, False, True]


def test_a_folder_of_arrays_is_a_source_and_what_is_none_is_counted(tmp_path: Path) -> None:
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", np.full((1, 64), i, np.int16))
    np.save(tmp_path / "nan.npy", np.array([np.nan]))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "0.npy").read_bytes()[:-5])
    source = open_source(str(tmp_path))
    samples = list(source)
    assert [float(s.image.mean()) for s in samples] == [0.0, 1.0, 2.0]
    assert all(s.image.dtype == np.float32 and s.image.shape == (1, 64) for s in samples)
    assert sum(source.skipped.values()) == 4
    assert [s.image.shape for s in open_source(str(tmp_path / "1.npy"))] == [(1, 64)]


def test_a_folder_with_pictures_stays_one_of_pictures(tmp_path: Path) -> None:
    from PIL import Image

    np.save(tmp_path / "a.npy", np.zeros(4))
    Image.fromarray(small_bundles.painted(0, 9)).save(tmp_path / "b.png")
    assert [s.image.dtype for s in open_source(str(tmp_path))] == [np.uint8]
