"""The examples do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgewise.apps.vision import probe
from edgewise.runtime.bundle import Bundle, bundle_files
from edgewise.runtime.update import route

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "edgewise/bundles/vehicles"


@pytest.mark.parametrize(("words", "falls"), [([], False), (["--spoil"], True)])
def test_a_new_version_is_a_small_delta_and_only_the_spoilt_one_sees_less(words: list[str], falls: bool, tmp_path: Path) -> None:
    out = tmp_path / "new"
    command = [sys.executable, str(ROOT / "examples/new_version.py"), str(out), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert len(route(bundle_files(SHIPPED), bundle_files(out))) < 2000
    new, old = Bundle.open(out), Bundle.open(SHIPPED)
    found = probe.compared(new, old, old.manifest.probe)
    assert found is not None
    after, before = found
    assert (after.value < before.value - 0.05) == falls
    assert falls or after.value == pytest.approx(before.value, abs=0.005)
