"""Sources give every good picture in order, count every other one, keep the pace, and say in a sentence why they end."""

import math
import shutil
import tarfile
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgewise.core.errors import SourceError
from edgewise.data.pack import natural, open_pack
from edgewise.data.source import open_source
from edgewise.data.sources.feed import Pace


def fill(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        Image.new("RGB", (16, 8), (i, 0, 0)).save(folder / f"f{i}.png")
    return folder


def packed(folder: Path) -> Path:
    tar = folder.with_suffix(".tar")
    with tarfile.open(tar, "w") as out:
        out.add(folder, ".")
    return tar


def test_a_folder_and_its_tar_give_the_same_samples_in_natural_order(tmp_path: Path) -> None:
    folder = fill(tmp_path / "p", 12)
    (folder / "notes.txt").write_text("no picture, and not meant to be one")
    (folder / "._f1.png").write_bytes(b"a Mac's shadow file")
    for spec in (folder, packed(folder)):
        samples = list(open_source(str(spec)))
        assert [s.identity for s in samples] == [f"f{i}.png" for i in range(12)]
        assert [int(s.image[0, 0, 0]) for s in samples] == list(range(12))
        assert [s.frame for s in samples] == list(range(12))


def test_broken_pictures_are_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = fill(tmp_path / "p", 3)
    (folder / "f0.png").write_bytes(b"")
    (folder / "f9.jpg").write_text("text")
    source = open_source(str(folder), loop=True)
    given = iter(source)
    assert [next(given).identity for _ in range(5)] == ["f1.png", "f2.png", "f1.png", "f2.png", "f1.png"]
    assert source.skipped == {"the picture is empty": 1, "the file is not a picture": 1}  # once, not once a round


def test_the_real_packs(data_pack: Callable[[str], Path]) -> None:
    clip = open_source(str(data_pack("opendatacam.tar")))
    samples = list(islice(clip, 12))
    assert samples[11].identity.endswith("frames/012.jpg")
    assert samples[0].image.shape == (360, 640, 3)
    stills = open_source(str(data_pack("traffic-stills.tar")))
    assert len(list(stills)) == 31
    assert stills.skipped == {"the picture is empty": 1, "the file is not a picture": 1}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("nowhere", "no such file or folder"),
        ("empty", "no picture in the folder"),
        ("text.tar", "not an uncompressed tar"),
        ("page.html", "kind of file"),
        ("empty.mp4", "empty.*0 bytes"),
        ("text.mp4", "cannot be opened as a video"),
        ("bad", "no picture of the source can be read.*not a picture: 1"),
        ("/dev/video99", "no such camera"),
        ("/dev/videoX", "no name of a camera"),
        ("http://host/a.jpg", "kind of address"),
        ("junction:", "not well named"),
        ("junction:x", "not well named"),
        ("junction:1:fog:2", "not well named"),
    ],
)
def test_a_source_that_never_was_is_a_sentence(tmp_path: Path, spec: str, sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_text("text")
    for name in ("text.tar", "page.html", "text.mp4"):
        (tmp_path / name).write_text("some text")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceError, match=sentence):
        list(open_source(spec if ":" in spec or spec.startswith("/") else str(tmp_path / spec)))


def test_a_folder_that_vanishes_while_running_ends_with_a_sentence(tmp_path: Path) -> None:
    folder = fill(tmp_path / "p", 5)
    source = open_source(str(folder))
    samples = iter(source)
    next(samples)
    shutil.rmtree(folder)
    with pytest.raises(SourceError, match=r"vanished while it was running.*1 picture"):
        list(samples)


def test_a_tar_that_is_cut_while_running_gives_what_is_left_and_counts_the_rest(tmp_path: Path) -> None:
    tar = packed(fill(tmp_path / "p", 6))
    pack = open_pack(tar)
    source = open_source(str(tar))
    samples = iter(source)
    next(samples)
    tar.write_bytes(tar.read_bytes()[:4096])
    left = list(samples)
    assert len(left) + 1 + sum(source.skipped.values()) == len(pack.names) == 6
    assert source.skipped["the tar ends inside a file"] >= 1


def test_pictures_have_no_rate_of_their_own(tmp_path: Path) -> None:
    spec = str(fill(tmp_path / "p", 1))
    assert [open_source(spec, rate, stills=10).rate for rate in (None, 4)] == [10, 4]
    assert open_source(spec).rate is None


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan])
def test_an_impossible_rate_is_a_sentence(tmp_path: Path, rate: float) -> None:
    with pytest.raises(SourceError, match="rate of a source is impossible"):
        open_source(str(fill(tmp_path / "p", 1)), rate=rate)


@given(st.floats(0.5, 200), st.lists(st.floats(0, 0.9), min_size=20, max_size=60), st.floats(0, 0.02))
def test_the_pace_does_not_drift(rate: float, shares: list[float], oversleep: float) -> None:
    """Work that takes less than an interval, under a pause that always sleeps too long, keeps tick n at n / rate."""
    now = [0.0]

    def pause(seconds: float) -> bool:
        now[0] += seconds + (min(oversleep, 0.09 / rate) if seconds > 0 else 0)
        return False

    pace = Pace(rate, lambda: now[0], pause)
    for n, share in enumerate(shares):
        assert pace.tick()
        assert -1e-9 <= now[0] - n / rate <= 0.1 / rate
        now[0] += share / rate
    assert pace.late == 0


def test_after_a_stall_the_pace_starts_anew_instead_of_bursting() -> None:
    now = [0.0]
    slept: list[float] = []
    pace = Pace(10, lambda: now[0], lambda s: bool(slept.append(s)))
    pace.tick()
    now[0] = 5.0
    pace.tick()
    pace.tick()
    assert slept == pytest.approx([0, 0, 0.1])
    assert pace.late == 1


def test_close_ends_a_paced_iteration_soon(tmp_path: Path) -> None:
    source = open_source(str(fill(tmp_path / "p", 3)), rate=0.01, loop=True)
    given: list[int] = []
    thread = threading.Thread(target=lambda: given.extend(s.frame for s in source))
    thread.start()
    source.close()
    thread.join(5)
    assert not thread.is_alive()
    assert len(given) <= 2


def test_natural_order_never_fails_on_a_name() -> None:
    assert sorted(["a10b", "A9b", "a9²", "٣.jpg", "1" * 400], key=natural)[0].startswith("1")
