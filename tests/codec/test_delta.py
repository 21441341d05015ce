"""The coding of deltas: exact where it says so, within its step elsewhere, and hostile bytes are sentences."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load

from edgewise.codec.delta import MAGIC, Precision, decode, encode
from edgewise.core.delta import INTEGERS, Affine, Delta, Full, LowRank, Rows
from edgewise.core.errors import ModelError

F = np.float32
ANY = st.floats(allow_nan=False, allow_infinity=False, width=32)


def sample(seed: int = 0, size: float = 0.1) -> Delta:
    r = np.random.default_rng(seed)

    def values(*shape: int) -> np.ndarray:
        return (size * r.normal(size=shape)).astype(F)

    changes = {
        "full": Full(values(4, 3)),
        "whole numbers": Full(np.arange(5, dtype=np.int64)),
        "nothing": Full(np.zeros((0, 3), F)),
        "number": Full(np.array(3, F)),
        "rows": Rows(np.array([0, 500, 100_000]), values(3, 2, 2)),
        "no rows": Rows(np.zeros(0, np.int64), values(0, 2)),
        "low": LowRank(values(4, 2), values(2, 9)),
        "norm": Affine(1 + values(7), values(7)),
    }
    return Delta("b" * 64, "p" * 64, "adapt", changes, "r" * 64)  # type: ignore[arg-type]


def arrays(delta: Delta) -> dict[str, np.ndarray]:
    return {f"{p}.{f}": getattr(c, f) for p, c in delta.changes.items() for f in c.__struct_fields__}


@pytest.mark.parametrize("compress", [True, False])
def test_float32_is_exact_and_says_everything(compress: bool) -> None:
    assert decode(encode(sample(), "float32", compress)) == sample()


@given(values=hnp.arrays(F, st.sampled_from([(3,), (2, 5), ()]), elements=ANY))
@settings(max_examples=100, deadline=None)
def test_every_finite_float_survives_float32(values: np.ndarray) -> None:
    delta = Delta("b", "p", "m", {"w": Full(values)})
    assert decode(encode(delta, "float32")) == delta


@given(values=hnp.arrays(np.int64, (6,), elements=st.integers(0, 255)), kind=st.sampled_from(INTEGERS))
@settings(max_examples=50, deadline=None)
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_integers_never_lose_a_bit(precision: Precision, values: np.ndarray, kind: np.dtype) -> None:
    delta = Delta("b", "p", "m", {"w": Full(values.astype(kind)), "r": Rows(np.unique(values), np.zeros(len(set(values)), F))})
    found = decode(encode(delta, precision))
    assert found.changes["w"] == delta.changes["w"]
    assert (found.changes["r"].indices == delta.changes["r"].indices).all()  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [1e-30, 1e-7, 0.1, 1e6, 1e30])
@pytest.mark.parametrize(("precision", "step"), [("float16", 2**-11), ("int8", 0.5 / 127)])
def test_a_lossy_coding_is_within_its_step_whatever_the_size(precision: Precision, step: float, size: float) -> None:
    delta = sample(3, size)
    found = arrays(decode(encode(delta, precision)))
    for name, wanted in arrays(delta).items():
        assert found[name].shape == wanted.shape and found[name].dtype == wanted.dtype
        if wanted.size:
            off = np.abs(found[name].astype(np.float64) - wanted)
            one = 1.2e-7 if name == "norm.scale" else 0.0  # 1 + distance is rounded once more
            assert (off <= step * 1.001 * np.abs(wanted - (name == "norm.scale")).max() + one * (1 + size) + 1e-44).all(), name


def test_an_affine_scale_near_one_keeps_its_distance_from_one() -> None:
    scale = 1 + 1e-3 * np.linspace(-1, 1, 9, dtype=F)
    found = decode(encode(Delta("b", "p", "m", {"n": Affine(scale, np.zeros(9, F))}), "int8")).changes["n"]
    assert np.abs(found.scale - scale).max() < 5e-6  # type: ignore[union-attr]


def test_coarser_is_smaller() -> None:
    delta = Delta("b", "p", "m", {"w": Full(np.random.default_rng(0).normal(size=(64, 64)).astype(F))})
    exact, half, byte = (len(encode(delta, p)) for p in ("float32", "float16", "int8"))  # type: ignore[arg-type]
    assert byte < 0.6 * half < 0.36 * exact


def test_inside_is_plain_safetensors() -> None:
    data = encode(sample(), "float32", compress=False)
    tensors = load(data[13:])
    assert (tensors["0.values"] == arrays(sample())["full.values"]).all()
    assert len(tensors) == len(arrays(sample()))


def test_what_is_no_number_is_not_coded() -> None:
    with pytest.raises(ModelError, match="no number"):
        encode(Delta("b", "p", "m", {"w": Full(np.array([np.nan], F))}))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = zlib.compress(bytes(64 << 20), 9)
    for told in (64 << 20, 1 << 40, 1 << 10):
        tracemalloc.start()
        with pytest.raises(ModelError, match=r"too large|unpacked"):
            decode(struct.pack("<4sBQ", MAGIC, 1, told) + bomb, largest=1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
        tracemalloc.stop()


def hostile(header: dict[str, object], data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    body = struct.pack("<Q", len(text)) + text + data
    return struct.pack("<4sBQ", MAGIC, 0, len(body)) + body


def described(changes: list[object], **tensors: object) -> dict[str, object]:
    told = {"base": "b", "parent": "p", "method": "m", "result": "", "changes": changes}
    return {"__metadata__": {"edgewise": json.dumps(told)}, **tensors}


FULL = {"path": "w", "kind": "full", "arrays": {"values": {}}}


def tensor(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"EWD1",
        b"PK\x03\x04" + bytes(40),
        struct.pack("<4sBQ", MAGIC, 2, 0),
        struct.pack("<4sBQ", MAGIC, 0, 8) + b"\xff" * 8,
        hostile({}),
        hostile({"__metadata__": {"edgewise": "[" * 5000}}),
        hostile(described([FULL])),
        hostile(described([FULL], **{"0.values": tensor("F32", [1 << 40, 1 << 40], 0, 4)}), bytes(4)),
        hostile(described([FULL], **{"0.values": tensor("F32", [-1], 0, 4)}), bytes(4)),
        hostile(described([FULL], **{"0.values": tensor("F32", [1], 0, 4)}), b""),
        hostile(described([FULL], **{"0.values": tensor("F32", [1], 4, 8)}), bytes(4)),
        hostile(described([FULL], **{"0.values": tensor("F64", [1], 0, 8)}), bytes(8)),
        hostile(described([FULL], **{"0.values": tensor("BF16", [2], 0, 4)}), bytes(4)),
        hostile(described([FULL], **{"0.values": tensor("F16", [2], 0, 4)}), bytes(4)),
        hostile(described([FULL], **{"0.values": tensor("F32", [1], 0, 4), "x": tensor("F32", [1], 0, 4)}), bytes(4)),
        hostile(
            described([FULL, FULL], **{"0.values": tensor("F32", [1], 0, 4), "1.values": tensor("F32", [1], 0, 4)}), bytes(4)
        ),
        hostile(described([FULL], **{"0.values": tensor("F32", [1], 0, 4)}), struct.pack("<f", float("nan"))),
        hostile(described([FULL | {"kind": "affine"}], **{"0.values": tensor("F32", [1], 0, 4)}), bytes(4)),
        hostile(described([FULL | {"arrays": {"values": {"coding": "int8"}}}], **{"0.values": tensor("I8", [0, 1 << 30], 0, 0)})),
        hostile(
            described(
                [{"path": "w", "kind": "rows", "arrays": {"indices": {"coding": "gaps"}, "values": {}}}],
                **{"0.indices": tensor("U64", [2], 0, 16), "0.values": tensor("F32", [2], 16, 24)},
            ),
            b"\xff" * 16 + bytes(8),
        ),
    ],
)
def test_hostile_bytes_are_sentences(data: bytes) -> None:
    with pytest.raises(ModelError):
        decode(data)


def test_ten_thousand_mutations_never_crash() -> None:
    random = np.random.default_rng(7)
    plain = [encode(sample(s), p, compress=False) for s, p in enumerate(("float32", "float16", "int8"))]  # type: ignore[arg-type]
    refused = 0
    for i in range(10_000):
        data = bytearray(plain[i % 3])
        for _ in range(int(random.integers(1, 4))):
            kind, at = random.integers(3), int(random.integers(len(data)))
            if kind == 0:
                data[at] = random.integers(256)
            elif kind == 1:
                del data[at : at + int(random.integers(1, 30))]
            else:
                data[at:at] = random.bytes(int(random.integers(1, 10)))
        data[5:13] = struct.pack("<Q", len(data) - 13)  # or the size alone would refuse most of them
        try:
            decode(bytes(data))
        except ModelError:
            refused += 1
    assert refused > 3000
