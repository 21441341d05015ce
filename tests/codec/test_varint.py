"""Whole numbers as bytes: back again, one and many alike, in the shortest way; what is no number is None."""

import ast
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import edgewise.codec
from edgewise.codec.varint import LONGEST, read, read_many, write, write_many

numbers = st.lists(st.one_of(st.integers(0, 300), st.integers(0, (1 << 35) - 1)), max_size=40)


@given(numbers)
def test_one_and_many_write_the_same_and_read_it_back(values):
    data = b"".join(map(write, values))
    assert write_many(np.array(values, np.uint64)) == data
    found = read_many(data, len(values))
    assert found is not None and found.tolist() == values
    at = 0
    for value in values:
        assert read(memoryview(data), at) == (value, at + len(write(value)))
        at += len(write(value))


@given(st.integers(0, (1 << 35) - 1))
def test_no_number_takes_more_bytes_than_it_has_sevens_of_bits(value):
    assert len(write(value)) == max(1, -(-value.bit_length() // 7))


@given(st.binary(max_size=12), st.integers(0, 12))
def test_noise_is_numbers_or_none(data, count):
    found = read_many(data, count)
    assert found is None or (found.size == count and int(found.max(initial=0)) < 1 << 35)


def test_a_number_that_does_not_end_is_none():
    assert read(b"") is None
    assert read(b"\x80\x80") is None
    assert read(b"\x80" * LONGEST + b"\x01") is None
    assert read(b"\x80\x80\x01", longest=2) is None
    assert read_many(b"\x80" * LONGEST + b"\x01", 1) is None
    assert read_many(b"\x01\x80", 1) is None


def test_nobody_else_shifts_by_sevens():
    """The format is written once."""
    for path in Path(edgewise.codec.__file__).parent.glob("*.py"):
        names = {n.name for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.FunctionDef)}
        assert path.stem == "varint" or not [n for n in names if "leb128" in n], path.name
