"""The benchmark of the coder: another interpreter notices what differs, and a baseline that is not there is a sentence."""

import os
import sys

import msgspec
import pytest

from bench import coded_there, environments, split_coder
from edgewise.codec.check import random_frames
from edgewise.core.errors import ConfigError


def test_another_interpreter_notices_other_bytes_and_other_symbols(tmp_path):
    path = tmp_path / "frames"
    frames = [f for f in random_frames(20, seed=1) if f.symbols.size > 50]
    assert coded_there.write(frames, path) == len(frames)
    here = {**os.environ, "PYTHONPATH": str(environments.ROOT)}
    found = coded_there.there([sys.executable], here, path)
    assert (found["frames"], found["encoded"], found["decoded"]) == (len(frames), 0, 0)
    coded = msgspec.msgpack.decode(path.read_bytes(), type=list[coded_there.Coded])
    coded[0] = msgspec.structs.replace(coded[0], payload=coded[0].payload + b"\0")
    symbols = bytes([coded[1].symbols[0] ^ 1]) + coded[1].symbols[1:]
    coded[1] = msgspec.structs.replace(coded[1], symbols=symbols)
    path.write_bytes(msgspec.msgpack.encode(coded))
    found = coded_there.compare(path)
    assert found["encoded"] == 2 and found["decoded"] == 2


def test_an_interpreter_that_cannot_run_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="cannot be coded there"):
        coded_there.there([str(tmp_path / "python")], os.environ, tmp_path / "frames")


def test_an_environment_that_is_not_there_is_a_sentence():
    with pytest.raises(ConfigError, match="makes no environment"):
        environments.python("no_such_environment", ("numpy",), make=False)


def test_the_small_shapes_hold_their_bytes():
    """Times are the machine's; the bytes are ours."""
    rows, targets = split_coder._shapes(2)
    assert {t.name for t in targets if "over entropy" in t.name and t.met} == {"coder, 2,523 symbols, over entropy"}
    assert {r.case for r in rows} == set(split_coder.SHAPES)
