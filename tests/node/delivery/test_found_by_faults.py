"""What the fault simulator found in delivery, each as small as it can be told."""

from __future__ import annotations

import hashlib
import random

from edgewise.core.rollout import Health, Plan
from edgewise.node.delivery.guard import parse
from edgewise.node.store.simulated import SimulatedDisk

DAY = 86_400.0


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_canary_that_went_back_while_the_rollout_was_paused_breaks_it_afterwards(world, site) -> None:
    """The node's last word was then of the version that it went back to, and the resumed rollout waited for ever."""
    world.rollouts.start(
        Plan("main", site.releases[2].digest, canary=0.1, window=20.0, guard=parse("failed<1%")), "ann", world.now
    )
    world.run(2)
    (canary,) = world.rollout.canaries
    world.rollouts.pause("main", "ann", world.now)
    world.healths[canary] = lambda device: Health(5.0, 40, 40, None)  # it answers nothing, and goes back by itself
    world.run(3)
    del world.healths[canary]
    world.run(3)
    world.rollouts.resume("main", "ann", world.now)
    world.run(3)
    assert world.rollout.stage == "reverted" and canary in world.rollout.sentence
    assert set(world.versions().values()) == {1}


def test_a_disk_that_is_free_again_is_not_waited_for_by_the_number_of_calls_that_failed(device, site) -> None:
    """A device that is asked about its health each second doubled its pause each time: minutes after a few seconds of trouble."""
    disk = SimulatedDisk(random.Random(1))
    device = type(device)(site, disk)
    device.updater.begin("vehicles", sha(site.parts[1]["manifest.json"]), site.parts[1], device.now)
    device.updater.restarted(device.now)
    device.updater.news(site.news("cam-1", 2, 1), device.now)
    device.settle()
    disk.full = True
    for second in range(16):
        device.now += 1.0
        device.updater.health(Health(30.0 * second, 40, 0), device.now)
        device.updater.tick(device.now)
    disk.full = False
    device.updater.news(site.news("cam-1", 1, 2), device.now)
    for _ in range(40):
        device.now += 1.0
        device.updater.tick(device.now)
    assert device.updater.swap_due() is not None


def test_news_that_had_ended_by_a_wrong_clock_is_judged_again_once_it_is_right(device, site) -> None:
    """The server tells the same news only once, so a device that refused it waited for half of the assignment's life."""
    device.updater.news(site.news("cam-1", 2, 1), device.now + 30 * DAY)
    assert not device.updater.fetches()
    device.updater.tick(device.now)
    assert device.updater.fetches()


def test_a_pause_ends_although_the_clock_was_set_back(device, site) -> None:
    device.updater.news(site.news("cam-1", 2, 1), device.now)
    ahead = device.now + 500.0
    device.updater.fetch_failed(device.updater.fetches()[0].sha256, "broken", ahead)
    device.updater.tick(device.now)
    assert not device.updater.fetches()
    device.updater.tick(device.now + 5.0)
    assert device.updater.fetches()


def test_what_is_not_needed_goes_in_the_order_of_names(device) -> None:
    """In the order of a set, a power cut at the n-th write was another one in each process."""
    useless = [device.blobs.put(b"of no use %d" % i) for i in range(12)]
    gone: list[str] = []
    remove = device.updater._courier._blobs.remove
    device.updater._courier._blobs.remove = lambda name: (gone.append(name), remove(name))
    device.updater.restarted(device.now)
    assert gone == sorted(useless)


def test_a_renewed_assignment_ends_no_trial(device, site) -> None:
    """It is signed anew at half of its life, or after the server's clock jumped: a version that crashed was kept for good."""
    device.updater.news(site.news("cam-1", 2, 1), device.now)
    device.settle()
    device.updater.news(site.news("cam-1", 2, 2, kept=()), device.now)
    assert device.updater.running.version == 2 and not device.updater.running.proved
    for _ in range(4):
        device.restart()
    assert device.updater.running.version == 1
    device.updater.news(site.news("cam-1", 2, 3, kept=()), device.now)
    assert device.updater.running.version == 1


def test_a_server_renews_without_keeping_and_keeps_what_was_watched(world, site) -> None:
    world.rollouts.start(Plan("main", site.releases[2].digest, canary=0.1, window=20.0), "ann", world.now)
    world.run(3)
    (canary,) = world.rollout.canaries
    world.rollouts.retrust(site.trust, "ann", world.now, anew=True)  # every assignment is signed again
    world.run(3)
    assert not world.devices[canary].updater.running.proved
    world.run(40)
    assert world.rollout.stage == "done"
    assert world.devices[canary].updater.running.proved
