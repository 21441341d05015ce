"""The policy on the device: which operating point answers this frame, from what the link and the server really did.

Idea (ours): every operating point p is worth its expected utility

    U(p) = P(in time) · quality(p) + (1 − P(in time)) · insurance

where P comes from a log-normal estimate of the link's rate and the time that is left, and the insurance is the local
answer that the agent still gives when the link lets it down. A point that needs more of the link than one frame interval
can only serve a share of the frames; the others fall back to the insurance. The choice is the argmin of 1 − U plus the price
of bytes and joules, with hysteresis.

Where a filter looks at frames first, those that it leaves out cost no byte, so a budget over time counts the share that passes.
`Decision.learn` is drawn here, for a seeded share of the frames: such a frame goes up even if the filter leaves it out, and it
passes as far as the budget is concerned. A frame in layers is cut when its turn comes (`layers`); where the worth of its layers
is known, its point is scored by the number of them that promises most.

What it does not know: the future of the link, and the picture (two frames with the same bytes are alike to it); the joules of a
filter on frames that it leaves out are in the ledger, not in a bound.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from edgewise.core.cost import Budget, Cost, PerSite
from edgewise.core.placement import Decision, Mode, OperatingPoint
from edgewise.core.wire import FRAME_HEADER
from edgewise.plan.online.layers import Layers
from edgewise.plan.online.link import LinkEstimate

Scored = tuple[float, float, OperatingPoint]  # 1 − expected utility + price, chance to be in time, the point
Joules = Callable[[float, float, float, float, float, float], float]
"""Device joules of a frame: busy (s), bytes up, bytes down, rate up, rate down (bit/s), latency (s)."""
SURE: tuple[Mode, ...] = ("split", "image")  # modes of which every frame tries the link
FAST = 1e9  # bit/s; a link that bars nothing
LEAST_CHANCE = 0.1  # below it, sending is a waste of the link
LIKELY = 0.5  # chance from which on a picture goes up for a second answer
LEAST_PASSING = 0.01  # share of frames that a budget counts at the least, whatever a filter leaves out
FORGETS = 0.01  # of what was seen of an exit, with every frame that it does not look at
RARE = 0.05  # share of frames below which the slow ones are not in a p95
PATIENCE = 2.0  # s in which the hysteresis fades: it damps flapping, and holds no small gain back for ever


class Situation(Struct, frozen=True):
    """What the agent knows when a frame wants an answer. Times in s.

    `backlog` is bytes that were sent and are not yet answered, `oldest` how long ago the first of them went.
    """

    now: float
    left: float
    connected: bool
    backlog: int = 0
    oldest: float = 0.0
    condition: str = "all"


class Prices(Struct, frozen=True, forbid_unknown_fields=True):
    """What a byte on the link, a joule on the device and an attempt in vain are worth, in units of quality."""

    byte: float = 2e-8
    joule: float = 2e-3
    vain: float = 0.004


class OnlinePolicy:
    """`decide(situation)` picks an operating point; the `observe_…` methods teach it what really happened."""

    def __init__(
        self,
        points: tuple[OperatingPoint, ...],
        interval: float,
        budget: Budget = Budget(),
        prices: Prices = Prices(),
        joules: Joules | None = None,
        hysteresis: float = 0.01,
        probe_every: float = 0.5,
        learn: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.points = {p.name: p for p in points if p.mode != "drop"}
        self.interval, self.budget, self.prices = interval, budget, prices
        self.hysteresis, self.probe_every = hysteresis, probe_every
        self.link = LinkEstimate()
        self.learn, self._draw = learn, random.Random(seed)
        self.passing = 1.0  # share of the frames that a filter lets pass
        self.server_wait = 0.0
        self.barred: dict[str, str] = {}
        self.refused: dict[str, str] = {}  # points that the server does not take in this session
        self._slow: set[str] = set()  # barred points that a better link would allow
        self._joules = joules
        self._device = {p.name: p.device_time for p in self.points.values()}
        self._edge = {p.name: p.edge_time for p in self.points.values()}
        self._sent = {p.name: p.bytes_up for p in self.points.values()}
        self._going = {p.name: p.sent for p in self.points.values()}
        self._layers = {p.name: Layers(p.quality) for p in self.points.values()}
        self._last, self._switched = "", -math.inf
        self._tried = self._tried_up = -math.inf
        self._tried_before = (self._tried, self._tried_up)
        self._bar("all")

    def adopt(self, points: tuple[OperatingPoint, ...], learn: float = 0.0) -> None:
        """Choose among other points from now on; what is known of the link stays, and of points of the same name."""
        self.learn, self.passing = learn, 1.0
        self.points = {p.name: p for p in points if p.mode != "drop"}
        self._device = {p.name: self._device.get(p.name, p.device_time) for p in self.points.values()}
        self._edge = {p.name: self._edge.get(p.name, p.edge_time) for p in self.points.values()}
        self._sent = {p.name: self._sent.get(p.name, p.bytes_up) for p in self.points.values()}
        self._going = {p.name: p.sent for p in self.points.values()}
        self._layers = {p.name: Layers(p.quality) for p in self.points.values()}
        self.refused = {}
        self._bar("all")

    def observe_device(self, point: str, seconds: float) -> None:
        """The device was busy for `seconds` with its share of `point`."""
        if point in self._device:
            self._device[point] += 0.3 * (seconds - self._device[point])

    def observe_filter(self, passed: bool) -> None:
        """The filter let the last frame pass, or left it out: then nothing was tried with it."""
        self.passing += 0.05 * (passed - self.passing)
        if not passed:
            self._tried, self._tried_up = self._tried_before

    def observe_exit(self, point: str, left: bool) -> None:
        """The exit of a point answered the last frame, or let it go: where it answered, nothing was tried of the link."""
        if point in self.points and self.points[point].mode == "exit":
            self._going[point] += 0.05 * ((not left) - self._going[point])
            if left:
                self._tried, self._tried_up = self._tried_before

    def observe_interval(self, seconds: float) -> None:
        """Two frames came so long after each other; a camera's true rate is learned from that."""
        if 0 < seconds < 5:
            self.interval += 0.1 * (seconds - self.interval)

    def observe_payload(self, point: str, size: int) -> None:
        """The payload of a frame at `point` came to `size` bytes."""
        if point in self._sent:
            self._sent[point] += 0.2 * (size - self._sent[point])

    def observe_server(self, point: str, wait: float, busy: float) -> None:
        """The server let the frame wait and then worked on it."""
        self.server_wait += 0.3 * (wait - self.server_wait)
        if point in self._edge:
            self._edge[point] += 0.3 * (busy - self._edge[point])

    def device_time(self, point: str) -> float:
        return self._device[point]

    def decide(self, situation: Situation) -> Decision:
        """The best operating point now, or a drop where none can answer in time; and whether a filter's no is to be tried."""
        self._tried_before = (self._tried, self._tried_up)
        decision = self._choose(situation)
        for name, p in self.points.items():
            if p.mode == "exit" and name != decision.route:  # what a camera saw once bars an exit for a while, not for ever
                self._going[name] += FORGETS * (p.sent - self._going[name])
        drawn = self.learn > 0 and self._draw.random() < self.learn
        return replace(decision, learn=True) if drawn and decision.route != "drop" else decision

    def upload(self) -> OperatingPoint | None:
        """The way up for a frame that is to be learned from and would be answered here: the smallest that the budget admits."""
        remote = [p for p in self.points.values() if p.mode in SURE and p.name not in self.barred]
        return min(remote, key=lambda p: self._sent[p.name], default=None)

    def asking(self, situation: Situation) -> OperatingPoint | None:
        """The way up for the picture of a frame whose answer is here already and stands by: the best that is likely in time.

        Where none is, and nothing was tried for a while, the smallest: what is believed of a link that carries nothing gets no
        better by itself (`asked`). Bounds on an item hold; what adds up over time is for who lets it go (`edgewise.node.charge`).
        """
        if not situation.connected:
            return None
        each = Budget(tuple(b for b in self.budget.bounds if b.scope == "item"))
        may = {
            name: self._chances(name, situation, situation.left - self._device[name])(self._sent[name])
            for name, p in self.points.items()
            if p.mode == "image" and name not in self.refused and each.admits(self.cost(name), p.worth(situation.condition))
        }
        likely = [self.points[name] for name, chance in may.items() if chance >= LIKELY]
        if not likely and may and not situation.backlog and situation.now - self._tried >= 4 * self.probe_every:
            return self.points[min(may, key=lambda name: self._sent[name])]
        return max(likely, key=lambda p: p.worth(situation.condition), default=None)

    def asked(self, now: float) -> None:
        """A frame goes up by the way that `asking` named."""
        self._tried = now

    def layers(self, point: str, ends: Sequence[int], situation: Situation) -> int:
        """How many layers of a frame to send now (`Layers.choose`); `left` of the situation counts from now.

        `ends` are the sizes (bytes) of a payload that is cut after each layer, rising. The point may be one of the points before
        `adopt`, whose frames wait still: then nothing is known of its layers.
        """
        s, known = situation, self._layers.get(point) or Layers({})
        known.seen(ends)
        return known.choose(ends, self._chances(point, s, s.left), self._insurance(s))

    def _choose(self, s: Situation) -> Decision:
        if s.oldest > 0 and s.backlog > 0:
            self.link.bound(s.backlog, s.oldest - self.link.round_trip - self.server_wait, s.now)
        self._bar(s.condition)
        local = self._insurance(s)
        scored = sorted((self._score(p, s, local) for p in self.points.values() if p.name not in self.barred), key=lambda x: x[0])
        if not scored or scored[0][0] >= 1.0:
            if (probe := self._probe(s)) is not None:
                self._tried = s.now
                return Decision(probe.name, f"tries the link with {probe.name}; nothing stands by")
            return Decision("drop", self._why_drop(s))
        best = scored[0]
        kept = next((x for x in scored if x[2].name == self._last), best)
        if kept[0] - best[0] <= self.hysteresis * math.exp(-(s.now - self._switched) / PATIENCE) and kept[1] >= 0.5:
            best = kept
        _, chance, point = best
        probe = self._probe(s) if point.mode == "local" else self._probe_up(s, point, scored)
        if probe is not None:
            self._tried = s.now
            return Decision(probe.name, f"tries the link with {probe.name}; the local answer stands by")
        if point.mode != "local":
            self._tried = s.now
        if point.name != self._last:
            self._last, self._switched = point.name, s.now
        return Decision(point.name, self._why(point, chance, s, scored))

    def cost(self, name: str, rate: float | None = None) -> Cost:
        """What a frame at a point costs, as far as has been learned: p95 from the slow end of the rate's estimate.

        With a `rate` (bit/s): over a link of that rate.
        """
        fast, slow = (rate, rate) if rate else (self.link.rate, math.exp(self.link.log_rate - 1.645 * self.link.spread))
        p, busy, going = self.points[name], self._device[name], self._going[name]
        whole = self._sent[name] + FRAME_HEADER
        fixed = self.link.round_trip + self.server_wait + self._edge[name]
        size, latency = going * whole, busy + going * (fixed + whole * 8 / fast)
        high = busy + (fixed + whole * 8 / slow if going > RARE else 0.0)
        joules = self._joules(busy, size, 0.0, fast, fast, latency) if self._joules else None
        energy = PerSite(joules, 0.0 if p.mode == "local" else None)
        return Cost(latency, high, bytes_up=size, energy=energy, memory=PerSite(None, None))

    def insurer(self) -> OperatingPoint | None:
        """The local point that stands by: the best that the budget admits."""
        local = [p for p in self.points.values() if p.mode == "local" and p.name not in self.barred]
        return max(local, key=lambda p: p.worth(), default=None)

    def _bar(self, condition: str) -> None:
        """Which points the budget bars now, with the reason of each."""
        self.barred, self._slow = dict(self.refused), set()
        if not self.budget.bounds:
            return
        for name, p in self.points.items():
            worth, rate = p.worth(condition), max(self.passing, LEAST_PASSING) / self.interval
            if sentences := self.budget.violations(self.cost(name), worth, rate):
                self.barred.setdefault(name, "; ".join(sentences))
                if name not in self.refused and self.budget.admits(self.cost(name, FAST), worth, rate):
                    self._slow.add(name)

    def _insurance(self, s: Situation) -> float:
        """Quality of the local answer that stands by, if it still fits."""
        p = self.insurer()
        return p.worth(s.condition) if p is not None and self._device[p.name] <= s.left else 0.0

    def _score(self, p: OperatingPoint, s: Situation, insurance: float) -> Scored:
        """(1 − expected utility + price, chance to be in time, the point)."""
        cost = self.cost(p.name)
        price = self.prices.byte * cost.bytes_up + self.prices.joule * (cost.energy.device or 0.0)
        if p.mode == "local":
            in_time = 1.0 if self._device[p.name] <= s.left else 0.0
            return 1 - in_time * p.worth(s.condition) + price, in_time, p
        if p.mode == "exit":
            return self._score_exit(p, s, insurance, price)
        if not s.connected:
            return 1.0 + price, 0.0, p
        utility, chance = self._over_the_link(p, s, insurance)
        return 1 - utility + price + self.prices.vain * (1 - chance), chance, p

    def _score_exit(self, p: OperatingPoint, s: Situation, insurance: float, price: float) -> Scored:
        """What the exit is sure of needs no link; what goes is a frame like any other, only rarer."""
        going = self._going[p.name]
        utility, chance = self._over_the_link(p, s, insurance, going) if s.connected and going else (insurance, 0.0)
        left = 1 - going if self._device[p.name] <= s.left else 0.0
        worth = left * p.worth(s.condition) + going * utility
        return 1 - worth + price + self.prices.vain * going * (1 - chance), left + going * chance, p

    def _over_the_link(self, p: OperatingPoint, s: Situation, insurance: float, going: float = 1.0) -> tuple[float, float]:
        """Expected utility of a frame that goes, as the share `going` of all do, and its chance to be in time."""
        chances = self._chances(p.name, s, s.left - self._device[p.name])
        prospects = self._layers[p.name].prospects(self._sent[p.name], p.worth(s.condition))
        best = max((self._hoped(size, worth, chances(size), insurance, going), size) for size, worth in prospects)
        return best[0], chances(best[1])

    def _hoped(self, size: float, worth: float, chance: float, insurance: float, going: float = 1.0) -> float:
        """Expected utility of payloads of `size` bytes that are worth so much in time."""
        share = min(1.0, self.interval * self.link.rate / (8 * going * (size + FRAME_HEADER)))
        hope = share * chance if chance >= LEAST_CHANCE else 0.0
        return hope * worth + (1 - hope) * insurance

    def _chances(self, point: str, s: Situation, left: float) -> Callable[[float], float]:
        """The chance of a payload of so many bytes to be answered in time, where the device is done with `left` seconds to go."""
        spare = left - self.link.round_trip - self.server_wait - self._edge.get(point, 0.0)
        ahead = self._ahead(s)
        return lambda size: self.link.chance(round(size + FRAME_HEADER + ahead), spare, s.now)

    def _ahead(self, s: Situation) -> float:
        """Bytes that a frame sent now would wait behind: of those without an answer, what a slow guess of the rate leaves."""
        slow = math.exp(self.link.log_rate - self.link.spread)
        return max(0.0, s.backlog - slow * s.oldest / 8)

    def _probe(self, s: Situation) -> OperatingPoint | None:
        """The smallest remote point, when the link has not been tried for a while and nothing is under way."""
        if not s.connected or s.backlog > 0 or s.now - self._tried < self.probe_every:
            return None
        local = self._insurance(s)
        ready = self.link.round_trip + self.server_wait
        remote = [
            p
            for p in self.points.values()
            if p.mode in SURE
            and p.worth(s.condition) > local
            and (p.name not in self.barred or p.name in self._slow)
            and self._device[p.name] + ready + self._edge[p.name] < s.left
        ]
        return min(remote, key=lambda p: self._sent[p.name], default=None)

    def _probe_up(self, s: Situation, chosen: OperatingPoint, scored: list[Scored]) -> OperatingPoint | None:
        """A better point that may well fit, where the small frames of the chosen one no longer say how fast the link is."""
        if s.backlog > 0 or s.now - max(self.link.seen, self._tried_up) < 4 * self.probe_every:
            return None
        fits = [p for _, chance, p in scored if p.worth(s.condition) > chosen.worth(s.condition) and chance >= 0.2]
        if not fits or self._insurance(s) == 0.0:
            return None
        self._tried_up = s.now
        return max(fits, key=lambda p: p.worth(s.condition))

    def _why(self, p: OperatingPoint, chance: float, s: Situation, scored: list[Scored]) -> str:
        if p.mode == "exit" and not s.connected:
            return "no server: answers where the exit is sure"
        if p.mode == "local":
            if not s.connected:
                return "no server: answers alone"
            best = max((x for x in scored if x[2].mode != "local"), key=lambda x: x[1], default=None)
            other = f"; {best[2].name} would be in time with {best[1]:.0%}" if best else ""
            return f"link at {self.link.rate / 1e6:.2g} Mbit/s{other}"
        better = [x for x in scored if x[2].worth(s.condition) > p.worth(s.condition) and x[1] < chance - 0.01]
        other = f"; {better[0][2].name} only with {better[0][1]:.0%}" if better else ""
        return f"link at {self.link.rate / 1e6:.2g} Mbit/s: in time with {chance:.0%}{other}"

    def _why_drop(self, s: Situation) -> str:
        if self.barred and len(self.barred) == len(self.points):
            return f"the budget bars every way to answer: {next(iter(self.barred.values()))}"
        if not s.connected and self.insurer() is None:
            return "no server, and nothing here that could answer"
        return f"{max(s.left, 0) * 1e3:.0f} ms are left, too few for any way to answer"
