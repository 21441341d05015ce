"""A device as it is installed: a fresh environment with the base install alone, in which the agent starts and answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
NEVER = ("torch", "onnx", "scipy", "cv2", "matplotlib", "plotly", "prometheus_client")
TOO_LARGE = 250e6  # bytes of site-packages, apart from pip, setuptools and compiled caches


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds edgewise and what it must have, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ("edgewise", "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    command = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"pip could not install the base packages: {done.stderr.strip().splitlines()[-1:]}")
    assert done.returncode == 0, done.stderr
    return python


@pytest.mark.timeout(360)
def test_the_agent_runs_on_the_base_install_alone(bare: Path, tmp_path: Path) -> None:
    for i in range(8):
        Image.fromarray(np.full((360, 640, 3), i * 30, np.uint8)).save(tmp_path / f"{i}.jpg")
    outcome = tmp_path / "run.json"
    code = (
        "import sys; from edgewise.cli import main\n"
        "try: main()\n"
        f"finally: print('HEAVY', sorted(m for m in {NEVER!r} if m in sys.modules))"
    )
    words = ["run", "--source", str(tmp_path), "--rate", "4", "--json", str(outcome)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([bare, "-c", code, *words], capture_output=True, text=True, timeout=240, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HEAVY []" in done.stdout
    table = json.loads(outcome.read_text())
    assert table["balanced"]
    assert table["answered"] == 8
    assert table["torch_imported"] is False


def test_a_device_install_is_small(bare: Path) -> None:
    packages = next((bare.parents[1] / "lib").glob("python*/site-packages"))
    spared = ("pip", "setuptools")
    size = sum(
        f.lstat().st_size
        for f in packages.rglob("*")
        if f.is_file() and "__pycache__" not in f.parts and not f.relative_to(packages).parts[0].startswith(spared)
    )
    assert size <= TOO_LARGE


def test_what_needs_an_extra_says_so(bare: Path, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [bare, "-m", "edgewise", "run", "--source", "junction:3"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 1
    assert "camera" in done.stderr
    assert "Traceback" not in done.stderr
