"""What was learned goes out by delivery: one rollout at a time, a person's first, an outcome for each shipment, a way home."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from edgewise.adapt.shipment import Report as Learned
from edgewise.adapt.shipment import Shipment
from edgewise.apps.vision import adapting, keys, trust
from edgewise.apps.vision.adapting import AdaptConfig, Adapting
from edgewise.apps.vision.adapting_line import Line
from edgewise.apps.vision.adapting_log import Noted, Published, Staged, Stood, read
from edgewise.apps.vision.adapting_release import Manner, Releases, checked, outcome
from edgewise.apps.vision.adapting_words import Begin, Failed, Outcome, Ready, Recall, Said, Seen, Standing, Told, Version, Wanted
from edgewise.apps.vision.stock import CHANNEL, Stock
from edgewise.codec.delta import encode
from edgewise.core.delta import Affine, Delta
from edgewise.core.errors import ConfigError, IdentityError
from edgewise.core.learning import Learning, Sample
from edgewise.core.rollout import Condition, Health, Plan, Report
from edgewise.runtime.bundle import bundle_files
from edgewise.runtime.update import manifest_of
from tests.apps.small_school import school, teacher

NODES = ("cam-1", "cam-2", "cam-3")
MODEL = "colours"


class Yard:
    """A server's stock with three devices that run what they are told, and say that they are well, or that they are not."""

    def __init__(self, folder: Path) -> None:
        school(folder / "bundle")
        keys.init(folder / "keys")
        self.folder, self.now = folder, time.time()
        self.source = bundle_files(folder / "bundle")
        self.address = manifest_of(self.source).address
        self.stock = Stock(folder / "state", folder / "keys", clock=lambda: self.now)
        self.stock.own({MODEL: folder / "bundle"})
        trust.admit_adapter(folder / "keys", [MODEL], self.now)
        self.stock._trusted(self.now, self.now)  # the trust was changed on the disk
        self.failed = 0
        self.step()

    def releases(self) -> Releases:
        manner = Manner(0.34, 2.0, 5, (Condition("failed", False, 0.05),))
        return Releases(self.stock, self.folder / "keys", MODEL, manner)

    def step(self, seconds: float = 3.0) -> None:
        self.now += seconds
        rollouts = self.stock.rollouts
        for name in NODES:
            rollouts.seen(name, self.now)
        rollouts.tick(self.now)
        for name in NODES:
            rollouts.news(name, self.now)
            node = next(n for n in rollouts.nodes() if n.node == name)
            digest = node.assigned.get(MODEL, "")
            release = rollouts.release(digest) if digest else None
            if release is not None:
                health = Health(60.0, 100, self.failed if release.version > 1 else 0, 0.01)
                step = "trial" if release.version > 1 else "good"
                rollouts.report(
                    Report(name, self.now, step, MODEL, release.version, digest, release.address, node.sequence, "", health),
                    self.now,
                )
        rollouts.tick(self.now)

    @property
    def running(self) -> set[str]:
        return {n.said[MODEL].running for n in self.stock.rollouts.nodes() if MODEL in n.said}


