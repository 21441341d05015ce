"""A version comes to a device, is tried, and stays or goes; what is false, broken or too much is refused and told once."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from edgewise.core.errors import ModelError
from edgewise.core.release import Assignment, FileEntry, Release, pack
from edgewise.core.rollout import Health
from edgewise.net.signing import sign
from edgewise.node.delivery.news import News, pack_news, unpack_news
from edgewise.node.delivery.ways import CHUNK
from edgewise.node.store.blobs import STRIDE

T0, DAY, MODEL = 1.8e9, 86_400.0, "vehicles"


def go(device, site, version: int, sequence: int, **more: object) -> None:
    device.updater.news(site.news("cam-1", version, sequence, **more), device.now)
    device.settle()


def test_a_version_comes_is_tried_and_stays(device, site) -> None:
    go(device, site, 2, 1)
    assert device.updater.running.version == 2
    assert device.whole()
    device.updater.health(Health(6.0, 20, 0), T0 + 6)
    device.updater.news(site.news("cam-1", 2, 2), T0 + 60)
    assert device.updater.running.proved
    assert device.steps() == ["fetching 2", "ready 2", "trial 2", "trial 2", "good 2"]
    assert {r.running for r in device.reports()[2:]} == {device.updater.running.address}
    assert {r.node for r in device.reports()} == {"cam-1"}


def test_back_to_the_version_that_stands_by_needs_no_download(device, site) -> None:
    go(device, site, 2, 1)
    asked = device.asked
    go(device, site, 1, 2)
    assert device.updater.running.version == 1
    assert device.updater.running.proved
    assert device.asked == asked
    assert device.steps()[-2:] == ["ready 1", "reverted 2"]


def test_a_held_version_is_gone_back_to_after_its_release_has_ended(device, site) -> None:
    for version, expires in ((1, T0 + DAY), (2, T0 + 90 * DAY), (3, T0 + DAY)):
        site.release(version, expires=expires)
    go(device, site, 2, 1)
    device.now = T0 + 31 * DAY
    go(device, site, 3, 2, now=device.now)  # ended, and not held: it may not come in
    assert device.updater.running.version == 2
    assert device.reports()[-1].sentence.startswith("expired: the release vehicles 3 has ended")
    go(device, site, 1, 3, now=device.now)
    assert device.updater.running.version == 1
    assert device.steps()[-1] == "reverted 2"
    go(device, site, 1, 4, now=device.now)  # and what is in use is not refused when its assignment is renewed
    assert device.steps()[-1] == "good 1"


def test_the_same_news_again_changes_nothing(device, site) -> None:
    news = site.news("cam-1", 2, 1)
    for _ in range(5):
        device.updater.news(news, device.now)
        device.settle()
    assert device.steps() == ["fetching 2", "ready 2", "trial 2"]


def test_missed_news_needs_no_catching_up(device, site) -> None:
    go(device, site, 3, 17)
    assert device.updater.running.version == 3
    device.updater.news(site.news("cam-1", 2, 16), device.now)  # an older one, late
    device.settle()
    assert device.updater.running.version == 3
    assert device.steps()[-1] == "refused 1"
    assert "rolled back" in device.reports()[-1].sentence
    assert device.reports()[-1].sequence == 17  # how far this device is


def test_newer_news_in_the_middle_of_a_download_wins(device, site) -> None:
    device.updater.news(site.news("cam-1", 2, 1), T0)
    assert device.fetch()
    go(device, site, 3, 2)
    assert device.updater.running.version == 3
    held = {e.sha256 for slot in (*device.updater.status.running, *device.updater.status.standby) for e in slot.files.values()}
    assert set(device.blobs.names()) == held
    assert not device.blobs.partials()


def test_a_proved_version_stands_by_however_many_were_tried(device, site) -> None:
    go(device, site, 2, 1)
    go(device, site, 3, 2)  # while 2 is on trial
    assert [s.version for s in device.updater.status.standby] == [1]
    device.updater.refused_to_load("It does not load.", T0)
    assert device.updater.running.version == 1


# A delta


def routed(site, conf, version: int = 4, delta: bytes | None = None, base: int = 1) -> None:
    old, new = site.parts[base], conf.files_of(version, 5000)
    address = conf.sha(old["manifest.json"])
    site.release(version, new, {address: conf.delta_between(old, new) if delta is None else delta})


def test_a_delta_is_taken_where_its_base_is_held(device, site, conf) -> None:
    routed(site, conf)
    go(device, site, 4, 1)
    assert device.whole()
    assert device.updater.running.version == 4
    assert device.asked < 300
    assert "a delta to" in device.reports()[0].sentence


@pytest.mark.parametrize(
    "delta",
    [
        b"\xff\xfe no delta",
        msgspec.msgpack.encode({"head.onnx": b"torn"}),  # gives other bytes
        msgspec.msgpack.encode({"head.onnx": (b"\0", 1 << 50)}),  # an archive bomb
        msgspec.msgpack.encode({"other.onnx": b"x"}),
        msgspec.msgpack.encode({}),  # leaves the base as it was
    ],
)
def test_a_wrong_delta_falls_back_to_whole_files(device, site, conf, delta) -> None:
    routed(site, conf, delta=delta)
    go(device, site, 4, 1)
    assert device.whole()
    assert device.updater.running.version == 4
    assert device.steps() == ["fetching 4", "fetching 4", "ready 4", "trial 4"]
    assert "A delta is of no use" in device.reports()[1].sentence
    assert device.updater.status.counts["delta given up"] == 1


def test_a_delta_to_another_model_is_no_way(device, site, conf) -> None:
    old, new = site.parts[3], conf.files_of(4, 5000)
    site.release(4, new, {conf.sha(old["manifest.json"]): conf.delta_between(old, new)})
    go(device, site, 4, 1)  # it holds 1, not 3
    assert device.whole()
    assert device.asked > 5000


def test_a_delta_that_is_larger_than_the_files_is_no_way(device, site, conf) -> None:
    old, new = site.parts[1], conf.files_of(4, 400)
    site.release(4, new, {conf.sha(old["manifest.json"]): bytes(900)})
    go(device, site, 4, 1)
    assert device.asked == sum(len(d) for n, d in new.items() if n != "tail.onnx")


def test_a_delta_that_cannot_be_had_is_given_up_for_files_that_can(device, site, conf) -> None:
    routed(site, conf)
    route = msgspec.json.decode(site.releases[4].payload)["routes"][0]
    del site.files[route["delta"]["sha256"]]
    device.updater.news(site.news("cam-1", 4, 1), T0)
    for _ in range(60):
        device.now += 30.0
        device.updater.tick(device.now)
        for fetch in device.updater.fetches():
            data = site.files.get(fetch.sha256)
            if data is None:
                device.updater.fetch_failed(fetch.sha256, "HTTP status 404", device.now)
            else:
                device.updater.fetched(fetch.sha256, fetch.at, data[fetch.at : fetch.at + CHUNK], device.now)
        if device.updater.swap_due() is not None:
            device.updater.swapped(device.now)
    assert device.updater.running.version == 4
    assert device.whole()


# Bytes


def test_a_download_goes_on_where_it_was(device, site, conf) -> None:
    site.release(4, conf.files_of(4, 3 * CHUNK))
    device.updater.news(site.news("cam-1", 4, 1), T0)
    for _ in range(4):
        device.fetch(CHUNK)
        device.restart()
    while device.fetch(CHUNK):
        pass
    device.settle()
    assert device.whole()
    assert device.updater.running.version == 4
    assert device.asked <= 3 * CHUNK + 4 * STRIDE + 1000  # a restart costs at most the stride that is not believed


def test_never_more_than_was_signed(device, site) -> None:
    device.updater.news(site.news("cam-1", 2, 1), T0)
    fetch = device.updater.fetches()[0]
    device.updater.fetched(fetch.sha256, 0, bytes(fetch.size + 1), T0)
    assert device.blobs.partial(fetch.sha256) == 0
    assert device.updater.status.counts["wrong file"] == 1
    assert "no end" in device.reports()[-1].sentence
    assert device.updater.fetches() == []  # a pause
    device.settle()
    assert device.whole()


def test_a_file_that_is_another_one_is_thrown_away_and_told_once(device, site) -> None:
    device.updater.news(site.news("cam-1", 2, 1), T0)
    for _ in range(5):
        device.now += 400
        device.updater.tick(device.now)
        fetch = device.updater.fetches()[0]
        device.updater.fetched(fetch.sha256, 0, bytes(fetch.size), device.now)
    assert device.steps() == ["fetching 2", "fetching 2"]
    assert device.updater.status.counts["wrong file"] == 5
    assert device.updater.running.version == 1
    device.settle()
    assert device.updater.running.version == 2


def test_pieces_out_of_place_harm_nothing(device, site) -> None:
    device.updater.news(site.news("cam-1", 2, 1), T0)
    fetch = max(device.updater.fetches(), key=lambda f: f.size)
    data = site.files[fetch.sha256]
    for at, stop in ((100, 200), (0, 100), (0, 100), (50, 150), (300, 400), (0, 0)):
        device.updater.fetched(fetch.sha256, at, data[at:stop], T0)
    device.updater.fetched("ab" * 32, 0, b"who asked?", T0)
    assert device.blobs.partial(fetch.sha256) == 150
    device.settle()
    assert device.whole()


def test_a_version_that_is_too_large_is_refused(device, site, conf) -> None:
    huge = {**{n: conf.entry(d) for n, d in site.parts[2].items()}, "head.onnx": conf.FileEntry("ab" * 32, 1 << 40)}
    release = conf.Release(MODEL, 5, conf.sha(site.parts[2]["manifest.json"]), huge, T0, T0 + DAY)
    site.releases[5] = conf.sign(release, {"pub": site.publisher})
    go(device, site, 5, 1)
    assert device.steps() == ["refused 5"]
    assert device.updater.fetches() == []
    assert "too large" in device.reports()[0].sentence


def test_a_link_that_fails_is_asked_ever_more_rarely(device, site) -> None:
    device.updater.news(site.news("cam-1", 2, 1), T0)
    sha256 = device.updater.fetches()[0].sha256
    pauses = []
    for _ in range(14):
        device.updater.fetch_failed(sha256, "It broke off.", device.now)
        assert device.updater.fetches() == []
        pauses.append(device.updater.wake - device.now)
        device.now = device.updater.wake
        device.updater.tick(device.now)
        assert device.updater.fetches()
    assert 0.5 <= pauses[0] <= 1.5
    assert 150 <= pauses[-1] <= 450
    device.updater.fetch_failed(sha256, "It broke off.", device.now)
    device.updater.tick(0.0)  # the clock goes back to 1970: the pause is no longer for that
    assert device.updater.wake <= 450
    device.updater.tick(450.0)
    assert device.updater.fetches()
    assert device.steps() == ["fetching 2"]


# Documents


def test_news_that_is_none_is_refused_and_told_once(device, site) -> None:
    good = site.news("cam-1", 2, 1)
    for payload in (b"", b"\xc1", b"x" * 5000, good[:-1], good + b"\0", bytes(3 << 20)):
        for _ in range(3):
            device.updater.news(payload, T0)
    assert device.steps() == ["refused 1"] * 6
    assert device.updater.status.counts["refused"] == 18
    assert device.updater.status.goals == ()


def test_the_assignment_of_another_node_and_a_false_signature_are_refused(device, site) -> None:
    device.updater.news(site.news("cam-2", 2, 1), T0)
    news = unpack_news(site.news("cam-1", 2, 1))
    forged = bytearray(news.assignment)
    forged[-1] ^= 1
    device.updater.news(pack_news(News(bytes(forged), news.releases, news.trust)), T0)
    false = conf_false(site)
    device.updater.news(pack_news(News(news.assignment, (false,), news.trust)), T0)
    assert device.steps() == ["refused 1", "refused 1", "refused 1"]
    assert [r.sentence.partition(":")[0] for r in device.reports()[:2]] == ["another node", "false signature"]
    assert "does not bring" in device.reports()[2].sentence
    assert device.updater.fetches() == []


def conf_false(site) -> bytes:
    envelope = site.releases[2]
    return pack(msgspec.structs.replace(envelope, payload=envelope.payload.replace(b'"version":2', b'"version":9')))


def test_an_ended_assignment_leaves_what_runs_and_says_so(device, site) -> None:
    go(device, site, 2, 1, life=3600.0)
    device.now = T0 + 3 * DAY
    device.restart()
    assert device.updater.running.version == 2
    assert "71.0 h ago" in device.updater.status.stale
    device.updater.news(site.news("cam-1", 3, 2, life=3600.0), device.now)  # of then: a replay
    device.settle()
    assert device.updater.running.version == 2
    assert "expired" in device.reports()[-1].sentence
    go(device, site, 3, 3, now=device.now)
    assert device.updater.running.version == 3
    assert device.updater.status.stale == ""


def test_a_release_below_the_floor_is_refused_once_a_higher_one_was_good(device, site) -> None:
    site.release(4, floor=3)
    go(device, site, 4, 1)
    go(device, site, 2, 2)  # still on trial: there is a way back
    assert device.updater.running.version == 2
    go(device, site, 4, 3)
    device.updater.news(site.news("cam-1", 4, 4), device.now)
    assert device.updater.running.proved
    go(device, site, 2, 5)
    assert device.updater.running.version == 4
    assert "below the floor" in device.reports()[-1].sentence


# A trial


def test_a_version_that_does_not_load_never_comes_into_use(device, site) -> None:
    device.loadable = lambda release: "An operator is unknown: Foo."
    device.restart()
    go(device, site, 2, 1)
    assert device.updater.running.version == 1
    assert device.steps() == ["fetching 2", "failed 2"]
    asked = device.asked
    go(device, site, 2, 2)  # the same again: not tried before another one was named
    assert device.asked == asked
    assert device.steps()[2:] == ["failed 2"]  # but the server hears how it stands
    go(device, site, 1, 3)
    go(device, site, 2, 4)
    assert device.steps()[3:] == ["good 1", "fetching 2", "failed 2"]


def test_what_the_rim_cannot_load_is_barred(device, site) -> None:
    device.updater.news(site.news("cam-1", 2, 1), T0)
    while device.fetch():
        pass
    assert device.updater.swap_due().version == 2
    device.updater.refused_to_load("It has a wrong shape.", T0)
    assert device.updater.swap_due() is None
    assert device.steps() == ["fetching 2", "ready 2", "failed 2"]
    assert device.updater.running.version == 1


def test_a_version_that_ends_the_process_goes_back_by_itself(device, site) -> None:
    go(device, site, 2, 1)
    for _ in range(3):
        device.restart()
        assert device.updater.running.version == 2
    device.restart()
    assert device.updater.running.version == 1
    assert device.updater.swap_due() is None
    assert device.steps()[-1] == "reverted 2"
    assert "3 times" in device.reports()[-1].sentence
    device.restart()
    assert device.steps().count("reverted 2") == 1


def test_ends_that_are_no_crash_do_not_count(device, site) -> None:
    go(device, site, 2, 1)
    for _ in range(10):
        device.updater.stopping(device.now)
        device.restart()
    assert device.updater.running.version == 2


def test_a_version_that_answers_nothing_goes_back_by_itself(device, site) -> None:
    go(device, site, 2, 1)
    device.updater.health(Health(5.0, 10, 10), T0 + 5)  # too few to say
    assert device.updater.running.version == 2
    device.updater.health(Health(10.0, 20, 11), T0 + 10)
    due = device.updater.swap_due()
    assert due.version == 1
    assert device.updater.swapped(T0 + 10)
    assert device.updater.swap_due() is None
    assert device.steps()[-1] == "reverted 2"
    assert device.reports()[-1].health.failed == 11
    assert device.reports()[-1].running == due.address
    go(device, site, 2, 2)
    assert device.updater.running.version == 1


def test_nobody_spoke_against_it_for_long_enough(device, site) -> None:
    go(device, site, 2, 1)
    for second in range(0, 50_000, 7):
        device.updater.health(Health(float(second), 2 * second, 0), T0 + second)
    assert device.updater.running.proved
    assert len(device.reports()) < 120  # a long trial offline stays small
    assert device.steps()[-1] == "good 2"


def test_health_is_told_of_a_version_on_trial_alone(device, site) -> None:
    device.updater.health(Health(5.0, 10, 0), T0)
    assert device.steps() == []


def test_a_swap_that_is_overtaken_is_not_made(device, site) -> None:
    device.updater.news(site.news("cam-1", 2, 1), T0)
    while device.fetch():
        pass
    assert device.updater.swap_due().version == 2  # the rim loads it, and meanwhile …
    device.updater.news(site.news("cam-1", 1, 2), T0)
    assert not device.updater.swapped(T0)
    assert device.updater.running.version == 1
    device.updater.refused_to_load("Too late.", T0)  # and this is of nothing any more
    assert device.updater.running.version == 1
    assert "reverted 1" not in device.steps()


# The disk


def test_damage_on_the_disk_is_found_and_fetched_again(device, site) -> None:
    go(device, site, 2, 1)
    device.updater.news(site.news("cam-1", 2, 2), T0)
    slot = device.updater.running
    device.disk.write(f"blobs/{slot.files['head.onnx'].sha256}", b"rot", 0)
    device.restart()
    device.updater.refused_to_load("head.onnx is not the file that its manifest describes.", device.now)
    assert device.updater.running.version == 1
    assert "Damaged on the disk: head.onnx" in device.reports()[-1].sentence
    asked = device.asked
    device.settle()
    assert device.updater.running.version == 2
    assert device.asked - asked == slot.files["head.onnx"].size
    assert device.whole()


def test_damage_of_what_both_slots_share_leaves_nothing_that_is_torn(device, site) -> None:
    go(device, site, 2, 1)
    shared = device.updater.running.files["tail.onnx"].sha256
    device.disk.write(f"blobs/{shared}", b"rot", 0)
    device.restart()
    device.updater.refused_to_load("tail.onnx is another file.", device.now)
    assert device.updater.running is None
    device.settle()
    assert device.updater.running.version == 2
    assert device.whole()


def test_build_is_checked_even_where_it_lies(site, conf) -> None:
    from edgewise.core.release import Release, document
    from edgewise.node.delivery.courier import check

    release = document(site.releases[2], Release)
    check(release, site.parts[2])
    for wrong in (site.parts[1], {}, {**site.parts[2], "more": b""}):
        with pytest.raises(ModelError):
            check(release, wrong)


def test_a_version_that_stands_by_is_on_trial_again_on_the_way_forward(device, site) -> None:
    go(device, site, 2, 1)
    device.updater.news(site.news("cam-1", 2, 2), T0)
    go(device, site, 1, 3)
    go(device, site, 2, 4)
    assert not device.updater.running.proved
    assert device.steps()[-2:] == ["ready 2", "trial 2"]
    assert [s.version for s in device.updater.status.standby] == [1]


def test_what_is_no_longer_assigned_is_no_longer_fetched(device, site) -> None:
    device.updater.news(site.news("cam-1", 2, 1), T0)
    assert device.fetch()
    device.updater.news(site.news("cam-1", 2, 2, releases={}), T0)
    assert device.updater.fetches() == []
    assert device.updater.running.version == 1
    assert not device.blobs.partials()


def test_models_that_the_device_does_not_run_are_nothing_to_it(device, site) -> None:
    """A site has many models: one that comes first by name must not take the place of the one that runs here."""
    entries = {"manifest.json": entry_of(b'{"name": "animals"}')}
    other = sign(Release("animals", 1, entries["manifest.json"].sha256, entries, T0, T0 + DAY), {"pub": site.publisher})
    releases = {MODEL: site.releases[2].digest, "animals": other.digest}
    given = site.assign(Assignment("cam-1", "main", 1, releases, T0, T0 + DAY))
    news = pack_news(News(pack(given), (pack(site.releases[2]), pack(other)), site.trust))
    device.updater.runs(MODEL)
    device.updater.news(news, device.now)
    device.settle()
    assert [(slot.model, slot.version) for slot in device.updater.status.running] == [(MODEL, 2)]
    assert {report.name for report in device.reports()} == {MODEL}
    device.updater.runs("animals")  # the same news says something else to another rim
    device.updater.news(news, device.now)
    assert [goal.release.name for goal in device.updater.status.goals if goal.state == "fetching"] == ["animals"]
    assert device.updater.running is None
    device.updater.refused_to_load("Nothing of it runs.", device.now)
    assert device.updater.active(MODEL).version == 2


def entry_of(data: bytes) -> FileEntry:
    return FileEntry(hashlib.sha256(data).hexdigest(), len(data))
