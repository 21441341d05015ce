"""The same bytes and symbols everywhere: on another processor, and without one float on the way."""

import ast
import os
from pathlib import Path

import numpy as np
import pytest

from bench import aarch64, coded_there
from edgewise.codec import check, escapes, lanes, lean, order, payload, rans, runs, stack, tables, varint
from edgewise.core.errors import ConfigError

CODER = (escapes, lanes, lean, order, payload, rans, runs, stack, tables, varint)
LOOKING_UP = (escapes, order, payload, rans, stack, varint)


def test_aarch64_codes_and_decodes_the_same(tmp_path):
    try:
        python = aarch64.command()
    except ConfigError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    path = tmp_path / "frames"
    count = coded_there.write([*check.random_frames(30, seed=11), check.sequence(5000, 3)[0]], path)
    found = coded_there.there(python, aarch64.environment(), path)
    assert found["machine"] == "aarch64"
    assert (found["frames"], found["encoded"], found["decoded"]) == (count, 0, 0)


class Whole(np.ndarray):
    """An array that refuses to have anything to do with a float."""

    seen = 0

    def __array_finalize__(self, _):
        assert self.dtype.kind in "iub", f"an array of {self.dtype} entered"
        Whole.seen += 1

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        plain = [np.asarray(i) if isinstance(i, Whole) else i for i in inputs]
        if out is not None:
            options["out"] = tuple(np.asarray(o) if isinstance(o, Whole) else o for o in out)
        assert not any(isinstance(i, float | np.floating) for i in plain), f"a float entered {ufunc.__name__}"
        found = getattr(ufunc, method)(*plain, **options)
        if out is not None:
            return out[0]
        assert np.asarray(found).dtype.kind in "iub", f"{ufunc.__name__} made {np.asarray(found).dtype}"
        return found.view(Whole) if isinstance(found, np.ndarray) else found


def test_no_float_enters(monkeypatch):
    """Every array that the coder makes is one that refuses floats, from the fit to the decoded symbols."""
    makers = ("empty", "zeros", "full", "arange", "array", "concatenate", "frombuffer", "cumsum", "repeat", "where", "append")
    for name in makers:
        real = getattr(np, name)
        monkeypatch.setattr(np, name, lambda *a, real=real, **k: real(*a, **k).view(Whole))
    tables.binary_logarithm.cache_clear()
    for frame in _frames():
        coder = rans.Coder(frame.tables, frame.index, frame.lanes)
        assert (np.asarray(coder.decode(coder.encode(frame.symbols))) == np.asarray(frame.symbols)).all()
    assert Whole.seen > 1000


def _frames():
    rng = np.random.default_rng(0)
    for n in (1, 50, 3000):
        known = tables.fit([[5, 9, 0, 2], [1, 1]])
        symbols = rng.integers(-1, 5, n).astype(np.int32).view(Whole)
        yield check.Frame(symbols, rng.integers(0, 2, n), known)


@pytest.mark.parametrize("module", CODER, ids=lambda m: m.__name__.rpartition(".")[2])
def test_the_source_names_no_float(module):
    """No float literal, no true division, no float type, no function of floats."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        where = f"{module.__name__}, line {getattr(node, 'lineno', 0)}"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), where
        assert not isinstance(node, ast.Div), where
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        assert name not in {"float", "float32", "float64", "log2", "log", "exp", "sqrt", "rint", "mean", "true_divide"}, where


@pytest.mark.parametrize("module", LOOKING_UP, ids=lambda m: m.__name__.rpartition(".")[2])
def test_what_is_looked_up_by_is_as_long_as_the_machine_says(module):
    """NumPy refuses to look up by 64 bits on a machine of 32."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "int64"]


def test_words_are_indices_where_these_are_shorter():
    slots = np.array([[0, 5, 1 << 20], [3, (1 << 31) - 1, 7]], np.uint64)
    for kind in (np.int32, np.int64):
        places = stack.indices(slots, kind)
        assert places.dtype == kind and (places == slots.astype(kind)).all()
        slots[0, 0] += 1
        assert places[0, 0] == slots[0, 0], "they share their memory"
