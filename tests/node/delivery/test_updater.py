"""A version comes to a device, is tried, and stays or goes."""

from __future__ import annotations

from edgewise.core.rollout import Health

T0 = 1.8e9


def test_a_version_comes_is_tried_and_stays(device, site) -> None:
    device.updater.news(site.news("cam-1", 2, 1), T0)
    device.settle()
    assert device.updater.running.version == 2
    assert device.whole()
    device.updater.health(Health(6.0, 20, 0), T0 + 6)
    device.updater.news(site.news("cam-1", 2, 2), T0 + 60)
    assert device.updater.running.proved
    assert device.steps() == ["fetching 2", "ready 2", "trial 2", "trial 2", "good 2"]
    assert {r.running for r in device.reports()[2:]} == {device.updater.running.address}
    assert {r.node for r in device.reports()} == {"cam-1"}


def test_back_to_the_version_that_stands_by_needs_no_download(device, site) -> None:
    device.updater.news(site.news("cam-1", 2, 1), T0)
    device.settle()
    asked = device.asked
    device.updater.news(site.news("cam-1", 1, 2), T0)
    device.settle()
    assert device.updater.running.version == 1
    assert device.updater.running.proved
    assert device.asked == asked
    assert device.steps()[-2:] == ["ready 1", "reverted 2"]
