"""The recording: whole, small, smooth, and its roles apart."""

import numpy as np
import pytest

from edgewise.core.errors import ConfigError
from edgewise.data.junction.recorded import STATES, about, episode, episodes


def test_the_recording_is_small_and_says_how_it_was_made():
    facts = about()
    assert STATES.stat().st_size < 1_000_000
    assert "record_junction.py" in facts["command"] and facts["sumo"] and facts["seed"] >= 0


def test_roles_share_no_episode_and_every_role_has_one():
    numbers = [number for role in ("show", "test", "validate", "train") for number in episodes(role)]
    assert len(numbers) == len(set(numbers)) == len(about()["roles"])
    with pytest.raises(ConfigError, match="allowed"):
        episodes("holiday")  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0, 5])
def test_no_vehicle_jumps_or_leaves_the_recorded_area(number):
    found = episode(number)
    before = found.at(10.0)
    for t in np.arange(10.1, 60, 0.1):
        now = found.at(float(t))
        assert np.abs(now.centre).max() < about()["reach"] + 1
        shared, a, b = np.intersect1d(before.identity, now.identity, return_indices=True)
        if len(shared):
            step = np.linalg.norm(before.centre[a] - now.centre[b], axis=1)
            assert step.max() < 0.1 * 25  # m in 0.1 s: 25 m/s is above any speed here
        before = now


def test_vehicles_drive_on_the_right_of_the_northern_arm():
    found = episode(0)
    traffic = [found.at(float(t)) for t in range(0, 120, 5)]
    centre = np.concatenate([x.centre for x in traffic])
    heading = np.concatenate([x.heading for x in traffic])
    north = (centre[:, 1] > 30) & (np.abs(centre[:, 0]) < 12)
    inward = north & (np.sin(heading) < -0.9)
    outward = north & (np.sin(heading) > 0.9)
    assert inward.sum() > 10 and outward.sum() > 10
    assert (centre[inward, 0] < 0).all() and (centre[outward, 0] > 0).all()


def test_an_episode_starts_again_after_its_end():
    found = episode(1)
    once, again = found.at(3.25), found.at(3.25 + found.seconds - found.step)
    assert np.array_equal(once.identity, again.identity) and np.allclose(once.centre, again.centre)
