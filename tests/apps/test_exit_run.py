"""`edgewise serve` and `edgewise run` as processes, with an early exit: what it is sure of costs no byte; every sum knows it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from PIL import Image

from tests.apps.test_sifted_run import COMMAND, ENVIRONMENT, edgewise
from tests.small_bundles import COLOURS, painted, shades


def test_bright_pictures_are_answered_by_the_exit_and_dark_ones_by_the_server(tmp_path: Path) -> None:
    shades(tmp_path)
    (tmp_path / "pictures").mkdir()
    for i, (colour, value) in enumerate([(0, 250), (1, 120), (2, 250), (0, 120), (1, 250)]):
        Image.fromarray(painted(colour, value)).save(tmp_path / "pictures" / f"{i} {COLOURS[colour]}.png")
    wanted = [("red", True), ("green", False), ("blue", True), ("red", False), ("green", True)]
    bundle = str(tmp_path / "exit")
    serve = ["serve", bundle, "--keys", str(tmp_path / "keys"), "--host", "127.0.0.1", "--port", "0"]
    serve += ["--page-port", "0", "--announce", str(tmp_path / "ready")]
    server = subprocess.Popen([*COMMAND, *serve], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "ready").exists():
            assert server.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        ready = json.loads((tmp_path / "ready").read_text())
        edgewise("keys", "issue", "cam", "--keys", str(tmp_path / "keys"))
        edgewise(
            "run", "--bundle", bundle, "--source", str(tmp_path / "pictures"), "--loop", "--rate", "10",
            "--frames", "60", "--deadline", "2", "--server", f"127.0.0.1:{ready['port']}",
            "--keys", str(tmp_path / "keys/devices/cam"),
            "--json", str(tmp_path / "run.json"), "--records", str(tmp_path / "records.jsonl"),
        )  # fmt: skip
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
    outcome = json.loads((tmp_path / "run.json").read_text())
    records = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert outcome["balanced"] and outcome["sent"] == 60 == len(records)
    by_exit = [r for r in records if r["point"] == "exit" and r["outcome"] == "answered"]
    assert len(by_exit) >= 20
    for r in by_exit:
        label, sure = wanted[r["frame"] % 5]
        assert r["answer"][4][0][0] == label
        assert (r["mode"], r["bytes_up"] > 0, "tail" in r["parts"]) == (("exit", False, False) if sure else ("split", True, True))
        assert "exit" in r["parts"] and ("the exit is sure (" in r["why"]) == sure
    assert outcome["modes"]["exit"]["n"] == sum(r["mode"] == "exit" for r in by_exit) >= 10
    assert outcome["modes"]["exit"]["bytes"] == 0
