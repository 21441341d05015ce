"""A release goes over a channel: canaries first, the guard judges, what is broken goes back by itself, who is away follows."""

from __future__ import annotations

import msgspec
import pytest

from edgewise.core.errors import ConfigError, IdentityError
from edgewise.core.placement import Quality
from edgewise.core.release import Assignment, Trust, document, pack, unpack
from edgewise.core.rollout import Health, Plan, Report
from edgewise.net.signing import sign
from edgewise.node.delivery.guard import parse
from edgewise.node.delivery.news import unpack_news
from edgewise.node.delivery.stages import PATIENCE

DAY, MODEL = 86_400.0, "vehicles"
GUARD = parse("quality>-0.5pt p95<120ms failed<1%")


def plan(site, version=2, **more) -> Plan:
    return Plan("main", site.releases[version].digest, **{"canary": 0.2, "window": 20.0, "guard": GUARD, "least": 10, **more})


def start(world, version=2, **more):
    return world.rollouts.start(plan(world.site, version, **more), "ann", world.now)


def running(world, version: int) -> set[str]:
    return {name for name, found in world.versions().items() if found == version}


def spoil(world, conf, nodes, **figures) -> None:
    """On these nodes version 2 is bad."""
    for name in nodes:
        world.healths[name] = lambda d: conf.healthy(d, **(figures if d.updater.running.version == 2 else {}))


def acts(world) -> list[str]:
    return [f"{e.who} {e.what}" for e in world.rollouts.audit.entries(most=10_000)]


WORSE = Quality(0.8, 0.78, 0.82, 100)


def test_a_good_release_goes_wide_and_is_done(world, site) -> None:
    start(world)
    world.run(10)
    assert world.rollout.stage == "canary"
    assert running(world, 2) == set(world.rollout.canaries)
    assert len(world.rollout.canaries) == 2
    world.run(15)
    assert world.rollout.stage == "done"
    assert running(world, 2) == set(world.devices)
    world.run(40)
    assert all(d.updater.running.proved for d in world.devices.values())
    assert world.rollouts.own("main", MODEL) == site.releases[2].digest
    assert [a for a in acts(world) if a.split()[0] in ("ann", "guard")][-3:] == ["ann start", "guard wide", "guard done"]
    assert world.rollouts.audit.verify() > 5


@pytest.mark.parametrize(
    ("figures", "why", "seconds"),
    [
        ({"quality": WORSE}, "quality>-0.5pt is broken: -10 pt", 5),
        ({"p95": 0.3}, "p95<120ms is broken: 300 ms", 24),
        ({"failed": 2}, "failed<1% is broken", 24),
    ],
)
def test_a_bad_release_goes_back_by_itself_on_canaries_only(world, conf, figures, why, seconds) -> None:
    spoil(world, conf, world.devices, **figures)
    start(world)
    met: set[str] = set()
    for _ in range(seconds):
        world.second()
        met |= running(world, 2)
    assert world.rollout.stage == "reverted"
    assert why in world.rollout.sentence
    assert met == set(world.rollout.canaries)
    assert running(world, 1) == set(world.devices)
    world.run(30)
    assert running(world, 1) == set(world.devices)
    assert "guard revert" in acts(world)


def test_one_broken_canary_is_enough(world, conf) -> None:
    rollout = start(world)
    spoil(world, conf, rollout.canaries[1:], p95=0.5)
    world.run(26)
    assert world.rollout.stage == "reverted"
    assert running(world, 1) == set(world.devices)


def test_a_canary_that_goes_back_by_itself_breaks_the_release(world, site) -> None:
    for device in world.devices.values():
        device.loadable = device.updater._steps._loadable = lambda r: "Unknown operator Foo." if r.version == 2 else None
    start(world)
    world.run(4)
    assert world.rollout.stage == "reverted"
    assert "Unknown operator Foo" in world.rollout.sentence
    assert running(world, 1) == set(world.devices)


