"""The rim of delivery on a device: a trial over a restart, versions that cannot be used, and a loop that goes on meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace
from rich.console import Console

from bench.site import Site
from edgewise.apps.vision import updates
from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.keys import issue_node
from edgewise.apps.vision.run import RunConfig, run_device
from edgewise.apps.vision.updates import Store, Updates
from edgewise.core.artifact import MANIFEST, parse
from edgewise.core.errors import ConfigError, ModelError, StoreError
from edgewise.core.placement import Quality
from edgewise.core.rollout import Health
from edgewise.node.delivery.slots import Slot
from edgewise.node.store.blobs import PIECE
from edgewise.node.store.disk import RealDisk
from edgewise.runtime.bundle import Bundle, bundle_files

NAME, LOST = "vehicles", "split-4"


async def test_a_trial_goes_on_with_its_quality_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was measured only when a version came into use: after a restart the guard waited for it for ever."""
    new, old = Slot("eye", 2, "b" * 64, {}), Slot("eye", 1, "a" * 64, {}, proved=True)
    told: list[Health] = []
    updater = SimpleNamespace(
        active=lambda model: new,
        status=SimpleNamespace(standby=(old,)),
        fetches=list,
        rebuild_due=lambda: None,
        swap_due=lambda: None,
        tick=lambda now: None,
        health=lambda health, now, model: told.append(health),
    )
    store = SimpleNamespace(updater=updater, clock=lambda: 0.0, load=lambda slot: slot.address)
    worse, better = Quality(0.7, 0.7, 0.7, 9), Quality(0.8, 0.8, 0.8, 9)
    monkeypatch.setattr(updates, "judged", lambda new, old: Health(0.0, 0, 0, None, worse, better) if old == "a" * 64 else None)
    bundle = SimpleNamespace(manifest=SimpleNamespace(name="eye"))
    it = updates.Updates(store, bundle, None, None, lambda: Health(3.0, 6, 0, 0.05))  # type: ignore[arg-type]
    task = asyncio.create_task(it.run())
    async with asyncio.timeout(20):
        while not told:
            await asyncio.sleep(0.01)
    task.cancel()
    assert told[0] == Health(3.0, 6, 0, 0.05, worse, better)


def version(*lost: str) -> dict[str, bytes]:
    """Files of a bundle like the shipped one, without some of its operating points."""
    files = bundle_files(find(NAME))
    manifest = parse(files[MANIFEST])
    left = replace(manifest, points=tuple(p for p in manifest.points if p.name not in lost))
    return files | {MANIFEST: left.canonical}


def fit(*names: str):
    """What `edgewise run --only NAME` asks of a bundle."""

    def needs(bundle: Bundle) -> None:
        if missing := set(names) - {p.name for p in bundle.manifest.points}:
            raise ConfigError("the bundle has no such operating point", got=", ".join(missing))

    return needs


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "keys")


def opened(site: Site) -> Store:
    return Store(site.folder.parent / "state", "camera", site.root)


def fetched(site: Site, store: Store, files: dict[str, bytes], number: int = 2) -> None:
    """A version is assigned, and all of it is here."""
    store.updater.news(site.news("camera", number, NAME, site.release(NAME, number, files)), store.clock())
    while wanted := store.updater.fetches():
        for fetch in wanted:
            store.updater.fetched(fetch.sha256, fetch.at, site.blobs.read(fetch.sha256)[fetch.at :], store.clock())
    assert store.updater.swap_due() is not None


def number(store: Store) -> int:
    slot = store.updater.active(NAME)
    assert slot is not None
    return slot.version


def begun_on_trial(site: Site) -> None:
    store = opened(site)
    store.begin(find(NAME))
    fetched(site, store, version(LOST))
    assert store.updater.swapped(store.clock())
    store.close()


def test_a_version_that_ends_the_process_again_and_again_is_given_up(site: Site) -> None:
    """A start that ends by an error counts against the version on trial, however tidily the store is closed."""
    begun_on_trial(site)
    for _ in range(8):
        store = opened(site)
        store.begin(find(NAME))
        left = number(store)
        store.close()
    assert left == 1


def test_a_start_that_ends_well_counts_against_no_version(site: Site) -> None:
    begun_on_trial(site)
    for _ in range(8):
        store = opened(site)
        store.begin(find(NAME))
        assert number(store) == 2
        store.ended()
        store.close()


def test_a_version_without_what_the_run_was_asked_for_makes_way_at_the_start(site: Site) -> None:
    begun_on_trial(site)
    store = opened(site)
    assert LOST in {p.name for p in store.begin(find(NAME), fit(LOST)).manifest.points}
    assert number(store) == 1
    store.close()


def test_a_mistyped_command_gives_up_no_version(site: Site) -> None:
    begun_on_trial(site)
    store = opened(site)
    with pytest.raises(ConfigError, match="no such operating point"):
        store.begin(find(NAME), fit("splt-4"))
    assert number(store) == 2
    store.close()


