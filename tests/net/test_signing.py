"""Signed documents: what an honest site does is believed, again and again; and what time and stolen keys may and may not do.

What is refused stands in the table of `test_forged.py`.
"""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edgewise.core.errors import IdentityError, StoreError
from edgewise.core.release import Assignment, FileEntry, Key, Release, Trust, pack, unpack
from edgewise.net.signing import Forgetful, Verifier, kind, load_key, make_key, public, sign

NOW = 1.8e9
DAY = 86400.0


class Site:
    """A root, two publishers and a channel, and a node that begins with nothing."""

    def __init__(self, folder: Path, threshold: int = 1) -> None:
        self.keys = {name: make_key(folder / f"{name}.ed25519") for name in ("root", "alice", "bob", "yard")}
        self.threshold, self.memory = threshold, Forgetful()
        self.root = public(self.keys["root"])
        self.node = self.restarted()

    def restarted(self) -> Verifier:
        return Verifier(self.root, "cam-1", self.memory)

    def trust(self, version: int = 1, issued: float = NOW, without: str = "", **changed: object) -> bytes:
        roles = {"alice": "publisher", "bob": "publisher", "yard": "channel"}
        keys = {n: Key(public(self.keys[n]), r) for n, r in roles.items() if n != without}  # type: ignore[arg-type]
        given = Trust(version, issued, issued + 400 * DAY, keys, self.threshold, **changed)  # type: ignore[arg-type]
        return pack(sign(given, {"root": self.keys["root"]}))

    def release(self, version: int = 1, floor: int = 1, by: tuple[str, ...] = ("alice",), issued: float = NOW) -> bytes:
        files = {"manifest.json": FileEntry("ab" * 32, 10)}
        given = Release("vehicles", version, "ab" * 32, files, issued, issued + 300 * DAY, floor)
        return pack(sign(given, {name: self.keys[name] for name in by}))

    def assignment(self, sequence: int, release: bytes, issued: float = NOW, by: str = "yard") -> bytes:
        releases = {"vehicles": unpack(release).digest}
        given = Assignment("cam-1", "yard", sequence, releases, issued, issued + DAY)
        return pack(sign(given, {by: self.keys[by]}))

    def deliver(self, version: int, sequence: int, now: float = NOW, floor: int = 1) -> Release:
        release = self.release(version, floor, issued=now)
        self.node.assignment(self.assignment(sequence, release, now), now)
        return self.node.release(release, now)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.node.trust(site.trust(), NOW)
    return site


def test_a_key_survives_its_file_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    key = make_key(tmp_path / "root.ed25519")
    assert public(load_key(tmp_path / "root.ed25519")) == public(key)
    assert stat.S_IMODE((tmp_path / "root.ed25519").stat().st_mode) == 0o600
    with pytest.raises(IdentityError, match="already"):
        make_key(tmp_path / "root.ed25519")
    (tmp_path / "bad").write_text("SECRET-WORDS")
    for name in ("bad", "none"):
        with pytest.raises(IdentityError, match="cannot be read") as caught:
            load_key(tmp_path / name)
        assert "SECRET" not in str(caught.value)


def test_what_an_honest_site_sends_is_believed_any_number_of_times(site: Site) -> None:
    release = site.release(3)
    assignment = site.assignment(5, release)
    for node in (site.node, site.restarted(), site.restarted()):
        assert node.trust(site.trust(), NOW).version == 1
        assert node.assignment(assignment, NOW).sequence == 5
        assert node.release(release, NOW).version == 3
        assert node.release(unpack(release), NOW).address == "ab" * 32


def test_an_older_version_is_run_again_when_it_is_assigned_anew(site: Site) -> None:
    assert site.deliver(7, 1).version == 7
    assert site.deliver(6, 2).version == 6  # a revert is a new assignment, no rollback


def test_a_floor_binds_once_its_release_is_found_good_and_not_before(site: Site) -> None:
    site.deliver(7, 1, floor=7)
    site.deliver(6, 2)  # on trial only: the way back is free
    site.deliver(7, 3, floor=7)
    site.node.taken(site.release(7, floor=7))
    with pytest.raises(IdentityError, match="below the floor"):
        site.deliver(6, 4)
    assert site.restarted().floor("vehicles") == 7
    assert site.restarted().floor("persons") == 1


def test_a_clock_in_1970_neither_stops_a_node_nor_brings_old_releases_back(site: Site) -> None:
    old = site.release(1, issued=NOW - 300 * DAY + 10)  # ends in ten seconds
    later = NOW + DAY / 2
    site.node.assignment(site.assignment(1, old, later), later)
    for now in (0.0, later):
        with pytest.raises(IdentityError, match="expired"):
            site.restarted().release(old, now)
    new = site.release(2)
    site.node.assignment(site.assignment(2, new, later), 0.0)
    assert site.node.release(new, 0.0).version == 2


def test_a_floor_of_time_given_at_construction_counts_as_a_clock(site: Site) -> None:
    late = Verifier(site.root, "cam-1", Forgetful(), not_before=NOW + 500 * DAY)
    with pytest.raises(IdentityError, match="expired"):
        late.trust(site.trust(), 0.0)