def test_an_unknown_figure_stays_at_canary_and_says_why(world, conf) -> None:
    spoil(world, conf, world.devices, quality=None)
    start(world)
    world.run(120)
    assert world.rollout.stage == "canary"
    assert "quality>-0.5pt cannot be judged: the node has no probe" in world.rollout.sentence
    assert running(world, 2) == set(world.rollout.canaries)
    world.rollouts.revert("main", "ann", world.now)
    world.run(3)
    assert running(world, 1) == set(world.devices)


def test_pause_holds_and_resume_goes_on(world) -> None:
    start(world)
    world.run(5)
    world.rollouts.pause("main", "bob", world.now)
    world.run(60)
    assert world.rollout.stage == "paused"
    assert running(world, 2) == set(world.rollout.canaries)
    world.rollouts.resume("main", "bob", world.now)
    world.run(10)
    assert world.rollout.stage == "done"
    assert {"bob pause", "bob resume"} <= set(acts(world))


def test_a_person_reverts_what_was_done(world, site) -> None:
    start(world)
    world.run(60)
    assert world.rollout.stage == "done"
    world.rollouts.revert("main", "ann", world.now)
    world.run(3)
    assert running(world, 1) == set(world.devices)
    assert world.rollouts.own("main", MODEL) == site.releases[1].digest
    start(world)  # and the same release may be tried again
    world.run(60)
    assert running(world, 2) == set(world.devices)


def test_a_node_that_was_away_for_days_follows_by_the_newest_alone(world) -> None:
    world.offline = {"cam-3"}
    world.run(70)
    start(world)
    world.run(60)
    assert world.rollout.stage == "done"
    assert "1 are offline" in world.rollout.sentence
    start(world, 3)
    world.run(60)
    assert running(world, 3) == set(world.devices) - {"cam-3"}
    world.now += 5 * DAY
    world.offline = set()
    world.run(5)
    assert running(world, 3) == set(world.devices)
    assert "fetching 2" not in world.devices["cam-3"].steps()


def test_canaries_that_are_away_are_waited_for_and_then_passed_over(world) -> None:
    start(world)
    _, second = world.rollout.canaries
    world.offline = {second}
    world.run(61)
    assert world.rollout.stage == "canary"
    assert f"{second} is offline" in world.rollout.sentence
    for _ in range(12):
        world.second(PATIENCE / 10)
    assert world.rollout.stage == "done"
    world.offline = set()
    world.run(3)
    assert running(world, 2) == set(world.devices)


def test_canaries_are_chosen_among_those_who_are_there(world) -> None:
    world.offline = {f"cam-{i}" for i in range(8)}
    world.run(70)
    assert set(start(world).canaries) <= {"cam-8", "cam-9"}


def test_a_node_that_puts_a_wide_release_back_keeps_the_one_before(world, conf, site) -> None:
    rollout = start(world)
    bad = next(n for n in world.devices if n not in rollout.canaries)
    spoil(world, conf, [bad], failed=10_000)
    world.run(80)
    assert world.rollout.stage == "done"
    assert running(world, 1) == {bad}
    assert running(world, 2) == set(world.devices) - {bad}
    world.run(60)
    assert running(world, 1) == {bad}


def test_a_wide_release_that_many_put_back_is_paused(world, conf) -> None:
    rollout = start(world)
    others = [n for n in world.devices if n not in rollout.canaries]
    for name in others:  # they put it back as soon as they have it, and hold the others up
        world.healths[name] = lambda d: conf.healthy(d, frames=100, failed=100) if d.updater.running.version == 2 else None
    for _ in range(40):
        world.second()
    assert world.rollout.stage == "paused"
    assert "nodes put it back" in world.rollout.sentence
    assert running(world, 1) == set(others)


def test_a_new_node_gets_the_channels_own_version(world, conf) -> None:
    start(world)
    world.run(60)
    world.join("cam-new")
    world.run(3)
    assert world.devices["cam-new"].updater.running.version == 2
    world.run(80)
    assert world.devices["cam-new"].updater.running.proved


