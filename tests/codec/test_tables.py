"""Integer tables: distributions near to what was counted, the same bytes for the same counts, hostile bytes refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.codec.tables import Tables, fit, pack, unpack
from edgewise.core.errors import ModelError

counts_of = st.lists(st.integers(0, 10**6), min_size=1, max_size=60)


@given(st.lists(counts_of, max_size=4), st.sampled_from([8, 12, 16]))
def test_tables_are_distributions_and_come_back(counts, precision):
    tables = fit([np.array(c) for c in counts], precision=precision)
    assert all(sum(t) == 1 << precision and min(t) >= 1 for t in tables.frequencies)
    data = pack(tables)
    assert unpack(data) == tables
    assert pack(unpack(data)) == data


@given(st.lists(st.integers(0, 50), min_size=2, max_size=4).filter(any))
def test_the_fit_is_the_best_there_is(counts):
    """Against every table of a small total, measured by the length of the code for these counts."""
    tables = fit([np.array(counts)], precision=4)
    first = tables.offsets[0]
    (ours,) = tables.frequencies
    kept = [*counts[first : first + len(ours) - 1], 0]

    def bits(table):
        return -sum(n * np.log2(f / 16) for n, f in zip(kept, table, strict=True) if n)

    best = min(bits(t) for t in compositions(16, len(kept)))
    assert bits(ours) <= best + 1e-9


def compositions(total, parts):
    """All ways to write `total` as `parts` ordered numbers of 1 or more."""
    if parts == 1:
        return [(total,)]
    return [(a, *rest) for a in range(1, total - parts + 2) for rest in compositions(total - a, parts - 1)]


def test_ends_that_never_came_are_left_to_the_escape():
    tables = fit([np.array([0, 0, 5, 0, 9, 0])], offsets=[-3])
    assert tables.offsets == (-1,)
    assert len(tables.frequencies[0]) == 4


def test_the_same_counts_give_the_same_bytes_whatever_type_holds_them():
    counts = [3, 1, 4, 1, 5, 9, 2, 6]
    assert len({pack(fit([np.array(counts, t)])) for t in (np.uint8, np.int32, np.int64, np.uint64)}) == 1


@given(st.binary(max_size=60))
def test_noise_is_no_table(data):
    with contextlib.suppress(ModelError):
        assert pack(unpack(data)) == data


@given(st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_damaged_bytes_are_refused_or_stay_a_table(at, value, cut):
    data = bytearray(pack(fit([np.arange(9), np.arange(5)[::-1]])))
    if cut:
        del data[at % len(data) :]
    else:
        data[at % len(data)] = value
    try:
        assert pack(unpack(bytes(data))) == bytes(data)
    except ModelError:
        assert cut or bytes(data) != pack(fit([np.arange(9), np.arange(5)[::-1]]))


@pytest.mark.parametrize(
    ("offsets", "frequencies", "precision"),
    [
        ((0,), ((8, 7),), 4),
        ((0,), ((16,),), 4),
        ((0,), ((16, 0),), 4),
        ((0, 1), ((8, 8),), 4),
        ((-(2**31),), ((8, 8),), 4),
        ((2**31 - 1,), ((8, 8),), 4),
        ((0,), ((1, 1),), 17),
        (range(5000), [(1, 4095)] * 5000, 12),
    ],
    ids=str,
)
def test_what_is_no_table_is_refused(offsets, frequencies, precision):
    with pytest.raises(ModelError):
        Tables(offsets, frequencies, precision)
