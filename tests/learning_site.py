"""A device and a server that learns from it, in virtual time: the site of tests of learning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgewise.core.answer import Answer, Box
from edgewise.core.artifact import Filter
from edgewise.core.cost import Budget
from edgewise.core.learning import Learning, Sample
from edgewise.core.link import Link
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.data.doubt import Doubt
from edgewise.meter.energy import EnergyModel
from edgewise.node.edge import Edge
from edgewise.node.learning import Learner
from edgewise.node.samples import Samples
from edgewise.node.simulate import SimulatedDevice, SimulatedEdge, World, camera
from edgewise.plan.online import OnlinePolicy

INTERVAL, DEADLINE = 0.1, 0.2
TAUGHT = Answer((Box(0.1, 0.1, 0.2, 0.2, 0.9, "taught"),))
WISH = Learning(samples=100.0, bytes=1e6, cascade=0.5)
UNSURE = Doubt(0.5, np.full(2, 0.5, np.float32))


def worth(value: float) -> dict[str, Quality]:
    return {"all": Quality(value, value, value, 1)}


LOCAL = OperatingPoint("local", "local", device_time=0.01, quality=worth(0.6))
SPLIT = OperatingPoint("split", "split", "rans", 0, bytes_up=2_500, device_time=0.008, edge_time=0.006, quality=worth(0.85))
POOR = OperatingPoint("jpeg-75", "image", "jpeg", 75, bytes_up=6_000, device_time=0.003, edge_time=0.01, quality=worth(0.5))
BEST = OperatingPoint("jpeg-75", "image", "jpeg", 75, bytes_up=6_000, device_time=0.003, edge_time=0.01, quality=worth(0.9))
GOOD = Link("good", rate_up=2e7, rate_down=2e7, delay=0.005)


class Run:
    """A device and a server over a link, for `count` frames; `wish` is what the server wants at a time."""

    def __init__(
        self,
        learner: Learner | None,
        points: tuple[OperatingPoint, ...] = (LOCAL, SPLIT),
        link: Link = GOOD,
        count: int = 60,
        wish: Callable[[float], Learning | None] = lambda now: WISH,
        sees: Callable[[int], float] | None = None,
        budget: str = "",
        teacher: float = 0.02,
        picture: int = 5_000,
        learn: float = 0.0,
        doubts: Callable[[int], Doubt | None] = lambda frame: UNSURE,
    ) -> None:
        self.samples: list[Sample] = []
        world = World()
        intake = Samples(lambda node: wish(world.now), lambda node, several: self.samples.extend(several))
        self.edge = Edge(lambda s: None, lambda s: s.point, samples=intake, teaches=lambda s: s.codec == "jpeg" and teacher < 1e9)
        server = SimulatedEdge(world, self.edge, lambda r: teacher if r.taught else 0.006, teaches=lambda job: TAUGHT)
        policy = OnlinePolicy(points, INTERVAL, Budget.parse(budget), seed=1)
        sieve = Filter(threshold=0.5, recall=0.9, confidence=0.9, n=9, of="", learn=learn) if sees is not None else None
        self.agent = camera("camera", points, policy, EnergyModel(2.0, 5.0), DEADLINE, filter=sieve, learner=learner)
        for t in range(1, count):
            world.at(t * INTERVAL, lambda: self.edge.relearn(world.now))
        self.device = SimulatedDevice(
            world,
            server,
            self.agent,
            link,
            INTERVAL,
            count,
            size=lambda w: round(w.point.bytes_up),
            seconds=lambda w: w.point.device_time,
            sees=sees or (lambda frame: 1.0),
            looks=0.002,
            doubts=doubts,
            picture=lambda frame: picture,
        )
        world.run(count * INTERVAL + 20.0)
        self.agent.close(world.now, "stopped")
        self.records = [*self.device.records, *self.agent.records()]
