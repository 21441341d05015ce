"""The coder's self-check: what it measures is so, and it notices a coder that errs."""

import json

import numpy as np
import pytest

from edgewise.cli import dispatch
from edgewise.codec import rans
from edgewise.codec.check import check, entropy, random_frames, sequence
from edgewise.core.errors import ConfigError


def test_the_command_writes_what_it_found(tmp_path):
    path = tmp_path / "check.json"
    assert dispatch(["codec", "check", "--n", "2e4", "--frames", "50", "--json", str(path)]) == 0
    found = json.loads(path.read_bytes())
    assert found["errors"] == 0
    assert found["encode_symbols_s"] > 0 < found["decode_symbols_s"]
    assert 0 < found["overhead"] < 0.02
    assert found["overhead"] == pytest.approx(found["bytes"] / found["entropy_bytes"] - 1)


def test_a_coder_that_errs_is_noticed(monkeypatch):
    right = rans.Coder.decode

    def decode(self, data):
        symbols = right(self, data)
        symbols[-1:] += 1
        return symbols

    monkeypatch.setattr(rans.Coder, "decode", decode)
    assert check(1000, frames=20).errors > 10


def test_entropy_is_that_of_the_counts():
    assert entropy(np.array([[4, 4], [8, 0]])) == 1.0
    assert entropy(np.array([[1] * 16])) == 8.0


def test_random_frames_are_of_all_kinds():
    frames = list(random_frames(300, 0))
    assert {len(f.tables) for f in frames} == {1, 2, 3, 4, 5}
    outside = [np.mean((f.symbols < -1000) | (f.symbols > 1000)) for f in frames if f.symbols.size]
    assert min(outside) == 0 and max(outside) == 1
    assert any(f.symbols.size < 3 for f in frames)
    assert len({f.tables.precision for f in frames}) == 4


def test_the_sequence_is_that_of_its_seed():
    one, other = sequence(5000, 3)[0], sequence(5000, 3)[0]
    assert (one.symbols == other.symbols).all() and one.tables == other.tables
    assert not (one.symbols == sequence(5000, 4)[0].symbols).all()


@pytest.mark.parametrize("n", [0, 10, 1 << 27])
def test_lengths_that_say_nothing_are_refused(n):
    with pytest.raises(ConfigError, match="1000 to"):
        check(n)
