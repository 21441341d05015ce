"""A file by its hash, in ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.node.delivery.files import part

SHA = "ab" * 32


@pytest.mark.parametrize(
    ("wanted", "status", "start", "stop"),
    [
        (None, 200, 0, 1000),
        ("bytes=0-999", 206, 0, 1000),
        ("bytes=900-", 206, 900, 1000),
        ("bytes=-10", 206, 990, 1000),
        ("bytes=-5000", 206, 0, 1000),
        ("bytes=10-19", 206, 10, 20),
        ("bytes=10-99999", 206, 10, 1000),
        ("bytes=1000-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=5-2", 200, 0, 1000),
        ("bytes=0-1,5-6", 200, 0, 1000),
        ("bytes=-", 200, 0, 1000),
        ("rows=0-1", 200, 0, 1000),
        ("bytes=0x10-20", 200, 0, 1000),
        ("bytes=" + "9" * 30 + "-", 200, 0, 1000),
    ],
)
def test_one_range_is_served_and_others_are_as_none(wanted: str | None, status: int, start: int, stop: int) -> None:
    found = part(SHA, 1000, wanted)
    assert (found.status, found.start, found.stop) == (status, start, stop)
    if status == 206:
        assert found.headers["Content-Range"] == f"bytes {start}-{stop - 1}/1000"
    if status == 416:
        assert found.headers["Content-Range"] == "bytes */1000"
    else:
        assert found.headers["Content-Length"] == str(stop - start)


def test_a_range_of_another_file_gives_the_whole() -> None:
    assert part(SHA, 1000, "bytes=10-", f'"{SHA}"').status == 206
    assert part(SHA, 1000, "bytes=10-", '"other"').status == 200
    assert part(SHA, 1000, "bytes=10-", f'W/"{SHA}"').status == 200


@pytest.mark.parametrize("name", ["", "../etc/passwd", SHA.upper(), SHA + "0", SHA[:-1] + "\n"])
def test_what_is_no_hash_is_no_file(name: str) -> None:
    assert part(name, 10).status == 404
    assert part(SHA, None).status == 404


@given(st.integers(0, 300), st.integers(1, 64))
def test_a_file_in_pieces_is_the_file(size: int, piece: int) -> None:
    data, place, got = bytes(i % 251 for i in range(size)), 0, b""
    while place < size:
        found = part(SHA, size, f"bytes={place}-{place + piece - 1}")
        got += data[found.start : found.stop]
        place = found.stop
    assert got == data


@given(st.text(max_size=60), st.text(max_size=20), st.integers(0, 1 << 40))
def test_any_header_has_an_answer_within_the_file(wanted: str, only_if: str, size: int) -> None:
    found = part(SHA, size, wanted, only_if)
    assert found.status in (200, 206, 416)
    assert 0 <= found.start <= found.stop <= size