def test_a_channel_of_its_own(world) -> None:
    world.rollouts.move("cam-4", "yard", "ann", world.now)
    world.rollouts.adopt("yard", world.site.releases[3].digest, "ann", world.now)
    world.run(3)
    assert running(world, 3) == {"cam-4"}
    start(world)
    world.run(60)
    assert running(world, 3) == {"cam-4"}


def in_the_yard(world, version: int = 2) -> None:
    where = msgspec.structs.replace(plan(world.site, version), channel="yard")
    world.rollouts.start(where, "ann", world.now)


@pytest.mark.parametrize("first", ["move", "start"])
def test_a_node_that_is_moved_has_its_way_back_with_it(world, conf, site, first) -> None:
    spoil(world, conf, world.devices, quality=WORSE)
    if first == "start":
        in_the_yard(world)  # no node is there yet
    world.rollouts.move("cam-4", "yard", "ann", world.now)
    if first == "move":
        in_the_yard(world)
    world.run(5)
    assert world.rollouts.rollouts("yard")[0].stage == "reverted"
    assert running(world, 1) == set(world.devices)
    assert world.rollouts.own("yard", MODEL) == site.releases[1].digest


def test_the_way_back_of_a_channel_without_an_own_release_is_what_its_nodes_run(world, conf, site) -> None:
    world.database.execute("DELETE FROM channels")
    spoil(world, conf, world.devices, quality=WORSE)
    start(world)
    world.run(5)
    assert world.rollout.stage == "reverted"
    assert world.rollout.previous == site.releases[1].digest
    assert running(world, 1) == set(world.devices)


def test_without_any_way_back_a_rollout_is_not_begun(world) -> None:
    world.rollouts.seen("cam-new", world.now)
    world.rollouts.move("cam-new", "yard", "ann", world.now)
    world.database.execute("DELETE FROM channels")
    with pytest.raises(ConfigError, match=r"no way back; got cam-new\. Publish what they have with --own"):
        in_the_yard(world)
    world.rollouts.adopt("yard", world.site.releases[1].digest, "ann", world.now)
    in_the_yard(world)


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_restarts_of_server_and_devices_at_any_moment_change_nothing(world, every) -> None:
    start(world)
    for i in range(70):
        world.second()
        if i % every == 0:
            world.restart()
        if i % (3 * every) == 0:
            for device in world.devices.values():
                device.updater.stopping(world.now)
                device.restart()
    assert world.rollout.stage == "done"
    assert running(world, 2) == set(world.devices)
    assert world.rollouts.audit.verify() > 0
    assert acts(world).count("guard wide") == acts(world).count("guard done") == 1


# What may not be


def test_a_revert_below_the_floor_is_refused(world, site) -> None:
    site.release(4, floor=4)
    world.publish(4)
    start(world, 4)
    world.run(60)
    with pytest.raises(ConfigError, match="set the floor to 4"):
        world.rollouts.revert("main", "ann", world.now)
    with pytest.raises(ConfigError, match="below the floor"):
        start(world, 3)
    assert world.rollout.stage == "done"
    assert acts(world)[-2:] == ["ann revert refused", "ann start refused"]


def ended(world) -> None:
    """Version 1 ends soon, and is the channel's own."""
    for version in (1, 2):
        end = world.now + 30 * DAY if version == 1 else world.now + 365 * DAY
        world.site.release(version + 3, world.site.parts[version], expires=end)
        world.publish(version + 3)
    start(world, 4)
    world.run(5)
    assert world.rollout.stage == "done"  # the same bytes
    world.run(60)
    for _ in range(31):
        world.second(DAY)
    assert running(world, 4) == set(world.devices)


def test_a_bad_canary_goes_back_to_a_release_that_has_ended(world, conf) -> None:
    ended(world)
    for name in world.devices:
        world.healths[name] = lambda d: conf.healthy(d, **({"quality": WORSE} if d.updater.running.version == 5 else {}))
    start(world, 5)
    world.run(12)
    assert world.rollout.stage == "reverted"
    assert running(world, 4) == set(world.devices)
    assert not any("refused" in act for act in acts(world))


