"""A served model gets better from what its device sends, as processes; a bad teacher is stopped; it comes home to the bit."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.yard import PATIENCE, announced, ended, started
from edgewise.apps.vision import keys
from edgewise.apps.vision.adapting_log import Line, Noted, Published, Staged, read
from edgewise.apps.vision.fleet import Fleet
from edgewise.apps.vision.operating import read_audit, read_fleet
from edgewise.core.errors import EdgewiseError
from edgewise.node.delivery.words import digest
from edgewise.runtime.bundle import bundle_files
from tests.apps.small_school import pictures, school, teacher

RECIPE = "rate = 0.03\nfresh = 16\nreplayed = 32\npatience = 1.0\nsamples = 50.0\nstatistics = false\n"
pytestmark = pytest.mark.timeout(600)
LONG = 240.0  # s; a machine that does other things loads torch slowly


class Site:
    """A server that adapts `colours` by a teacher, and one device that sees everything through a tinted glass."""

    def __init__(self, folder: Path, good: bool) -> None:
        self.folder, self.keys = folder, folder / "keys"
        self.manifest = school(folder / "bundle")
        teacher(folder / "teacher.onnx", good)
        pictures(folder / "tinted", 60, tinted=True)
        pictures(folder / "home", 60, tinted=False)
        (folder / "recipe.toml").write_text(RECIPE)
        keys.init(self.keys)
        keys.issue_node(self.keys, "cam")

    def serve(self, *more: str, port: str = "0") -> subprocess.Popen[bytes]:
        words = ["serve", str(self.folder / "bundle"), "--keys", str(self.keys), "--host", "127.0.0.1", "--headless"]
        words += ["--adapt", "--teacher", str(self.folder / "teacher.onnx"), "--recipe", str(self.folder / "recipe.toml")]
        words += ["--upload-budget", "100KB/s", "--canary", "100%", "--window", "1s", "--guard", "failed<60%"]
        words += [*more, "--port", port, "--announce", str(self.folder / "serve.ready")]
        self.process = self._begin(words, "serve")
        return self.process

    def again(self) -> None:
        """End the server, and begin another one in its place that teaches nothing: a device keeps two versions, so that what
        it was called home to would be gone after two lessons.
        """
        (self.folder / "recipe.toml").write_text(RECIPE + "learn = false\n")
        port = self.server.split(":")[1]
        ended(self.process)
        (self.folder / "serve.ready").unlink()
        self.announced(self.serve(port=port), "serve")

    def device(self) -> subprocess.Popen[bytes]:
        words = [
            "run",
            "--source",
            str(self.folder / "tinted"),
            "--loop",
            "--rate",
            "25",
            "--bundle",
            str(self.folder / "bundle"),
        ]
        words += ["--only", "local", "--server", self.server, "--keys", str(self.keys / "devices" / "cam"), "--quiet"]
        words += ["--records", str(self.folder / "records.jsonl"), "--json", str(self.folder / "run.json")]
        return self._begin([*words, "--announce", str(self.folder / "run.ready")], "run")

    def _begin(self, words: list[str], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return started(words, log)

    def announced(self, process: subprocess.Popen[bytes], name: str) -> dict[str, int]:
        until = time.monotonic() + LONG - PATIENCE
        while not (self.folder / f"{name}.ready").exists() and time.monotonic() < until and process.poll() is None:
            time.sleep(0.1)
        try:
            return announced(process, self.folder / f"{name}.ready")
        except EdgewiseError:
            raise AssertionError((self.folder / f"{name}.log").read_text()) from None

    @property
    def server(self) -> str:
        return f"127.0.0.1:{json.loads((self.folder / 'serve.ready').read_text())['port']}"

    @property
    def log(self) -> tuple[Line, ...]:
        return read(self.keys / "state")

    def fleet(self) -> Fleet:
        return read_fleet(self.keys, self.server)

    def until(self, holds: Callable[[], bool], seconds: float = LONG) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, [*self.log[-12:], (self.folder / "serve.log").read_text()[-2000:]]
            time.sleep(0.2)


@contextlib.contextmanager
def site(folder: Path, good: bool, *more: str) -> Iterator[Site]:
    pytest.importorskip("torch")
    it = Site(folder, good)
    with contextlib.ExitStack() as stack:
        server = it.serve(*more)
        stack.callback(lambda: ended(it.process))
        it.announced(server, "serve")
        device = it.device()
        stack.callback(ended, device)
        it.announced(device, "run")
        yield it


def stages(log: tuple[Line, ...], stage: str) -> list[int]:
    return [line.version for line in log if isinstance(line, Staged) and line.stage == stage]


def running(fleet: Fleet) -> set[str]:
    return {model.running for row in fleet.nodes for model in row.models}


def test_a_device_is_taught_by_small_deltas_through_canaries_and_comes_home_to_the_bit(tmp_path: Path) -> None:
    with site(tmp_path, True) as it:
        it.until(lambda: len(stages(it.log, "done")) >= 2)
        used, log = running(it.fleet()), it.log
        published = [x for x in log if isinstance(x, Published) and x.address != it.manifest.address]
        assert published and all(0 < line.delta < 0.2 * line.whole for line in published)
        canary, wide = stages(log, "canary"), stages(log, "wide")
        assert [v for v in canary if v in wide] == wide, "every version went to a canary first"
        assert used & {line.address for line in published}
        assert {"publish", "start", "wide", "done"} <= {e.what for e in read_audit(it.keys, it.server, 100)}

        it.again()  # what was learned is not known any more: devices are called home before anything is learned anew
        home = lambda: {x.version for x in it.log if isinstance(x, Published) and x.address == it.manifest.address}  # noqa: E731
        it.until(lambda: bool(home() & set(stages(it.log, "done"))))
        it.until(lambda: running(it.fleet()) == {it.manifest.address})
        source = list(bundle_files(it.folder / "bundle").values())
        held = [it.keys / "devices" / "cam" / "state" / "blobs" / digest(data) for data in source]
        assert [f.read_bytes() for f in held] == source, "the source, to the bit"
    records = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    kinds = {r["outcome"] for r in records if r["reason"] != "superseded"}
    assert len(records) > 100 and kinds == {"answered"}, "no frame was lost to what was learned"


def test_a_bad_teacher_is_found_out_before_anything_goes_out(tmp_path: Path) -> None:
    with site(tmp_path, False, "--home", str(tmp_path / "home")) as it:
        it.until(lambda: any(isinstance(x, Noted) and "teacher" in x.what for x in it.log))
        time.sleep(5)  # frames go on, and nothing comes of them
        assert not [x for x in it.log if isinstance(x, Published)]
        assert running(it.fleet()) <= {it.manifest.address}


def test_a_teacher_of_other_labels_is_refused_with_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    it = Site(tmp_path, True)
    teacher(tmp_path / "teacher.onnx", colours=5)
    server = it.serve()
    assert server.wait(LONG) == 1
    said = (tmp_path / "serve.log").read_text()
    assert "other classes than the student" in said and "Traceback" not in said
