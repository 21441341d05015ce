"""A disk that takes no more: a device asks ever more rarely, and says why."""

from __future__ import annotations

from edgewise.core.errors import StoreError
from edgewise.node.delivery.ways import SPARE
from edgewise.node.store.disk import RealDisk

T0 = 1.8e9


class Narrow(RealDisk):
    """A disk that takes no blobs while it is `full`, but goes on with its database. `room`: see `free`."""

    full = False
    room: int | None = None

    def write(self, path: str, data: bytes, at: int | None = None) -> None:
        if self.full:
            raise StoreError("the disk is full", got=f"no room for {path}")
        super().write(path, data, at)

    def free(self) -> int | None:
        return self.room


def narrow(conf, site, tmp_path):
    made = conf.Device(site, Narrow(tmp_path))
    made.updater.begin(conf.MODEL, conf.sha(site.parts[1]["manifest.json"]), site.parts[1], T0)
    made.updater.restarted(T0)
    return made


def hour(device) -> int:
    """How often a file was asked for."""
    asked = 0
    for _ in range(3600):
        device.now += 1.0
        device.updater.tick(device.now)
        asked += device.fetch()
    return asked


def test_the_same_bytes_are_asked_for_ever_more_rarely(conf, site, tmp_path) -> None:
    device = narrow(conf, site, tmp_path)
    device.disk.full = True
    device.updater.news(site.news("cam-1", 2, 1), T0)
    assert 4 <= hour(device) <= 40
    assert [r.sentence for r in device.reports() if "full" in r.sentence]
    device.disk.full = False
    device.settle()
    assert device.updater.running.version == 2
    assert device.whole()


def test_whoever_fetches_learns_whether_a_piece_was_taken(conf, site, tmp_path) -> None:
    device = narrow(conf, site, tmp_path)
    device.updater.news(site.news("cam-1", 2, 1), T0)
    fetch = max(device.updater.fetches(), key=lambda f: f.size)
    data = site.files[fetch.sha256]
    assert not device.updater.fetched("ab" * 32, 0, b"who asked?", T0)
    assert not device.updater.fetched(fetch.sha256, 200, data[200:300], T0)  # a hole
    assert device.updater.fetched(fetch.sha256, 0, data[:100], T0)
    assert device.updater.fetched(fetch.sha256, 0, data[:100], T0)  # it is here
    device.disk.full = True
    assert not device.updater.fetched(fetch.sha256, 100, data[100:200], T0)
    device.disk.full = False
    assert device.updater.fetched(fetch.sha256, 100, data[100:], T0 + 60)


def test_a_version_for_which_there_is_no_room_is_not_begun_and_says_so(conf, site, tmp_path) -> None:
    device = narrow(conf, site, tmp_path)
    reserve = device.outbox.bounds.bytes + SPARE
    device.disk.room = reserve - 10_000
    device.updater.news(site.news("cam-1", 2, 1), T0)
    assert hour(device) == 0
    assert len([r for r in device.reports() if "no room for it" in r.sentence]) == 1
    assert "no room" in device.updater.status.trouble
    device.disk.room = reserve + 10_000
    device.settle()
    assert device.updater.running.version == 2
    assert device.updater.status.trouble == ""
    assert device.whole()


def test_a_delta_needs_room_for_the_files_that_it_gives(conf, site, tmp_path) -> None:
    old, new = site.parts[1], conf.files_of(4, 50_000)
    site.release(4, new, {conf.sha(old["manifest.json"]): conf.delta_between(old, new)})
    device = narrow(conf, site, tmp_path)
    reserve = device.outbox.bounds.bytes + SPARE
    device.disk.room = reserve + 10_000
    device.updater.news(site.news("cam-1", 4, 1), T0)
    assert device.updater.fetches() == []
    device.disk.room = reserve + 100_000
    device.settle()
    assert device.asked < 1000
    assert device.whole()


def test_what_is_half_fetched_goes_when_the_room_is_gone(conf, site, tmp_path) -> None:
    device = narrow(conf, site, tmp_path)
    device.disk.room = 1 << 30
    device.updater.news(site.news("cam-1", 2, 1), T0)
    while not device.blobs.partials():
        assert device.fetch(100)
    (fetch,) = [f for f in device.updater.fetches() if f.at]
    device.disk.room = SPARE + 1  # too little to go on, and what is there stays
    data = site.files[fetch.sha256]
    assert not device.updater.fetched(fetch.sha256, fetch.at, data[fetch.at :], T0)
    assert device.blobs.partial(fetch.sha256) == fetch.at
    device.disk.room = SPARE - 1
    device.updater.tick(T0 + 1)
    assert not device.blobs.partials()
    device.disk.room = 1 << 30
    device.settle()
    assert device.whole()