def test_a_way_back_that_devices_would_refuse_is_none(world, site) -> None:
    ended(world)
    start(world, 5)
    world.run(60)
    assert world.rollout.stage == "done"
    for name in world.devices:
        world.rollouts.move(name, "yard", "ann", world.now)
    world.rollouts.seen("cam-new", world.now)  # it never had version 4
    with pytest.raises(ConfigError, match="vehicles 4 has ended, and no node of the channel main has it"):
        world.rollouts.revert("main", "ann", world.now)
    for name in world.devices:
        world.rollouts.move(name, "main", "ann", world.now)
    keys = {"chan": document(unpack(site.trust), Trust).keys["chan"]}
    world.rollouts.retrust(pack(sign(Trust(2, world.now, world.now + DAY, keys), {"root": site.root})), "ann", world.now)
    with pytest.raises(ConfigError, match="Devices would refuse vehicles 4: unknown key"):
        world.rollouts.revert("main", "ann", world.now)


def test_a_canary_goes_back_from_a_release_with_a_higher_floor(world, site, conf) -> None:
    site.release(4, floor=4)
    world.publish(4)
    for name in world.devices:
        world.healths[name] = lambda d: conf.healthy(d, quality=WORSE)
    start(world, 4)
    world.run(10)
    assert world.rollout.stage == "reverted"
    assert running(world, 1) == set(world.devices)


def test_what_is_published_is_signed_whole_and_higher(world, site) -> None:
    lower = site.release(2, {"manifest.json": b"other"})
    with pytest.raises(ConfigError, match="above the one before"):
        world.rollouts.publish(lower, "ann", world.now)
    with pytest.raises(ConfigError, match="are not here"):
        world.rollouts.publish(site.release(9), "ann", world.now)
    site.publisher, kept = site.channel, site.publisher
    with pytest.raises(IdentityError, match="false signature"):
        world.rollouts.publish(site.release(10), "mallory", world.now)
    site.publisher = kept
    with pytest.raises(IdentityError, match="unreadable"):
        world.rollouts.publish(b"no envelope", "mallory", world.now)
    with pytest.raises(ConfigError, match="no such release"):
        start(world, 9)
    assert acts(world).count("mallory publish refused") == 2
    before = len(acts(world))
    world.publish(3)  # the same again
    assert len(acts(world)) == before


def test_one_rollout_of_a_model_at_a_time(world) -> None:
    start(world)
    for wrong in ({"version": 3}, {"version": 2}):
        with pytest.raises(ConfigError, match="has a rollout already"):
            start(world, **wrong)
    with pytest.raises(ConfigError, match="nothing to resume"):
        world.rollouts.resume("main", "ann", world.now)
    with pytest.raises(ConfigError, match="no such rollout"):
        world.rollouts.pause("yard", "ann", world.now)
    world.rollouts.revert("main", "ann", world.now)
    with pytest.raises(ConfigError, match="reverted already"):
        world.rollouts.revert("main", "ann", world.now)
    with pytest.raises(ConfigError, match="window is too long"):
        start(world, 3, window=80_000.0)
    with pytest.raises(ConfigError, match="has this release already"):
        start(world, 1)


# What nodes say


def report(world, node="cam-1", version=2, **more) -> Report:
    release = world.site.releases[version]
    found = Report(node, world.now, "good", MODEL, version, release.digest, "ab" * 32, 1)
    return msgspec.structs.replace(found, **more)


def test_a_node_that_runs_what_it_was_never_given_has_diverged_and_is_told_again(world) -> None:
    before = world.rollouts.nodes()[1].sequence
    assert world.rollouts.report(report(world), world.now, "cam-1")
    node = world.rollouts.nodes()[1]
    assert (node.node, node.diverged) == ("cam-1", f"It runs {'ab' * 6}, which it was never given.")
    world.run(2)
    assert world.rollouts.nodes()[1].sequence == before + 1
    for _ in range(50):
        world.rollouts.report(report(world), world.now, "cam-1")
        world.second()
    assert world.rollouts.nodes()[1].sequence == before + 1  # once a minute
    slot = world.devices["cam-1"].updater.running
    world.rollouts.report(report(world, version=1, running=slot.address), world.now, "cam-1")
    assert world.rollouts.nodes()[1].diverged == ""


