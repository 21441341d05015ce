"""The verbs of delivery as a person calls them, against a server in a thread: what they print, leave and refuse."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgewise.apps.vision.api import routes
from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.fleet import Fleet
from edgewise.apps.vision.publish import Published
from edgewise.cli import main
from edgewise.core.delta import Delta, Full
from edgewise.net.identity import load_identity, server_context
from edgewise.net.listen import Listener
from edgewise.runtime.bundle import bundle_files
from edgewise.runtime.update import manifest_of, parameters, updated
from tests.delivery_site import MODEL, Site, health


class Running:
    """A site whose TLS port answers in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder, now=time.time())
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.listener = self.do(self._open())
        self.options = ["--keys", str(self.site.keys), "--server", f"127.0.0.1:{self.listener.port}"]

    async def _open(self) -> Listener:
        listener = Listener(lambda transport, peer: asyncio.sleep(0), server_context(load_identity(self.site.keys, "edge")))  # type: ignore[arg-type,return-value]
        listener.app.add_routes(routes(self.site.delivery, listener.peer, None))
        await listener.start("127.0.0.1")
        return listener

    def do(self, work: object) -> Listener:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)  # type: ignore[arg-type]

    def close(self) -> None:
        self.do(self.listener.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
        self.site.database.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.close()


@pytest.fixture
def call(running: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("COLUMNS", "160")

    def said(*words: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*words, *running.options])
        out = capsys.readouterr()
        assert ended.value.code == status, out.err
        return out.err if status else out.out

    return said


def bundles(folder: Path) -> tuple[Path, Path]:
    """Two versions of a bundle that differ in one parameter."""
    old = bundle_files(find("vehicles"))
    manifest = manifest_of(old)
    path, value = next((p, v) for p, v in parameters(old, manifest).items() if v.dtype == np.float32 and v.size > 8)
    new = updated(old, Delta(manifest.address, manifest.address, "adapt", {path: Full(value + np.float32(0.125))}))
    for name, files in (("old", old), ("new", new)):
        (folder / name).mkdir()
        for file, data in files.items():
            (folder / name / file).write_bytes(data)
    return folder / "old", folder / "new"


def test_publish_roll_out_and_look(running: Running, call: object, tmp_path: Path) -> None:
    site = running.site
    old, new = bundles(tmp_path)
    said = call("publish", str(old), "--channel", "yard", "--json", str(tmp_path / "first.json"))  # type: ignore[operator]
    assert "version 2" in said  # after the one that is there
    assert "edgewise rollout yard" in said
    said = call("publish", str(new), "--channel", "yard", "--from", str(old), "--json", str(tmp_path / "second.json"))  # type: ignore[operator]
    first, second = (msgspec.json.decode((tmp_path / f"{n}.json").read_bytes(), type=Published) for n in ("first", "second"))
    assert first.sent == first.whole
    assert second.release.version == 3
    (way,) = second.release.routes
    assert way.base == first.release.address
    assert way.delta.size < second.whole / 20
    assert second.sent < second.whole + way.delta.size  # a part that did not change was there already
    assert f"{way.delta.size:,} bytes instead of {second.whole:,}" in said
    assert {entry.size for entry in second.release.files.values()} <= {
        site.blobs.size(e.sha256) for e in second.release.files.values()
    }

    said = call("rollout", "yard", "--canary", "34%", "--guard", "quality>-0.5pt p95<120ms", "--window", "30s")  # type: ignore[operator]
    (canary,) = site.rollouts.rollouts("yard")[0].canaries
    assert canary in said
    assert "30 s" in said
    plan = site.rollouts.rollouts("yard")[0].plan
    assert (plan.release, plan.window, plan.canary) == (second.digest, 30.0, 0.34)
    site.releases[3] = (second.release, second.digest)
    site.report(canary, 3, "trial", health(seconds=10.0))
    said = call("nodes", "--json", str(tmp_path / "nodes.json"))  # type: ignore[operator]
    for part in ("yard", f"{MODEL} v3", "canary", "quality>-0.5pt: -0.2 pt at the worst", f"on {canary}", "pi-01", "trial", "v1"):
        assert part in said, part
    fleet = msgspec.json.decode((tmp_path / "nodes.json").read_bytes(), type=Fleet)
    assert [n.node for n in fleet.nodes] == list(site.names)

    assert "is paused" in call("pause", "yard")  # type: ignore[operator]
    assert "goes on" in call("resume", "yard", "--model", MODEL)  # type: ignore[operator]
    assert "goes back" in call("revert", "yard")  # type: ignore[operator]
    assert "pi-01 is in depot now" in call("move", "pi-01", "--channel", "depot")  # type: ignore[operator]
    said = call("audit", "--most", "6")  # type: ignore[operator]
    for part in ("operator", "revert", "resume", "pause", "start", "move"):
        assert part in said, part


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("publish", "{tmp}/none", "--channel", "yard"), "there is no bundle here"),
        (("publish", "{bundle}", "--channel", "ya rd"), "a channel cannot have this name; got 'ya rd'"),
        (("publish", "{bundle}", "--channel", "yard", "--days", "0"), "a release cannot live so long; got 0 days"),
        (
            ("publish", "{bundle}", "--channel", "yard", "--floor", "9"),
            "a floor is above the version itself; got 9; allowed: 1 to 2",
        ),
        (("publish", "{bundle}", "--channel", "yard", "--version", "1"), "a version of vehicles must be above the one before"),
        (("publish", "{bundle}", "--channel", "yard", "--from", "{bundle}"), "a route would lead from a bundle to itself"),
        (("rollout", "harbour"), "there is no release for this channel; got harbour"),
        (("rollout", "yard", "--canary", "none"), "a share of nodes cannot be read"),
        (("rollout", "yard", "--guard", "p95>1ms"), "a guard on p95 looks the wrong way"),
        (("rollout", "yard"), "the channel yard has this release already"),
        (("pause", "yard"), "there is no such rollout"),
        (("move", "nobody", "--channel", "yard"), "there is no such node; got nobody"),
        (("audit", "--most", "0"), "so many lines are not told; got 0; allowed: 1 to 1000"),
    ],
)
def test_what_goes_wrong_is_a_sentence(call: object, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    given = [w.format(tmp=tmp_path, bundle=find("vehicles")) for w in words]
    text = " ".join(call(*given, status=1).split())  # type: ignore[operator]
    assert text.startswith("edgewise: ")
    assert said in text
    assert "Traceback" not in text


@pytest.mark.parametrize("verb", ["publish", "rollout", "pause", "resume", "revert", "nodes", "move", "audit"])
def test_help_teaches(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "--server HOST[:PORT]" in text
    assert "--keys" in text
    assert len(text) > 400
