"""The jobs of the split benchmark: a medium run keeps its teacher, a record lies where its job says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.rates.ground import DONE, whose
from bench.rates.jobs import GROUND, jobs_of, record_file
from bench.rates.record import About, Record, keep
from edgewise.core.errors import ConfigError


def test_a_medium_run_keeps_the_teacher_that_it_began_with(tmp_path: Path) -> None:
    here = tmp_path / "medium"
    here.mkdir()
    assert whose(here, "medium") == "own"
    (tmp_path / DONE).write_text('{"train": 1, "held": 1, "teacher": 0.9, "whose": "full"}')
    assert whose(here, "medium") == "full"
    (here / DONE).write_text('{"train": 1, "held": 1, "teacher": 0.9, "whose": "own"}')
    assert whose(here, "medium") == "own"  # the full one came later
    (here / DONE).write_text('{"train": 1, "held": 1, "teacher": 0.9}')
    with pytest.raises(ConfigError, match="nobody knows"):
        whose(here, "medium")


def test_the_file_of_a_record_is_where_it_is_kept(tmp_path: Path) -> None:
    path = keep(Record(About("lean", "b3", 2), np.ones(3), np.ones(3, np.int64)), tmp_path)
    assert path == tmp_path / record_file("lean", "b3", 2)


def test_all_jobs_come_after_the_ground() -> None:
    assert all(j.name == GROUND or GROUND in j.after for j in jobs_of(["ground", "ours"]))
