"""The world of one schedule: machines on a network, trouble as it was planned, a quiet time, and what must hold in the end.

A World is made for one run. Its draws are three rows of random numbers from the seed (machines, network, attacker), so that a
fault more or less in one place does not change what happens elsewhere before it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from edgewise.node.faults import camera
from edgewise.node.faults.attacker import Attacker
from edgewise.node.faults.clock import DAY, Timeline
from edgewise.node.faults.device import Device
from edgewise.node.faults.invariants import Witness
from edgewise.node.faults.machine import Machine
from edgewise.node.faults.network import Direction
from edgewise.node.faults.operator import Operator
from edgewise.node.faults.publisher import Publisher
from edgewise.node.faults.report import Outcome
from edgewise.node.faults.rest import unrest
from edgewise.node.faults.schedule import SERVER, Fault, Schedule
from edgewise.node.faults.server import Server
from edgewise.node.faults.trace import Heard, Trace
from edgewise.node.store import vfs  # noqa: F401 (where apsw is not installed, this says so before anything runs)
from edgewise.node.store.outbox import Bounds

LAST_FRAME = 3.0  # s before the end: every frame has its fate by then
OPERATOR = 5.0  # s after the trouble for which a person tries again
ONCE = ("publish", "adopt", "start", "wide", "done", "revert")  # what cannot happen twice to one version


class World:
    """Build it from a schedule, `run` it once."""

    def __init__(self, schedule: Schedule, keep: bool = False) -> None:
        self.schedule = schedule
        self.timeline = Timeline()
        self.trace = Trace(self.timeline, keep)
        self.publisher = Publisher(schedule.seed)
        self.witness = Witness(self.timeline, self.trace, self.publisher)
        draw = random.Random(f"edgewise world {schedule.seed}")
        self.server = Server(self.timeline, self.trace, _row(draw), self.witness, self.publisher, schedule.devices)
        narrow = draw.random() < 0.25  # outboxes that are soon full, so that their bounds are at work
        bounds = Bounds(2_500 if narrow else 1 << 20)
        self.devices = {
            name: Device(name, self.timeline, self.trace, _row(draw), self.publisher, self.witness, self.server, bounds)
            for name in schedule.devices
        }
        self.machines: dict[str, Machine] = {SERVER: self.server, **self.devices}
        self.server.life_of_news = draw.choice((40.0, DAY))  # in the first case they are renewed within a schedule
        self.operator = Operator(self.timeline, self.trace, self.publisher, self.server, schedule.trouble + OPERATOR)
        self.attacker = Attacker(self.publisher, _row(draw))
        self.server.strange = self.attacker.blobs
        self._shut: Counter[tuple[str, str]] = Counter()  # faults of a machine's disk or clock that last

    def run(self) -> Outcome:
        """From switching on to the last check."""
        plan, timeline = self.schedule, self.timeline
        for name, machine in self.machines.items():
            timeline.at(0.01 * len(name), machine.start)
        for fault in plan.faults:
            timeline.at(fault.at, lambda f=fault: self._befall(f))  # type: ignore[misc]
        for act in plan.acts:
            timeline.at(act.at, lambda a=act: self.operator.do(a))  # type: ignore[misc]
        timeline.at(plan.trouble, self._heal)
        timeline.at(plan.until - LAST_FRAME, self._last_frame)
        with Heard(self.trace, self.witness.crashed):
            timeline.run(plan.until)
            self._check()
        outcome = self._outcome()
        for machine in self.machines.values():
            machine.disk.kill()  # an open connection of SQLite keeps its disk alive, out of sight of Python's collector
        return outcome

    # Faults

    def _befall(self, fault: Fault) -> None:
        machine, amount = self.machines[fault.node], fault.amount
        self.trace.say(fault.node, f"fault: {fault.kind} for {fault.seconds:.2f} s ({amount:.3f})")
        if fault.kind == "kill":
            machine.kill(fault.seconds)
        elif fault.kind == "power cut":
            machine.down_for = fault.seconds
            machine.power_cut()
        elif fault.kind == "torn write":
            machine.down_for = fault.seconds
            machine.disk.cut_at(1 + int(60 * amount))
        elif fault.kind in ("disk full", "read-only"):
            self._lasts(fault, "full" if fault.kind == "disk full" else "read_only")
        elif fault.kind.startswith("clock"):
            self._jump(fault, machine)
        elif fault.kind.endswith("news"):
            self._attack(fault)
        else:
            self._network(fault)

    def _attack(self, fault: Fault) -> None:
        """Somebody speaks to a device in the server's name."""
        device = self.devices[fault.node]
        heard = {name: d.heard for name, d in self.devices.items()}
        speak = self.attacker.forged if fault.kind == "forged news" else self.attacker.replayed
        payload = speak(fault.node, heard)
        if payload is not None:
            device.guarded(lambda: device.hear(payload, keep=False))

    def _lasts(self, fault: Fault, what: str) -> None:
        """A disk's flag, up while one such fault lasts."""
        disk, key = self.machines[fault.node].disk, (fault.node, what)
        self._shut[key] += 1
        setattr(disk, what, True)
        self._after(fault, lambda: self._opens(key))

    def _opens(self, key: tuple[str, str]) -> None:
        self._shut[key] -= 1
        if not self._shut[key]:
            setattr(self.machines[key[0]].disk, key[1], False)

    def _jump(self, fault: Fault, machine: Machine) -> None:
        clock = machine.clock
        if fault.kind == "clock 1970":
            clock.jump(fault.amount * 1000)
        elif fault.kind == "clock ahead":
            clock.jump(clock.true + 10 ** (8 * fault.amount))  # from a second to three years
        else:
            clock.jump(clock.true - 10 ** (7 * fault.amount))
        self._after(fault, clock.mend)

    def _network(self, fault: Fault) -> None:
        ways = [d.way for d in self.devices.values()] if fault.node == SERVER else [self.devices[fault.node].way]
        directions = [d for way in ways for d in (way.up, way.down)]
        if fault.kind == "mute up":
            directions = [way.up for way in ways]
        elif fault.kind == "mute down":
            directions = [way.down for way in ways]
        for direction in directions:
            self._one_way(fault, direction)

    def _one_way(self, fault: Fault, direction: Direction) -> None:
        if fault.kind in ("partition", "mute up", "mute down"):
            direction.sever(holds=fault.amount < 0.5)
            self._after(fault, direction.join)
            return
        name = {"loss": "loss", "delay": "delay", "reorder": "shuffle", "duplicate": "duplicate", "corrupt": "corrupt"}[
            fault.kind
        ]
        most = {"loss": 0.3, "delay": 2.0, "reorder": 0.5, "duplicate": 0.5, "corrupt": 0.5}[fault.kind]
        setattr(direction, name, most * fault.amount)
        self._after(fault, lambda: setattr(direction, name, 0.0))

    def _after(self, fault: Fault, call: Callable[[], None]) -> None:
        self.timeline.at(fault.at + fault.seconds, call)

    def _heal(self) -> None:
        self.trace.say("world", "all is well from here on")
        for machine in self.machines.values():
            machine.disk.cut_at(0)
            machine.clock.mend()
        for device in self.devices.values():
            device.interval = 2 * camera.INTERVAL  # quiet: there is less to see

    # The end

    def _last_frame(self) -> None:
        for device in self.devices.values():
            device.seeing = False

    def _check(self) -> None:
        for device in self.devices.values():
            device.close()
        if not self.server.alive:
            self.witness.at_rest("the server does not run.")
            return
        dropped: dict[str, Counter[str]] = {}
        for name, device in self.devices.items():
            if device.alive:
                dropped[name] = Counter({kind: counts.dropped for kind, counts in device.outbox.counts.items()})
                waiting = device.outbox.waiting(0, 1 << 30)
                if len(waiting) > 1 + bool(device.agent.rows):  # what the end itself put
                    self.witness.at_rest(f"{len(waiting)} items still wait in the outbox of {name}.")
                for item in waiting:
                    self.witness.waits(name, device.epoch, item.seq)
        self.witness.effects(self.server.effects(), dropped)
        for sentence in unrest(self.server, list(self.devices.values())):
            self.witness.at_rest(sentence)
        entries = self.server.rollouts.audit.entries(0, 10_000)
        self.witness.once("audit entry", [(e.who, e.what, e.subject) for e in entries if e.what in ONCE])

    def _outcome(self) -> Outcome:
        devices = self.devices.values()
        return Outcome(
            seed=self.schedule.seed,
            broken=tuple(self.witness.broken),
            digest=self.trace.digest,
            lines=self.trace.count,
            items=self.witness.items,
            effects=len(self.server.effects()) if self.server.alive else 0,
            frames=sum(d.frames for d in devices),
            swaps=sum(d.swaps for d in devices),
            deaths=sum(m.deaths for m in self.machines.values()),
            dropped=sum(c.dropped for d in devices if d.alive for c in d.outbox.counts.values()),
            refused=sum(d.updates.updater.status.counts.get("refused", 0) for d in devices if d.alive),
            faults=len(self.schedule.faults),
            seconds=self.schedule.until,
        )


def _row(draw: random.Random) -> random.Random:
    return random.Random(draw.getrandbits(64))