@pytest.mark.parametrize("body", [b"", b"\xc1", b"x" * 70_000, msgspec.msgpack.encode({"node": "cam-1"})])
def test_a_report_that_is_none_is_refused_and_never_raises(world, body) -> None:
    assert not world.rollouts.report(body, world.now, "cam-1")
    assert not world.rollouts.report(report(world, node="cam-2"), world.now, "cam-1")
    assert acts(world)[-2:] == ["cam-1 report refused"] * 2


def test_who_reports_without_end_fills_nothing(world) -> None:
    before = len(acts(world))
    for i in range(500):
        world.rollouts.report(report(world, name=f"m{i}", sentence="x" * 500), world.now, "cam-1")
    assert len(acts(world)) - before <= 30
    assert len(world.rollouts.nodes()[1].said) <= 16


def test_a_server_that_was_set_back_gets_over_the_numbers_that_nodes_know(world, site, tmp_path) -> None:
    start(world)
    world.run(60)
    from edgewise.node.store.disk import RealDisk

    world.database.close()
    world.server_disk = RealDisk(tmp_path / "restored")  # without a memory of any node
    world.open()
    world.told.clear()
    for version in (1, 2, 3):
        world.publish(version)
    world.rollouts.adopt("main", site.releases[3].digest, "ann", world.now)
    world.run(6)
    assert running(world, 3) == set(world.devices)


# News


def test_news_is_the_same_object_while_nothing_changes_and_is_renewed_in_time(world) -> None:
    news = world.rollouts.news("cam-1", world.now)
    signed = world.rollouts._teller.signed
    for _ in range(100):
        world.rollouts.tick(world.now)
        assert world.rollouts.news("cam-1", world.now) is news
    assert world.rollouts._teller.signed == signed
    world.now += 0.6 * DAY
    world.run(1)
    again = world.rollouts.news("cam-1", world.now)
    assert again is not news
    first, second = (document(unpack(unpack_news(n).assignment), Assignment) for n in (news, again))
    assert (second.sequence, second.releases) == (first.sequence + 1, first.releases)
    assert second.expires > first.expires
    assert world.rollouts.news("nobody", world.now) is None


def test_a_clock_that_was_in_the_future_is_got_over(world) -> None:
    wrong = world.now + 40 * 365 * DAY
    for name in world.devices:
        world.rollouts.seen(name, wrong)
    world.rollouts.tick(wrong)
    for name in world.devices:
        world.rollouts.news(name, wrong)
    start(world)
    world.run(60)
    news = document(unpack(unpack_news(world.rollouts.news("cam-1", world.now)).assignment), Assignment)
    assert news.expires <= world.now + DAY
    assert running(world, 2) == set(world.devices)


def test_a_new_trust_reaches_every_node(world, site) -> None:
    trust = document(unpack(site.trust), type_of_trust())
    newer = msgspec.structs.replace(trust, version=2, revoked=("ab",))
    from edgewise.net.signing import sign

    world.rollouts.retrust(pack(sign(newer, {"root": site.root})), "ann", world.now)
    world.run(2)
    assert {d.verifier.known.version for d in world.devices.values()} == {2}


def type_of_trust():
    from edgewise.core.release import Trust

    return Trust


# What is kept


def test_old_versions_go_when_nobody_needs_them_and_their_files_with_them(world, site, conf) -> None:
    world.offline = {"cam-0"}
    for version in range(4, 12):
        site.release(version)
        world.publish(version)
    held = [r.version for r in world.rollouts.held()]
    assert held == [11, 10, 9, 8, 1]  # four, and what the nodes run
    assert world.blobs.has(conf.sha(site.parts[1]["head.onnx"]))
    assert not world.blobs.has(conf.sha(site.parts[5]["head.onnx"]))
    assert world.blobs.has(conf.sha(site.parts[5]["tail.onnx"]))  # others have the same
    start(world, 11)
    world.run(70)
    site.release(12)
    world.publish(12)
    assert 1 in [r.version for r in world.rollouts.held()]  # cam-0 runs it, and a revert may go there
    with pytest.raises(ConfigError, match="no such release"):
        start(world, 5)


