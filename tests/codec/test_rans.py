"""The coder against its laws: what goes in comes out, near to the entropy, for any integers, tables and lengths."""

import contextlib
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.codec.rans import Coder, decode, decode_many, encode
from edgewise.codec.tables import Tables, fit
from edgewise.core.errors import TensorError

INT32 = np.iinfo(np.int32)


def skewed(sizes, seed, letters=33):
    """Symbols of channels of `sizes`, with their index and the tables of their own counts."""
    rng = np.random.default_rng(seed)
    parts, counts = [], []
    for size in sizes:
        shares = np.exp(-abs(np.arange(letters) - letters // 2) / rng.uniform(0.3, 4))
        parts.append(rng.choice(letters, size, p=shares / shares.sum()).astype(np.int32))
        counts.append(np.bincount(parts[-1], minlength=letters))
    return np.concatenate(parts), np.repeat(np.arange(len(sizes)), sizes), fit(counts), counts


def entropy(counts):
    """Bytes that no coder of independent symbols can go below."""
    shares = [k[k > 0] for k in map(np.asarray, counts)]
    return sum(float((k * np.log2(k.sum() / k)).sum()) for k in shares) / 8


@given(
    n=st.integers(0, 3000),
    tables=st.integers(1, 5),
    letters=st.integers(1, 40),
    precision=st.sampled_from([6, 8, 12, 13, 16]),
    lanes=st.sampled_from([None, 1, 2, 3, 64, 5000]),
    escaped=st.sampled_from([0.0, 0.01, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_int32_comes_back(n, tables, letters, precision, lanes, escaped, seed):
    """Whatever the tables expect: other lengths, alphabets, tables symbol by symbol, and everything outside the alphabet."""
    rng = np.random.default_rng(seed)
    known = fit(
        [rng.integers(0, 1 + int(rng.integers(1, 1000)), letters) for _ in range(tables)],
        rng.integers(-100, 100, tables).tolist(),
        precision,
    )
    index = rng.integers(0, tables, n) if seed % 2 else np.sort(rng.integers(0, tables, n))
    symbols = (np.array(known.offsets)[index] + rng.integers(0, letters, n)).astype(np.int32)
    wild = rng.random(n) < escaped
    symbols[wild] = rng.integers(INT32.min, INT32.max, int(wild.sum()), endpoint=True)
    if n > 2:
        symbols[:3] = INT32.min, INT32.max, 0
    coder = Coder(known, index, lanes)
    assert coder.decode(coder.encode(symbols)).tolist() == symbols.tolist()


@pytest.mark.parametrize(
    ("channels", "size", "most"), [(24, 3025, 0.006), (3, 13_872, 0.008), (3, 841, 0.032), (1, 100, 0.22)], ids=str
)
def test_bytes_stay_near_the_entropy(channels, size, most):
    symbols, index, tables, counts = skewed([size] * channels, seed=1)
    data = encode(symbols, index, tables)
    assert entropy(counts) <= len(data) <= entropy(counts) * (1 + most)


def test_bytes_stay_near_the_entropy_where_nearly_nothing_is_said():
    """One letter in 500 differs: 21 bits in a thousand symbols, and the coder's own bytes."""
    rng = np.random.default_rng(3)
    symbols = (rng.random(100_000) < 0.002).astype(np.int32)
    counts = [np.bincount(symbols)]
    data = encode(symbols, np.zeros(symbols.size, np.uint8), fit(counts))
    assert len(data) <= entropy(counts) * 1.1 + 128 * 5


def test_a_table_for_each_symbol_is_worth_its_index():
    """Scale indices as of a hyperprior: coded by their own tables, the symbols take their conditional entropy."""
    rng = np.random.default_rng(5)
    scales = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
    index = rng.integers(0, scales.size, 50_000).astype(np.uint8)
    symbols = np.rint(rng.laplace(0, scales[index])).astype(np.int32).clip(-60, 60)
    counts = [np.bincount(symbols[index == i] + 60, minlength=121) for i in range(scales.size)]
    data = encode(symbols, index, fit(counts, [-60] * scales.size))
    assert len(data) <= entropy(counts) * 1.015
    pooled = [np.bincount(symbols + 60, minlength=121)]
    assert len(data) < entropy(pooled)


def test_many_payloads_are_the_same_as_one_by_one():
    symbols, index, tables, _ = skewed([200] * 4, seed=2)
    rng = np.random.default_rng(0)
    frames = np.stack([rng.permutation(symbols) for _ in range(6)])
    frames[3] = rng.integers(INT32.min, INT32.max, symbols.size)  # nothing but escapes
    payloads = [encode(f, index, tables) for f in frames]
    assert (decode_many(payloads, index, tables) == frames).all()
    assert (np.stack([decode(p, index, tables) for p in payloads]) == frames).all()
    assert decode_many([], index, tables).shape == (0, symbols.size)


@given(data=st.binary(max_size=400), n=st.sampled_from([0, 1, 7, 300]), seed=st.integers(0, 9))
def test_noise_is_symbols_or_a_sentence(data, n, seed):
    _, _, tables, _ = skewed([30, 30], seed=seed)
    index = np.arange(n) % 2
    try:
        assert decode(data, index, tables).shape == (n,)
    except TensorError as error:
        assert re.search("damaged|overlong", str(error))


@given(
    flip=st.integers(0, 10**9),
    bit=st.integers(0, 7),
    cut=st.integers(0, 10**9),
    kind=st.sampled_from(["flip", "cut", "grow"]),
    escaped=st.booleans(),
)
def test_damage_is_other_symbols_or_a_sentence(flip, bit, cut, kind, escaped):
    symbols, index, tables, _ = skewed([400, 100], seed=4)
    if escaped:
        symbols[::20] = 10**9
    data = bytearray(encode(symbols, index, tables))
    if kind == "flip":
        data[flip % len(data)] ^= 1 << bit
    elif kind == "cut":
        del data[cut % len(data) :]
    else:
        data += bytes(1 + cut % 9)
    with contextlib.suppress(TensorError):
        assert decode(bytes(data), index, tables).shape == symbols.shape


def test_a_length_that_lies_costs_nothing():
    """An escape length of 32 GiB, or more words than the symbols can need."""
    symbols, index, tables, _ = skewed([100], seed=6)
    for lie in (b"\xff\xff\xff\xff\x7f" + encode(symbols, index, tables), bytes(10**6)):
        with pytest.raises(TensorError, match="damaged"):
            decode(lie, index, tables)


def test_the_damaged_payload_of_a_batch_is_named():
    symbols, index, tables, _ = skewed([500], seed=7)
    good = encode(symbols, index, tables)
    with pytest.raises(TensorError, match="payload 2"):
        decode_many([good, good, good[:-4], good], index, tables)


def test_what_is_no_sequence_of_the_coder_is_refused():
    coder = Coder(Tables((0,), ((15, 1),), 4), np.zeros(3, np.uint8))
    for wrong in (np.zeros(2, np.int32), np.zeros(3, np.float32), np.zeros(3, np.uint32), np.zeros((3, 1), np.int32)):
        with pytest.raises(TensorError, match="int32"):
            coder.encode(wrong)
    with pytest.raises(TensorError, match="no table"):
        Coder(Tables((0,), ((15, 1),), 4), np.ones(3, np.uint8))