@pytest.fixture
def site(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def learned(line: Line, number: int, value: float) -> Version:
    change = Affine(np.ones(3, np.float32), np.full(3, value, np.float32))
    data = encode(Delta(line.source, line.current, "adapt", {"local.norm.bias": change}), "int8")
    made = line.made(Shipment(number, line.current, data, "", "learned"))
    assert isinstance(made, Version)
    return made


def followed(site: Yard, releases: Releases) -> list[str]:
    """The stages of what is on its way, until that has ended."""
    stages = []
    for _ in range(20):
        if (found := releases.turn()) is not None:
            stages.append(found[1])
            if found[1] in ("done", "reverted", "refused"):
                break
        site.step()
    return stages


async def test_a_version_goes_to_a_canary_then_wide_and_home_again_to_the_bit(site: Yard) -> None:
    releases, line = site.releases(), Line(site.source, site.source)
    for number in (1, 2):
        word = learned(line, number, 0.3 * number)
        release = await releases.publish(word, site.now)
        assert release.version == number + 1 and {r.base for r in release.routes} == {line.source, line.current}
        assert followed(site, releases) == ["canary", "wide", "done"]
        assert site.running == {word.address}
        line.current = word.address
    home = line.made(Shipment(3, line.current, b"", line.source, "rest"))
    assert isinstance(home, Recall)
    release = await releases.publish(home, site.now)
    assert followed(site, releases)[-1] == "done" and site.running == {site.address}
    assert releases.files(release) == site.source, "to the bit"


async def test_what_is_worse_stays_with_its_canary_and_goes_back(site: Yard) -> None:
    releases, line = site.releases(), Line(site.source, site.source)
    site.failed = 50
    word = learned(line, 1, 0.3)
    await releases.publish(word, site.now)
    tried: set[str] = set()
    stages = []
    for _ in range(20):
        found = releases.turn()
        tried |= {n.node for n in site.stock.rollouts.nodes() if MODEL in n.said and n.said[MODEL].running == word.address}
        if found is not None:
            stages.append(found[1])
            if found[1] == "reverted":
                heard = outcome(*found[:2])
                assert heard is not None and heard.why and (heard.number, heard.address) == (1, word.address)
                assert "failed" in found[2]
                break
        site.step()
    assert stages == ["canary", "reverted"] and len(tried) == 1
    site.step()
    site.step()
    assert site.running == {site.address}


async def test_a_persons_rollout_goes_first(site: Yard) -> None:
    releases, line = site.releases(), Line(site.source, site.source)
    await releases.publish(learned(line, 1, 0.3), site.now)
    assert releases.turn() is not None and releases.busy
    other = learned(line, 7, 0.7)
    mine = site.releases()
    await mine.publish(other, site.now)  # as one that a person published, and has not begun
    with pytest.raises(ConfigError, match="has a rollout already"):
        site.stock.rollouts.start(Plan(CHANNEL, mine.underway.digest), "operator", site.now)  # type: ignore[union-attr]
    assert mine.turn() is None, "it waits"
    assert followed(site, releases)[-1] == "done"
    assert followed(site, mine) == ["canary", "wide", "done"]


async def test_what_the_trust_does_not_allow_is_not_published(site: Yard) -> None:
    trust.renew(site.folder / "keys", site.now, trust.remove_key(trust.ADAPTER))
    with pytest.raises(IdentityError, match="does not let"):
        await site.releases().publish(learned(Line(site.source, site.source), 1, 0.3), site.now)
    with pytest.raises(ConfigError):
        checked(Manner(0.0))


class Process:
    """A child that says what the test wants, and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.says: asyncio.Queue[Said | None] = asyncio.Queue()

    async def tell(self, word: Told) -> None:
        self.told.append(word)
        if isinstance(word, Begin):
            await self.says.put(Ready(MODEL, "big", 2, 6))

    async def words(self) -> AsyncIterator[Said]:
        while (word := await self.says.get()) is not None:
            yield word

    async def end(self) -> int:
        await self.says.put(None)
        return 0


REPORT = Learned("trial", "a", 9, 3, 9000, 0, 1, 1, 0, 0, 0, 0, 0, 0.5, 0.2, 2.0, 1e-3, 1, (), {}, ())
STANDING = Standing(REPORT, 1.0, 1)


async def test_samples_go_in_versions_come_out_and_a_person_or_a_fault_ends_it(
    site: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process()

    async def start(threads: int = 1) -> Process:
        return process

    monkeypatch.setattr(adapting.Child, "start", start)
    monkeypatch.setattr(adapting, "EVERY", 0.01)
    config = AdaptConfig(str(teacher(site.folder / "t.onnx")), manner=Manner(1.0, 2.0, 5))
    it = Adapting(config, site.folder / "bundle", site.stock, site.folder / "keys", site.folder, lambda: site.now)
    wanted: list[Learning | None] = []
    it.on_wanted = lambda: wanted.append(it.learning("cam-1"))
    assert (await it.begin()).teacher == "big"
    running = asyncio.create_task(it.run())
    line = Line(site.source, site.source)

    async def until(holds: Callable[[], object]) -> None:
        async with asyncio.timeout(90):
            while not holds():
                site.step()
                await asyncio.sleep(0.01)

    it.samples("cam-1", [Sample(1, 0.0, b"jpeg")])
    await until(lambda: any(isinstance(w, Seen) for w in process.told))
    await process.says.put(Wanted(Learning(audit=0.33)))
    await process.says.put(STANDING)
    word = learned(line, 1, 0.3)
    await process.says.put(word)
    await until(lambda: Outcome(1, word.address) in process.told)
    assert wanted == [Learning(audit=0.33)] and site.running == {word.address}
    site.stock.delivery.act(CHANNEL, "revert", MODEL, "operator")
    await until(lambda: it.ended)
    assert "version 1 by somebody else" in it.ended and wanted[-1] is None
    it.samples("cam-1", [Sample(2, 0.0, b"jpeg")])
    await process.says.put(Failed("out of memory."))
    await until(lambda: process.says.empty())
    running.cancel()
    await it.close()
    view = it.view()
    assert view.ended and view.standing is not None and view.standing.refused["after its end"] == 1
    assert view.standing.agreement == 0.7 and view.standing.source == 0.5 and view.standing.bytes_down > 0
    kinds = {type(x) for x in read(site.folder)}
    assert {Published, Staged, Stood, Noted} <= kinds
    site.stock.close()
