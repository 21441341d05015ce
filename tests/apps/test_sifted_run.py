"""`edgewise serve` and `edgewise run` as processes, with a filter: what is left out, what is tried, and who says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

from tests.small_bundles import colours, painted, sound

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
COMMAND = [sys.executable, "-m", "edgewise"]


def edgewise(*words: str) -> str:
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=90, env=ENVIRONMENT, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_frames_that_the_filter_leaves_out_are_in_every_sum(tmp_path: Path) -> None:
    """Of four pictures two are dark; half of those are tried, and in one of the two kinds something is found after all."""
    colours(tmp_path / "bundle", learn=0.5)
    (tmp_path / "pictures").mkdir()
    for name, picture in (
        ("0 red", painted(0, 250)),
        ("1 dark red", painted(0, 120)),
        ("2 green", painted(1, 250)),
        ("3 dark green", painted(1, 120)),
    ):
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{name}.png")
    serve = ["serve", str(tmp_path / "bundle"), "--keys", str(tmp_path / "keys"), "--host", "127.0.0.1", "--port", "0"]
    serve += ["--page-port", "0", "--announce", str(tmp_path / "ready")]
    server = subprocess.Popen([*COMMAND, *serve], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "ready").exists():
            assert server.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        ready = json.loads((tmp_path / "ready").read_text())
        edgewise("keys", "issue", "cam", "--keys", str(tmp_path / "keys"))
        said = edgewise(
            "run", "--bundle", str(tmp_path / "bundle"), "--source", str(tmp_path / "pictures"), "--loop", "--rate", "20",
            "--frames", "80", "--deadline", "1", "--server", f"127.0.0.1:{ready['port']}",
            "--keys", str(tmp_path / "keys/devices/cam"),
            "--json", str(tmp_path / "run.json"), "--records", str(tmp_path / "records.jsonl"),
        )  # fmt: skip
        with urllib.request.urlopen(f"http://127.0.0.1:{ready['page']}/metrics", timeout=5) as answer:
            metrics = answer.read().decode()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
    outcome = json.loads((tmp_path / "run.json").read_text())
    records = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    left_out = [r for r in records if r["reason"] == "filter"]
    assert outcome["balanced"] and outcome["sent"] == 80
    assert outcome["dropped"]["filter"] == len(left_out) >= 10
    assert all(r["bytes_up"] == 0 and r["answer"] == [[], 0, 0, "", [], "", ""] and r["frame"] % 2 for r in left_out)
    tried = [r for r in records if r["learn"] and r["outcome"] == "answered"]
    assert outcome["tried"] == len(tried) >= 1 and all(r["bytes_up"] > 0 and r["frame"] % 2 for r in tried)
    assert outcome["missed"] == sum(r["frame"] % 4 == 1 for r in tried)
    assert all("filter" in r["parts"] for r in records if r["mode"] == "split" and "local" not in r["parts"])
    assert "dropped: filter" in said and f"filter missed {outcome['missed']} of {len(tried)} tried" in said
    assert f'edgewise_events_total{{kind="frames_left_out_by_a_filter"}} {len(left_out)}.0' in metrics


def test_a_device_alone_answers_sounds_from_a_folder_of_arrays(tmp_path: Path) -> None:
    sound(tmp_path / "bundle")
    (tmp_path / "sounds").mkdir()
    for i in range(5):
        np.save(tmp_path / "sounds" / f"{i}.npy", np.full((1, 64), i / 8, np.float32))
    edgewise(
        "run", "--bundle", str(tmp_path / "bundle"), "--source", str(tmp_path / "sounds"), "--rate", "20",
        "--json", str(tmp_path / "run.json"),
    )  # fmt: skip
    outcome = json.loads((tmp_path / "run.json").read_text())
    assert outcome["balanced"] and outcome["answered"] == 5 and set(outcome["modes"]) == {"local"}
