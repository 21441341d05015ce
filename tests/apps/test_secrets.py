"""The real verbs, server and device at log level debug, everything they say caught: none of it is a key or a token."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONASYNCIODEBUG": "1"}
LOUD = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
logging.Logger.setLevel = lambda self, level: None  # whatever the verb asks for: everything is said
from edgewise.cli import main
main(sys.argv[1:])
"""


def loud(*words: str) -> list[str]:
    return [sys.executable, "-c", LOUD, *words]


def said(*words: str) -> str:
    done = subprocess.run(loud(*words), capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
    return done.stdout + done.stderr


def material(folder: Path) -> set[str]:
    """Every line of every private key in a folder and below."""
    lines = {line for p in folder.rglob("*") if p.suffix in (".key", ".ed25519") for line in p.read_text().splitlines()}
    return {line for line in lines if not line.startswith("-----")}


def test_a_server_and_a_device_at_level_debug_say_no_secret(tmp_path: Path) -> None:
    keys, announce = tmp_path / "keys", tmp_path / "announce.json"
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)).save(pictures / "0.jpg")
    heard = [said("keys", verb, *more, "--keys", str(keys)) for verb, *more in (["init"], ["issue", "cam"], ["issue", "bad"])]
    secrets = material(keys)
    assert len(secrets) >= 15, heard
    token = said("keys", "token", "anna", "--role", "operator", "--keys", str(keys)).strip().splitlines()[-1]
    assert token.startswith("ew1_")
    serve = loud("serve", "vehicles", "--keys", str(keys), "--host", "127.0.0.1", "--port", "0", "--page-port", "0")
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([*serve, "--announce", str(announce)], stdout=log, stderr=log, env=ENVIRONMENT)
    try:
        until = time.monotonic() + 60
        while not announce.exists():
            assert server.poll() is None and time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.05)
        ports = json.loads(announce.read_text())
        for shown in (token, token[:-2] + "xx"):
            asked = urllib.request.Request(
                f"http://127.0.0.1:{ports['page']}/rollouts/yard/revert", b"", {"Authorization": f"Bearer {shown}"}
            )
            try:
                urllib.request.urlopen(asked, timeout=10).close()
            except urllib.error.HTTPError as error:
                heard.append(error.read().decode())
        source = ("--source", str(pictures), "--loop", "--rate", "5", "--seconds", "1", "--server", f"127.0.0.1:{ports['port']}")
        heard.append(said("run", *source, "--keys", str(keys / "devices" / "cam")))
        carried = (keys / "devices" / "bad").rename(tmp_path / "bad")
        heard.append(said("keys", "revoke", "bad", "--keys", str(keys)))
        heard.append(said("run", *source, "--keys", str(carried)))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
    heard.append((tmp_path / "log").read_text())
    text = "\n".join(heard)
    assert "DEBUG:asyncio" in text and "edge server on port" in text and "taken back" in text
    for secret in {*secrets, *material(keys), token, token[4:]}:
        assert secret not in text