def test_a_clock_far_ahead_refuses_with_both_times_and_is_forgotten_once_it_is_set(site: Site) -> None:
    release = site.release(2)
    assignment = site.assignment(1, release)
    with pytest.raises(IdentityError, match=r"expired.*2065.*set the clock"):
        site.node.assignment(assignment, NOW + 1.2e9)
    assert site.node.assignment(assignment, NOW).sequence == 1
    assert site.node.release(release, NOW).version == 2


def test_a_server_whose_clock_was_far_ahead_is_forgiven_with_its_next_assignment(site: Site) -> None:
    release = site.release(2)
    site.node.assignment(site.assignment(1, release, NOW + 350 * DAY), NOW)
    with pytest.raises(IdentityError, match="expired"):
        site.node.release(release, NOW)
    site.node.assignment(site.assignment(2, release), NOW)
    assert site.node.release(release, NOW).version == 2
    with pytest.raises(IdentityError, match="expired: the trust"):  # no assignment is believed to be after the trust's end
        site.node.assignment(site.assignment(3, release, NOW + 450 * DAY), NOW)


def test_a_trust_of_a_day_to_come_stops_no_assignment_of_today(site: Site) -> None:
    """A server's clock was 300 days ahead when it signed its trust, and is right again."""
    site.node.trust(site.trust(2, NOW + 300 * DAY), NOW)
    release = site.release(2)
    behind = NOW - 1800  # the device's clock need not be the server's to the second
    assert site.node.assignment(site.assignment(1, release), behind).sequence == 1
    assert site.restarted().release(release, behind).version == 2
    with pytest.raises(IdentityError, match="expired: the assignment"):
        site.node.release(release, NOW + 1.1 * DAY)  # it ends as ever


def test_in_1970_a_trust_still_shows_that_an_old_assignment_has_ended(site: Site) -> None:
    release = site.release(2)
    site.node.trust(site.trust(2, NOW + 30 * DAY), 0.0)
    for now in (0.0, NOW - 5 * DAY):
        with pytest.raises(IdentityError, match="expired: the assignment"):
            site.node.assignment(site.assignment(1, release), now)
    assert site.node.time(0.0) == NOW + 30 * DAY


def test_numbers_pushed_to_their_end_by_a_stolen_key_go_with_that_key(site: Site) -> None:
    site.deliver(2**53, 2**53, floor=2**53)
    site.node.taken(site.release(2**53, floor=2**53))
    with pytest.raises(IdentityError, match="rolled back"):
        site.deliver(3, 1)
    site.keys["alice"], site.keys["yard"] = site.keys["bob"], site.keys["root"]  # stolen ones are replaced
    site.node.trust(site.trust(2), NOW)
    assert site.node.assigned is None
    assert site.deliver(3, 1).version == 3


def test_a_threshold_counts_keys_and_takes_either_order(tmp_path: Path) -> None:
    site = Site(tmp_path, threshold=2)
    site.node.trust(site.trust(), NOW)
    for by in (("alice", "bob"), ("bob", "alice")):
        release = site.release(1, by=by)
        site.node.assignment(site.assignment(1, release), NOW)
        assert site.node.release(release, NOW).version == 1
    site.node.taken(site.release(9, floor=9, by=("alice",)))
    assert site.node.floor("vehicles") == 1  # one of two keys raises no floor


def test_a_root_hands_over_to_the_next_and_the_old_one_is_worth_nothing(site: Site, tmp_path: Path) -> None:
    old, new = site.keys["root"], make_key(tmp_path / "next.ed25519")
    trust = Trust(2, NOW, NOW + DAY, {"yard": Key(public(site.keys["yard"]), "channel")}, root=public(new))
    with pytest.raises(IdentityError, match="too few"):
        site.node.trust(sign(trust, {"root": old}), NOW)
    both = sign(trust, {"root": old, "root.2": new})
    assert site.node.trust(both, NOW).version == 2
    assert site.restarted().trust(both, NOW).version == 2
    third = Trust(3, NOW, NOW + DAY, trust.keys)
    with pytest.raises(IdentityError, match="false signature"):
        site.restarted().trust(sign(third, {"root": old}), NOW)
    assert site.restarted().trust(sign(third, {"root.2": new}), NOW).version == 3
    fresh = Verifier(site.root, "cam-1", Forgetful())  # was away all the time: both signatures take it over
    assert fresh.trust(both, NOW).version == 2


def test_a_refused_document_changes_nothing_and_is_told(site: Site) -> None:
    told: list[tuple[str, str]] = []
    node = Verifier(site.root, "cam-1", site.memory, on_refused=lambda kind, sentence: told.append((kind, sentence)))
    site.deliver(1, 5)
    before = dict(site.memory)
    with pytest.raises(IdentityError) as caught:
        node.assignment(site.assignment(4, site.release(1)), NOW)
    assert kind(caught.value) == "rolled back"
    assert told == [("rolled back", str(caught.value))]
    assert dict(site.memory) == before


def test_a_damaged_memory_is_a_sentence_of_the_store(site: Site) -> None:
    for torn in (b"\xc1 torn", b"\x93\xa1\xff\xa1a\xc4\x00", b""):
        site.memory["trust"] = torn
        with pytest.raises(StoreError, match="damaged"):
            site.node.trust(site.trust(), NOW)


def test_a_node_given_to_another_site_begins_anew(site: Site, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Site(tmp_path / "other")
    node = Verifier(other.root, "cam-1", site.memory)
    assert node.known is None
    assert node.trust(other.trust(), NOW).version == 1
