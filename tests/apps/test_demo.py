"""The demo as a person starts it: processes, TLS, a shaped link, and a ledger in which every frame has one fate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def edgewise(*words: str, seconds: float = 90, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "edgewise", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=folder, env=environment)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    pytest.importorskip("cv2")
    file = tmp_path_factory.mktemp("demo") / "demo.json"
    done = edgewise("demo", "--seconds", "9", "--headless", "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(file.read_text())


def test_every_frame_has_one_fate_and_answers_arrive(outcome: dict) -> None:
    ends = outcome["answered"] + sum(outcome["dropped"].values()) + sum(outcome["failed"].values())
    assert outcome["sent"] == ends
    assert outcome["answered"] > 50
    assert {d["node"] for d in outcome["devices"].values()} == {"camera-1", "camera-2"}


def test_the_server_answered_and_no_torch_was_needed(outcome: dict) -> None:
    remote = [m for m in outcome["modes"] if m in ("split", "image")]
    assert remote
    assert outcome["link_kind"] == "proxy"
    assert outcome["torch_imported"] is False


def test_every_joule_says_where_it_comes_from(outcome: dict) -> None:
    for row in outcome["modes"].values():
        assert row["n"] > 0
        assert row["latency_p50"] > 0
        assert row["energy"] > 0
        assert row["provenance"] in ("measured", "modelled", "mixed")


def test_a_demo_that_cannot_start_says_why_in_a_sentence() -> None:
    done = edgewise("demo", "--seconds", "5", "--headless", "--link", "no-such-link")
    assert done.returncode == 1
    assert "no-such-link" in done.stderr
    assert "Traceback" not in done.stderr
