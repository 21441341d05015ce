"""What a server does around an adapting process: what waits, what is said, what becomes a version, what is written down."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from edgewise.adapt.recipe import Recipe
from edgewise.adapt.shipment import Shipment
from edgewise.apps.vision.adapting_engaged import engaged
from edgewise.apps.vision.adapting_home import MOST, calibration
from edgewise.apps.vision.adapting_line import FITTED_ON, Line
from edgewise.apps.vision.adapting_log import BEFORE, Begun, Journal, Noted, Published, Staged, Stood, read
from edgewise.apps.vision.adapting_options import budget, wished
from edgewise.apps.vision.adapting_report import draw, reported, table
from edgewise.apps.vision.adapting_store import Held
from edgewise.apps.vision.adapting_words import LENGTH, Begin, Failed, Outcome, Recall, Seen, Version, packed, said, told
from edgewise.codec.delta import encode
from edgewise.core.delta import Affine, Delta
from edgewise.core.errors import ConfigError, FrameError, ModelError
from edgewise.core.learning import AUDIT, Sample
from edgewise.data.picture import read_picture
from edgewise.runtime.bundle import bundle_files
from edgewise.runtime.parcel import unpacked
from edgewise.runtime.update import manifest_of
from tests.apps.small_school import pictures, school, teacher
from tests.small_bundles import colours, painted


def sample(number: int, flags: int = 0, size: int = 10) -> Sample:
    return Sample(number, 0.0, bytes(size), flags)


# What waits


def test_no_sample_is_lost_uncounted_and_audits_go_last() -> None:
    held, random = Held(most=20, largest=400), np.random.default_rng(0)
    for i in range(200):
        size = int(random.integers(1, 60))
        held.add("cam", sample(i, AUDIT * (i % 40 == 0), size), size, float(i))
        assert len(held) <= 20 and held.bytes <= 400
    waiting = [found[2] for _ in range(len(held)) if (found := held.take()) is not None]
    assert held.bytes == 0 and held.take() is None
    assert held.counts["samples"] == 200 == held.counts["displaced"] + len(waiting)
    assert sum(s.audit for s in waiting) == 5
    held.add("cam", sample(1, 0, 401), 401, 0.0)
    assert held.counts["too large"] == 1 and not len(held)


# What is said


def test_words_come_back_as_they_went() -> None:
    for word in (Begin({"a": b"1"}, {}, "t.onnx", Recipe()), Seen("cam", 1.0, sample(3, AUDIT), 9), Outcome(4, "ab", "why")):
        assert told(packed(word)[LENGTH.size :]) == word
    for word in (Failed("no."), Recall(1, "ab", {"f": b"x"}, "rest"), Version(1, "a", "b", {}, {"b": b"d"}, "learned")):
        assert said(packed(word)[LENGTH.size :]) == word


@pytest.mark.parametrize("body", [b"", b"\xc1", packed(Failed("no."))[LENGTH.size :], b"\x81\xa4type\xa4Nope"])
def test_what_is_no_word_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        told(body)


# What becomes a version


def test_a_delta_becomes_a_version_with_two_ways_and_a_recall_is_the_source_to_the_bit(tmp_path: Path) -> None:
    school(tmp_path / "b")
    source = bundle_files(tmp_path / "b")
    line, base = Line(source, source), manifest_of(source).address
    parent, files = base, dict(source)
    for number in range(1, 15):
        change = Affine(np.ones(3, np.float32), np.full(3, 0.1 * number, np.float32))
        data = encode(Delta(base, parent, "adapt", {"local.norm.bias": change}), "int8")
        version = line.made(Shipment(number, parent, data, "", "learned"))
        assert isinstance(version, Version) and version.address == manifest_of(version.files).address
        assert unpacked(files, version.routes[parent]) == version.files
        assert unpacked(source, version.routes[base]) == version.files
        parent, files, line.current = version.address, dict(version.files), version.address
    back = line.made(Shipment(15, parent, b"", base, "rest"))
    assert isinstance(back, Recall) and back.files == source
    with pytest.raises(ModelError, match="no longer held"):
        line.made(Shipment(16, "ab" * 32, b"x", "", "learned"))


def test_tables_are_fitted_again_where_the_head_changed_and_pictures_came(tmp_path: Path) -> None:
    manifest = colours(tmp_path / "b")
    source = bundle_files(tmp_path / "b")
    shift = Affine(np.ones(1, np.float32), np.full(1, 0.2, np.float32))
    data = encode(Delta(manifest.address, manifest.address, "adapt", {"head.nothing": shift}), "float32")
    shipment = Shipment(1, manifest.address, data, "", "learned")
    alone = Line(source, source).made(shipment)
    seen = [painted(i % 3, 90 + i) for i in range(FITTED_ON)]
    fitted = Line(source, source, lambda: seen).made(shipment)
    assert manifest_of(alone.files).codings == manifest.codings
    assert manifest_of(fitted.files).codings["split"].tables != manifest.codings["split"].tables
    assert replace(manifest_of(fitted.files), codings={}) == replace(manifest_of(alone.files), codings={})
    assert isinstance(fitted, Version) and unpacked(source, fitted.routes[manifest.address]) == fitted.files


# Who teaches


def test_a_teacher_of_other_classes_is_a_sentence(tmp_path: Path) -> None:
    school(tmp_path / "b")
    with pytest.raises(ModelError, match="other classes than the student"):
        engaged(bundle_files(tmp_path / "b"), str(teacher(tmp_path / "t.onnx", colours=5)))


def test_pictures_of_home_are_few_and_a_bad_one_among_them_is_left_out(tmp_path: Path) -> None:
    manifest = school(tmp_path / "b")
    folder = pictures(tmp_path / "home", 130, tinted=False)
    (folder / "0000.png").write_bytes(b"no picture")
    found = calibration(str(folder), manifest)
    assert found is not None and MOST - 1 <= len(found.pictures) <= MOST
    assert calibration("", manifest) is None
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="own domain"):
        calibration(str(tmp_path / "empty"), manifest)


# What a person asks for


def test_words_of_a_person_are_read_or_answered_by_a_sentence(tmp_path: Path) -> None:
    file = teacher(tmp_path / "t.onnx")
    (tmp_path / "r.toml").write_text("rate = 3e-4\nsteps = 2\n")
    made = wished(str(file), "20KB/s", tmp_path / "r.toml", None, "50%", "1min", "failed<1%")
    assert (made.budget, made.recipe.bytes, made.recipe.rate, made.recipe.steps) == (20_000, 20_000, 3e-4, 2)
    assert (made.manner.canary, made.manner.window, budget("1MB/s")) == (0.5, 60.0, 1e6)
    (tmp_path / "wrong.toml").write_text("speed = 3\n")
    for words, sentence in (
        (("", "20KB/s"), "nobody to learn from"),
        (("no.onnx", "20KB/s"), "no such teacher"),
        ((str(file), "20KB"), "upload budget"),
        ((str(file), "much"), "budget"),
        ((str(file), "20KB/s", tmp_path / "wrong.toml"), "speed"),
        ((str(file), "20KB/s", None, tmp_path / "nowhere"), "own domain"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            wished(*words)  # type: ignore[arg-type]


# What is written down


def stood(at: float, uploads: int, version: int = 1) -> Stood:
    return Stood(at, "trial", 10 * uploads, uploads, 1, 900 * uploads, 60 * version, 1, 1, 0, 0, version, 0.8, 0.7, {"x": 1})


def test_a_log_is_read_as_it_was_written_and_counts_only_grow_over_runs(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    lines = [Begun(0.0, "colours", "big", 2e4), stood(1.0, 5), Published(2.0, 1, 2, "ab", 900, 60, "learned"), stood(3.0, 9)]
    lines += [Staged(4.0, 2, "reverted", "the guard"), Begun(5.0, "colours", "big", 2e4), stood(6.0, 2), Noted(7.0, "rest", "z")]
    for line in lines:
        journal.write(line)
    with journal.file.open("ab") as file:
        file.write(b'{"kind":"standing","at":9')  # the power went
    assert list(read(tmp_path)) == lines
    found = reported(read(journal.file))
    assert [s.uploads for s in found.course] == [5, 9, 11] and found.uploaded_share == 0.1
    assert [s.version for s in found.back] == [2]
    from rich.console import Console

    screen = Console(file=io.StringIO(), width=140)
    screen.print(table(found))
    assert "+10.0" in screen.file.getvalue()  # type: ignore[attr-defined]
    png = draw(found, tmp_path / "p" / "course.png")
    assert read_picture(png.read_bytes(), "course.png").std() > 10


def test_a_log_ends_at_its_bound_and_a_bad_one_is_a_sentence(tmp_path: Path) -> None:
    journal = Journal(tmp_path, largest=400)
    for i in range(40):
        journal.write(Noted(float(i), "x", "y" * 20))
    assert journal.file.stat().st_size < 600 and (tmp_path / BEFORE).stat().st_size < 600
    assert read(tmp_path)[-1] == Noted(39.0, "x", "y" * 20)
    journal.file.write_bytes(b"{}\n{}\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(journal.file)
    with pytest.raises(ConfigError, match="no log"):
        read(tmp_path / "nothing.jsonl")
    with pytest.raises(ConfigError, match="no beginning"):
        reported([Noted(1.0, "x", "")])
    missing = Journal(tmp_path / "gone")
    missing.write(Noted(1.0, "x", ""))
    assert missing.lost == 1
