"""What the fault simulator found in delivery, each as small as it can be told."""

from __future__ import annotations

from edgewise.core.rollout import Health, Plan
from edgewise.node.delivery.guard import parse


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