@pytest.mark.parametrize("when", ["made", "swapped"])
async def test_a_version_that_cannot_be_used_is_refused_and_delivery_goes_on(site: Site, when: str) -> None:
    """The slot said the new version already when the swap failed, and the task of delivery was dead from then on."""
    store = opened(site)
    bundle = store.begin(find(NAME))
    fetched(site, store, version(LOST))
    said: list[str] = []

    async def swap() -> None:
        raise ModelError("a head does not warm")

    def ready(bundle: Bundle):
        if when == "made":
            raise ModelError("a head does not warm")
        return swap

    it = Updates(store, bundle, None, ready, lambda: Health(0.0, 0, 0, None), said.append)  # type: ignore[arg-type]
    task = asyncio.create_task(it.run())
    async with asyncio.timeout(20):
        while not said:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    assert number(store) == 1 and it.bundle is bundle and store.updater.swap_due() is None
    store.close()


async def test_a_turn_that_fails_is_told_and_is_not_the_last(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(site)
    bundle = store.begin(find(NAME))
    said: list[str] = []

    def broken() -> None:
        raise ModelError("nothing can be read")

    monkeypatch.setattr(updates, "WATCH", 0.01)
    monkeypatch.setattr(store.updater, "swap_due", broken)
    it = Updates(store, bundle, None, None, lambda: Health(0.0, 0, 0, None), said.append)  # type: ignore[arg-type]
    task = asyncio.create_task(it.run())
    async with asyncio.timeout(20):
        while len(said) < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    store.close()


def test_a_bundle_that_was_given_anew_is_taken_where_nothing_was_signed(site: Site, tmp_path: Path) -> None:
    store = opened(site)
    store.begin(find(NAME))
    store.close()
    store = opened(site)
    assert store.begin(written(tmp_path / "new", version(LOST))).address != Bundle.open(find(NAME)).address
    assert not store.sentence and not store.updater.active(NAME).digest
    store.close()


def test_a_bundle_that_was_given_anew_does_not_go_before_a_signed_version_and_it_is_said(site: Site, tmp_path: Path) -> None:
    begun_on_trial(site)
    store = opened(site)
    store.begin(find(NAME))
    assert not store.sentence  # as the last time
    store.ended()
    store.close()
    for _ in range(2):
        store = opened(site)
        bundle = store.begin(written(tmp_path / "new", version("split-8")))
        assert bundle.address == store.updater.active(NAME).address and number(store) == 2
        assert "version 2 of vehicles" in store.sentence and "publish it" in store.sentence
        store.ended()
        store.close()


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_a_device_whose_store_cannot_be_opened_answers_all_the_same(site: Site, tmp_path: Path) -> None:
    """A full or read-only disk kept the camera from running at all."""
    issue_node(site.folder, "camera")
    (tmp_path / "file").write_text("no folder can be made in here")
    words = RunConfig(
        source="junction:14:clear", rate=20.0, frames=4, server="127.0.0.1:9", keys=str(site.folder / "devices/camera"), state=""
    )
    ended = run_device(replace(words, state=str(tmp_path / "file" / "state")), Console(quiet=True))
    assert ended.answered == ended.sent == 4
    assert any("no new version is taken" in sentence for sentence in ended.warnings)
    holder = Store(tmp_path / "state", "camera", site.root)
    with pytest.raises(StoreError, match="in use by another process"):  # two processes are no failing disk
        run_device(replace(words, state=str(tmp_path / "state")), Console(quiet=True))
    holder.close()


class Shelf:
    """The files of a site, without a network."""

    def __init__(self, site: Site) -> None:
        self.site = site

    async def get(self, path: str, at: int, stop: int) -> AsyncGenerator[tuple[int, bytes], None]:
        data = self.site.blobs.read(path.rsplit("/", 1)[1])
        for place in range(at, stop, PIECE):
            yield place, data[place : min(place + PIECE, stop)]


async def test_frames_never_wait_for_files_to_reach_the_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop that answers frames stood still for each write and hash of a version that came: half a second on a bad card."""
    store = opened(site)
    bundle = store.begin(find(NAME))
    waited: set[int] = set()

    def watched(name: str) -> None:
        real = getattr(RealDisk, name)

        def call(self: RealDisk, path: str, *more: object) -> object:
            if self.folder == site.folder.parent / "state" and path.startswith("blobs/"):
                waited.add(threading.get_ident())
            return real(self, path, *more)

        monkeypatch.setattr(RealDisk, name, call)

    swapped = asyncio.Event()

    async def swap() -> None:
        swapped.set()

    it = Updates(store, bundle, Shelf(site), lambda bundle: swap, lambda: Health(0.0, 0, 0, None))  # type: ignore[arg-type]
    payload = site.news("camera", 2, NAME, site.release(NAME, 2, version(LOST)))
    for name in ("write", "sync", "read", "replace", "remove"):
        watched(name)
    task = asyncio.create_task(it.run())
    it.news(payload)
    async with asyncio.timeout(30):
        await swapped.wait()
    task.cancel()
    await asyncio.wait([task])
    assert number(store) == 2
    assert waited and threading.get_ident() not in waited
    store.close()
