"""`edgewise serve` and `edgewise run` as processes on a person's own input, and what happens when things go wrong."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def edgewise(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgewise", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=ENVIRONMENT, cwd=ROOT)


class Server:
    """A running `edgewise serve` with keys of its own."""

    def __init__(self, folder: Path, port: int = 0, host: str = "127.0.0.1") -> None:
        self.folder, self.announce = folder, folder / "announce.json"
        self.announce.unlink(missing_ok=True)
        words = ["serve", "vehicles", "--keys", str(folder / "keys"), "--host", host, "--port", str(port)]
        words += ["--page-port", "0", "--announce", str(self.announce), "--log", "json"]
        self.log = (folder / "server.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgewise", *words], stdout=self.log, stderr=self.log, env=ENVIRONMENT
        )
        until = time.monotonic() + 30
        while not self.announce.exists():
            assert self.process.poll() is None and time.monotonic() < until, (folder / "server.log").read_text()
            time.sleep(0.02)
        said = json.loads(self.announce.read_text())
        self.port, self.page = said["port"], said["page"]

    def device(self, name: str) -> str:
        if not (self.folder / "keys/devices" / name).exists():
            assert edgewise("keys", "issue", name, "--keys", str(self.folder / "keys")).returncode == 0
        return str(self.folder / "keys/devices" / name)

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page}{path}", timeout=5) as answer:
            return answer.read()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(15)
        self.log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("serve"))
    yield running
    running.stop()
    assert running.process.returncode == 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve noisy pictures of several sizes, one file that is no picture and one that is cut short."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for i in range(12):
        size = [(360, 640, 3), (480, 640, 3), (1080, 1920, 3)][i % 3]
        Image.fromarray(generator.integers(0, 255, size, np.uint8)).save(folder / f"{i:02}.jpg", quality=60)
    (folder / "20_none.jpg").write_text("this is no picture")
    (folder / "21_cut.jpg").write_bytes((folder / "00.jpg").read_bytes()[:3000])
    return folder


def run(
    server: Server, name: str, source: Path | str, tmp_path: Path, *more: str, address: str = "127.0.0.1"
) -> tuple[dict, str]:
    file = tmp_path / "run.json"
    words = [
        "run",
        "--source",
        str(source),
        "--server",
        f"127.0.0.1:{server.port}",
        "--keys",
        server.device(name),
        "--json",
        str(file),
    ]
    done = edgewise(*words, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(file.read_text()), done.stdout + done.stderr


def test_a_folder_of_pictures_is_answered_and_what_is_no_picture_is_counted(
    server: Server, pictures: Path, tmp_path: Path
) -> None:
    outcome, _ = run(server, "folder-cam", pictures, tmp_path, "--rate", "10", "--loop", "--seconds", "4")
    assert outcome["balanced"]
    assert outcome["answered"] >= 20
    assert {"split", "image"} & set(outcome["modes"])
    assert sum(outcome["skipped"].values()) >= 2


def test_every_way_to_answer_gives_answers(server: Server, pictures: Path, tmp_path: Path) -> None:
    for point, mode in (("local", "local"), ("split-4", "split"), ("jpeg-75", "image")):
        outcome, _ = run(server, "only-cam", pictures, tmp_path, "--only", point, "--rate", "8")
        assert set(outcome["modes"]) == {mode}, outcome
        assert outcome["sent"] == 12


def test_the_server_tells_its_health_its_metrics_and_the_page(server: Server, pictures: Path, tmp_path: Path) -> None:
    run(server, "page-cam", pictures, tmp_path, "--preview", "5", "--rate", "10")
    health = json.loads(server.get("/healthz"))
    assert health["status"] == "ok"
    assert "accepted" in health["counts"], "what the door counts is told as well"
    assert health["counts"]["answered"] > 0
    assert "vehicles" in health["models"].values()
    metrics = server.get("/metrics").decode()
    assert "edgewise_devices" in metrics
    assert 'edgewise_events_total{kind="answered"}' in metrics
    assert b"<html" in server.get("/")
    preview = server.get("/preview/page-cam.jpg")
    assert Image.open(io.BytesIO(preview)).size == (640, 480) or Image.open(io.BytesIO(preview)).size == (640, 360)
    assert preview.endswith(b"\xff\xd9"), "the whole picture"


def test_the_log_is_one_json_object_a_line(server: Server, pictures: Path, tmp_path: Path) -> None:
    run(server, "log-cam", pictures, tmp_path, "--rate", "20")
    lines = [json.loads(x) for x in (server.folder / "server.log").read_text().splitlines() if x.startswith("{")]
    assert any(x["event"] == "device connected" and x["node"] == "log-cam" for x in lines)


def test_a_server_that_dies_costs_no_frame_and_is_found_again(pictures: Path, tmp_path: Path) -> None:
    first = Server(tmp_path)
    keys = first.device("patient")
    file = tmp_path / "run.json"
    words = ["run", "--source", str(pictures), "--loop", "--rate", "10", "--server", f"127.0.0.1:{first.port}", "--keys", keys]
    words += ["--seconds", "9", "--json", str(file), "--records", str(tmp_path / "records.jsonl")]
    device = subprocess.Popen([sys.executable, "-m", "edgewise", *words], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    time.sleep(3.5)
    first.stop(signal.SIGKILL)
    time.sleep(1.5)
    second = Server(tmp_path, first.port)
    try:
        assert device.wait(30) == 0
    finally:
        second.stop()
    outcome = json.loads(file.read_text())
    assert outcome["balanced"]
    assert outcome["failed"] == {}
    records = [json.loads(x) for x in (tmp_path / "records.jsonl").read_text().splitlines()]
    answered = [r["mode"] for r in records if r["outcome"] == "answered"]
    away = answered.index("local", 5) if "local" in answered[5:] else len(answered)
    assert "local" in answered[5:]
    assert {"split", "image"} & set(answered[away:]), "the device never came back to the server"


def test_a_certificate_of_another_authority_is_refused_and_the_device_answers_alone(
    server: Server, pictures: Path, tmp_path: Path
) -> None:
    assert edgewise("keys", "init", "--keys", str(tmp_path / "other")).returncode == 0
    assert edgewise("keys", "issue", "stranger", "--keys", str(tmp_path / "other")).returncode == 0
    file = tmp_path / "run.json"
    done = edgewise(
        "run", "--source", str(pictures), "--rate", "10", "--server", f"127.0.0.1:{server.port}",
        "--keys", str(tmp_path / "other/devices/stranger"), "--json", str(file),
    )  # fmt: skip
    assert done.returncode == 0
    outcome = json.loads(file.read_text())
    assert set(outcome["modes"]) == {"local"}
    assert any("certificate" in w for w in outcome["warnings"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "--source", "/no/such/place"], "/no/such/place"),
        (["run", "--source", "{empty}"], "empty"),
        (["run", "--source", "{pictures}", "--server", "127.0.0.1:1"], "keys"),
        (["run", "--source", "{pictures}", "--bundle", "nothing"], "no such bundle"),
        (["run", "--source", "{pictures}", "--budget", "speed<=3"], "speed"),
        (["run", "--source", "{pictures}", "--only", "jpeg-1000"], "jpeg-1000"),
        (["run", "--source", "{pictures}", "--profile", "{broken}"], "broken.toml"),
        (["keys", "issue", "../escape", "--keys", "{keys}"], "name"),
        (["serve", "nothing"], "no such bundle"),
        (["run", "--source", "{pictures}", "--deadline", "-1"], "more than 0"),
        (["run", "--source", "{pictures}", "--records", "/no/such/folder/x"], "/no/such/folder/x"),
        (["run", "--source", "{pictures}", "--server", "127.0.0.1:abc", "--keys", "{device}"], "abc"),
        (["run", "--source", "{nopictures}"], "no picture"),
        (["keys", "issue", "Edge", "--keys", "{keys}"], "allowed: another than authority, edge"),
    ],
)
def test_bad_input_is_answered_with_a_sentence(words: list[str], says: str, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.toml").write_text("name = [unclosed")
    (tmp_path / "none").mkdir()
    (tmp_path / "none/a.jpg").write_text("no picture")
    edgewise("keys", "init", "--keys", str(tmp_path / "keys"))
    edgewise("keys", "issue", "cam", "--keys", str(tmp_path / "keys"))
    places = {
        "{empty}": tmp_path / "empty",
        "{pictures}": pictures,
        "{broken}": tmp_path / "broken.toml",
        "{keys}": tmp_path / "keys",
        "{device}": tmp_path / "keys/devices/cam",
        "{nopictures}": tmp_path / "none",
    }
    done = edgewise(*(str(places.get(w, w)) for w in words))
    assert done.returncode == 1, done.stdout + done.stderr
    assert says in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_the_server_is_reached_by_any_of_its_addresses(tmp_path: Path, pictures: Path) -> None:
    """Devices trust the authority, whatever name or address the server is reached by."""
    running = Server(tmp_path, host="0.0.0.0")
    try:
        outcome, _ = run(running, "far-cam", pictures, tmp_path, "--rate", "10", address="127.0.0.2")
    finally:
        running.stop()
    assert {"split", "image"} & set(outcome["modes"]), outcome


def test_the_page_is_not_shown_under_a_foreign_name(server: Server) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{server.page}/history", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    refused.value.close()  # it holds the answer's socket
    assert refused.value.code == 403


def test_the_real_clip_runs(server: Server, tmp_path: Path, data_pack) -> None:  # type: ignore[no-untyped-def]
    outcome, _ = run(server, "clip-cam", data_pack("opendatacam.tar"), tmp_path, "--rate", "10", "--frames", "40")
    assert outcome["sent"] == 40
    assert outcome["balanced"]
    assert outcome["answered"] >= 38
