"""The demo as a person starts it: processes, TLS, a shaped link, and a ledger in which every frame has one fate."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
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
    ends = outcome["answered"] + sum(outcome["dropped"].values()) + outcome["failed"]
    assert outcome["sent"] == ends
    assert outcome["answered"] > 50
    assert {d["node"] for d in outcome["devices"].values()} == {"camera-1", "camera-2"}


def test_the_server_answered_and_no_torch_was_needed(outcome: dict) -> None:
    remote = [m for m in outcome["modes"] if m in ("split", "image")]
    assert remote
    assert outcome["link_kind"] == "proxy"
    assert outcome["torch_imported"] is False
    assert outcome["server"]["health"]["counts"]["answered"] >= sum(outcome["modes"][m]["n"] for m in remote)


def test_the_servers_books_are_those_of_the_devices(outcome: dict) -> None:
    told = sum(row["answered"] + row["dropped"] + row["failed"] for row in outcome["server"]["table"])
    assert told == outcome["sent"], "the last rows of a run reach the server too"


def test_every_joule_says_where_it_comes_from(outcome: dict) -> None:
    for row in outcome["modes"].values():
        assert row["n"] > 0
        assert row["latency_p50"] > 0
        assert row["energy"] > 0
        assert row["provenance"] in ("measured", "modelled", "mixed")


def started(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    """A demo in a process group of its own, as a terminal would start it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "edgewise", "demo", "--headless", *words]
    demo = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 40
    while len(list(tmp_path.glob("edgewise-demo-*/*.ready"))) < 3:
        assert demo.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    return demo


def family(demo: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(demo.pid).children(recursive=True)


def test_ctrl_c_ends_it_with_its_table_and_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = started(tmp_path)
    children = family(demo)
    time.sleep(3)
    os.killpg(demo.pid, signal.SIGINT)
    said, _ = demo.communicate(timeout=30)
    assert demo.returncode == 0, said
    assert "the sum holds" in said
    assert list(tmp_path.glob("edgewise-demo-*")) == [], "keys of the run"
    psutil.wait_procs(children, timeout=5)
    assert not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]


def test_a_server_that_dies_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    demo = started(tmp_path)
    server = next(c for c in family(demo) if "serve" in c.cmdline())
    time.sleep(1)
    server.kill()
    said, _ = demo.communicate(timeout=30)
    assert demo.returncode == 1
    assert "the edge server ended by itself" in said


def test_dev_lets_a_command_end_by_itself_at_ctrl_c(tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    child.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *a: (time.sleep(1), print('its own end', flush=True), sys.exit(0)))\n"
        "print('ready', flush=True)\n"
        "time.sleep(30)\n"
    )
    code = (
        "import importlib.machinery, importlib.util, sys\n"
        f"loader = importlib.machinery.SourceFileLoader('dev', {str(ROOT / 'dev')!r})\n"
        "dev = importlib.util.module_from_spec(importlib.util.spec_from_loader('dev', loader))\n"
        "loader.exec_module(dev)\n"
        f"sys.exit(dev.call(sys.executable, {str(child)!r}))"
    )
    dev = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert dev.stdout is not None and dev.stdout.readline() == "ready\n"
    os.killpg(dev.pid, signal.SIGINT)
    said, _ = dev.communicate(timeout=20)
    assert (dev.returncode, said) == (0, "its own end\n")


def test_a_demo_that_cannot_start_says_why_in_a_sentence() -> None:
    done = edgewise("demo", "--seconds", "5", "--headless", "--link", "no-such-link")
    assert done.returncode == 1
    assert "no-such-link" in done.stderr
    assert "Traceback" not in done.stderr