def test_a_thousand_nodes_are_told_in_one_transaction(site, tmp_path, conf) -> None:
    from edgewise.node.store.disk import RealDisk

    world = conf.World(site, lambda name: RealDisk(tmp_path / name))
    names = [f"n{i:04d}" for i in range(1000)]
    for name in names:
        world.rollouts.seen(name, world.now)
    world.rollouts.tick(world.now)
    assert world.rollouts._teller.signed == 1000
    news = [world.rollouts.news(name, world.now) for name in names]
    assert len(set(news)) == 1000
    assert all(world.rollouts.news(name, world.now) is n for name, n in zip(names, news))
    assert world.rollouts._teller.signed == 1000
    assert max(map(len, news)) < 3000
    state = world.rollouts.state(world.now)
    assert len(state.nodes) == len(state.seen) == 1000


def test_health_of_a_version_before_this_rollout_does_not_count(world, conf) -> None:
    spoil(world, conf, world.devices, quality=WORSE)
    start(world)
    world.run(6)
    assert world.rollout.stage == "reverted"
    world.healths.clear()
    start(world)  # the same release, on a better day
    world.second()
    assert world.rollout.stage == "canary"
    world.run(60)
    assert world.rollout.stage == "done"


def test_health_is_what_the_node_said(world) -> None:
    start(world)
    world.run(10)
    node = next(n for n in world.rollouts.nodes() if n.node == world.rollout.canaries[0])
    assert isinstance(node.said[MODEL].health, Health)
    assert node.said[MODEL].step == "trial"
    assert node.said[MODEL].running == world.devices[node.node].updater.running.address


def test_an_old_version_goes_out_again_under_a_new_number(world, site) -> None:
    start(world)
    world.run(60)
    with pytest.raises(ConfigError, match="as version 3 or more"):
        start(world, 1)
    site.release(4, site.parts[1])
    world.publish(4)
    start(world, 4)
    world.run(60)
    assert running(world, 4) == set(world.devices)
    assert {d.updater.running.address for d in world.devices.values()} == {document_of(site, 1).address}


def document_of(site, version: int):
    from edgewise.core.release import Release

    return document(site.releases[version], Release)


@pytest.mark.parametrize("everybody", [False, True])
def test_canaries_that_never_left_the_version_are_no_trial_of_it(world, everybody) -> None:
    """It was reverted while they were away, and started again before they heard of it (found by the fault simulator)."""
    start(world)
    world.run(60)
    away = set(world.devices) if everybody else set(tries(world))
    world.offline = away
    world.second()
    world.rollouts.revert("main", "ann", world.now)
    world.run(3)
    again = start(world)
    assert set(again.canaries) <= away
    world.offline = set()
    world.run(60)
    assert world.rollout.stage == "done"
    assert set(world.rollout.canaries) > set(again.canaries)  # others tried it, who had gone back meanwhile
    assert running(world, 2) == set(world.devices)


def tries(world) -> tuple[str, ...]:
    """Who will be canaries of this release."""
    from edgewise.node.delivery.stages import canaries

    return canaries(world.site.releases[2].digest, list(world.devices), 0.2)


def test_nodes_that_are_away_stay_so_when_the_clock_is_set_back(world) -> None:
    world.offline = {"cam-3", "cam-4"}
    world.run(2)
    world.now += 300 * DAY  # wrong, for a moment
    for name in ("cam-3", "cam-4"):
        world.rollouts.seen(name, world.now)
    world.second()
    world.rollouts.gone("cam-3", world.now)
    world.now -= 300 * DAY
    for _ in range(2):
        assert {name for name in world.devices if world.rollouts._roster.away(name, world.now)} >= world.offline
        world.run(2)
        assert all(at <= world.now for at in world.rollouts.state(world.now).seen.values())
        world.restart()
    assert {name for name in world.devices if world.rollouts._roster.away(name, world.now) > 0} == world.offline
