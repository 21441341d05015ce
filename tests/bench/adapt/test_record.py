"""Records: what is kept is what was found, and methods that ran apart are read as one stream, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from bench.adapt.compared import of_room, uploaded, won
from bench.adapt.record import cases, file, keep, records
from edgewise.core.errors import ConfigError, SourceError
from tests.bench.adapt.replayed import record

SHARES = {"none": 0.3, "moving statistics": 0.5, "upload all": 0.6, "random uploads": 0.52}


def test_a_record_is_read_as_it_was_kept(tmp_path: Path) -> None:
    one = record("long.fog:5", SHARES, 1)
    assert keep(one, tmp_path) == tmp_path / file("long.fog:5", "core", 1)
    [again] = records(tmp_path)
    assert again.about == one.about and again.found.accuracy == one.found.accuracy
    assert again.found.timeline == one.found.timeline and again.found.trails["upload all"].tally.bytes_up == 1_000_000


def test_methods_that_ran_apart_are_one_case(tmp_path: Path) -> None:
    for one in (record("long.fog:5", SHARES), record("long.fog:5", {"Tent": 0.55}, group="others"), record("self.fog:5", SHARES)):
        keep(one, tmp_path)
    whole = cases(records(tmp_path), "long.")
    assert list(whole) == ["long.fog:5"] and set(whole["long.fog:5"][0].found.trails) == {*SHARES, "Tent"}
    gain = won(whole["long.fog:5"], "Tent")
    assert gain is not None and gain.gain == pytest.approx(0.05) and gain.low < 0.05 < gain.high


def test_records_of_other_streams_do_not_pair_up() -> None:
    with pytest.raises(ConfigError, match="different streams"):
        cases([record("long.fog:5", SHARES), record("long.fog:5", {"Tent": 0.5}, group="others", n=900)])


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    path = keep(record("long.fog:5", SHARES), tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SourceError, match="cannot be read"):
        records(tmp_path)


def test_seeds_that_differ_widen_the_interval() -> None:
    same = {s: record("a", SHARES, s) for s in range(3)}
    apart = {s: record("a", SHARES | {"random uploads": 0.5 + 0.03 * s}, s) for s in range(3)}
    narrow, wide = won(same, "random uploads"), won(apart, "random uploads")
    assert narrow is not None and wide is not None and narrow.seeds == 3 and narrow.n == 3000
    assert narrow.gain == pytest.approx(0.02) and wide.gain == pytest.approx(0.03)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_uploads_after_a_time_are_those_of_the_rest() -> None:
    seeds = {0: record("a", SHARES)}
    assert uploaded(seeds, "random uploads") == pytest.approx(0.33)
    late = record("a", SHARES)
    early = replace(late.found.timeline[0], uploaded={"random uploads": 330})  # all of them in the first half
    changed = replace(late, found=replace(late.found, timeline=(early, late.found.timeline[1])))
    assert uploaded({0: changed}, "random uploads", 500) == 0.0


def test_a_domain_is_judged_by_its_head_room_not_by_its_name() -> None:
    found = {
        "long.a": {0: record("long.a", SHARES)},
        "long.b": {0: record("long.b", SHARES | {"upload all": 0.8})},
        "long.c": {0: record("long.c", SHARES | {"upload all": 0.51})},
    }
    assert list(of_room(found, "middle")) == ["long.a"] and list(of_room(found, "large")) == ["long.b"]
    assert list(of_room({"long.b": found["long.b"], "long.c": found["long.c"]}, "middle")) == []
    assert np.isclose(found["long.a"][0].found.headroom[0], 0.1)
