"""What a hostile device says becomes a small, honest view."""

from __future__ import annotations

import base64
import math

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgewise.apps.vision.books import Accounts
from edgewise.apps.vision.status import ModelVersion, NodeStatus, ServerStatus
from edgewise.apps.vision.views import MOST_BOXES, NAME, cleaned, grid, node_view, picture_view, plain, server_view, together
from edgewise.core.answer import Answer, Box, FrameRecord
from edgewise.web.recent import Figures
from edgewise.web.tally import Counts


def record(answer: Answer) -> FrameRecord:
    return FrameRecord("n", 4, 0.0, "answered", "split", "p", "w", answer=answer)


@given(st.text(), st.integers(2, 80))
def test_words_are_short_and_have_no_control_characters(text: str, most: int) -> None:
    shown = plain(text, most)
    assert len(shown) <= most
    assert not any(ord(c) < 32 or c in "\u202e\u2066\x7f" for c in shown)
    assert shown.isprintable() or "\u200d" in shown or any(c.isspace() for c in shown)
    assert plain(shown, most) == shown


@given(st.integers(-5, 300), st.integers(-5, 300), st.integers(0, 200))
def test_a_grid_that_lies_is_none(rows: int, columns: int, length: int) -> None:
    shown = grid(Answer((), rows, columns, bytes(length)))
    honest = rows > 0 and columns > 0 and (rows * columns + 7) // 8 == length
    assert shown == ((rows, columns, bytes(length)) if honest else (0, 0, b""))


def test_boxes_are_few_finite_and_the_rest_is_counted() -> None:
    boxes = (Box(math.nan, 0, 1, 1, 0.5, "x"), *(Box(0, 0, 1, 1, 0.9, "y" * 500) for _ in range(1000)))
    view = picture_view("n", 0, 1, 4, record(Answer(boxes)))
    assert len(view.boxes) == MOST_BOXES
    assert view.more == 1001 - MOST_BOXES
    assert all(len(b.label) <= 24 for b in view.boxes)
    assert len(msgspec.json.encode(view)) < 30_000


def test_cells_arrive_bit_for_bit() -> None:
    cells = np.random.default_rng(0).random((23, 40)) > 0.5
    view = picture_view("n", 0, 1, 4, record(Answer((), 23, 40, np.packbits(cells).tobytes())))
    text = msgspec.json.decode(msgspec.json.encode(view))
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text["cells"]), np.uint8), count=23 * 40)
    assert (bits.reshape(23, 40).astype(bool) == cells).all()


def test_the_address_of_a_picture_cannot_leave_its_folder() -> None:
    for name in ("../../static", 'a"b', "<script>", "a/b?c#d", "é"):
        address = picture_view(name, 0, 7, None, None).address
        assert address.startswith("/preview/")
        assert address.endswith(".jpg?v=7")
        assert not set(address[9:-8]) & set('/"<>?# ')


def test_a_card_prefers_the_devices_word_and_does_without_it() -> None:
    last = FrameRecord("n", 1, 0.0, "answered", "split", "p4", "it fits", deadline=0.1, link_rate=2e6)
    bare = node_view("n", 0, last, None, 0.0, Figures(), Accounts(Counts(), 0), (), ())
    assert (bare.mode, bare.point, bare.why, bare.link_rate, bare.deadline) == ("split", "p4", "it fits", 2e6, 0.1)
    assert bare.connected is None
    status = NodeStatus("n", True, mode="local", point="small", why="no link", link_rate=math.nan)
    told = node_view("n", 0, last, status, 0.0, Figures(parts={"x" * 99: 1.0}), Accounts(Counts(), 0), (), ())
    assert (told.mode, told.point, told.why, told.link_rate) == ("local", "small", "no link", None)
    assert all(len(step) <= 24 for step in told.figures.parts)


def test_reasons_that_read_alike_are_added_so_that_the_sum_stays_whole() -> None:
    long = "r" * (2 * NAME)
    shown = cleaned(Accounts(Counts(1, 0, {long + "1": 2, long + "2": 3}, {"a\x00": 1, "a": 1}), 8))
    assert list(shown.counts.dropped.values()) == [5]
    assert shown.counts.failed == {"a": 2}
    assert shown.counts.total == 8


def test_the_servers_view_is_clean_as_well() -> None:
    status = ServerStatus(models=(ModelVersion("m\x07" * 100, "a" * 64),), refused={"x\n" * 200: 3})
    view = server_view(1.0, [], Figures(), Accounts(Counts(), 0), 0, 0, "host:1", status)
    assert view.status is not None
    assert len(view.status.models[0].name) <= NAME
    assert all("\n" not in what and len(what) <= NAME for what in view.status.refused)
    assert (view.devices, view.connected) == (0, 0)


def test_all_devices_together() -> None:
    a = Figures(10.0, 1000.0, 0.5, energy_frame=0.05, provenance="measured")
    b = Figures(30.0, 3000.0, 0.3, energy_frame=0.01, provenance="modelled")
    both = together([a, b, Figures()])
    assert (both.frames_second, both.bytes_second, both.power) == (40, 4000, 0.8)
    assert (both.bytes_frame, both.energy_frame, both.provenance) == (100, 0.02, "mixed")
    assert together([]).energy_frame is None
