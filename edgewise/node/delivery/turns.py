"""The turns of rollouts on a server: judged at each tick, each stage entered in one transaction with its row in the audit log.

`stages.py` says what the canaries' health means; here it is read from the roster, and what follows is written. It does not know
what a person may do: that is in `rollouts.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec.structs import replace

from edgewise.core.errors import ConfigError
from edgewise.core.release import Release
from edgewise.node.delivery import stages
from edgewise.node.delivery.audit import Audit
from edgewise.node.delivery.course import Channels, Rollout
from edgewise.node.delivery.roster import Node, Roster
from edgewise.node.delivery.shelf import Shelf
from edgewise.node.store.database import Database

FORGET = 90 * 86_400.0  # s after which a node that was not seen holds no old version back
TROUBLED = 0.1  # share of a channel's nodes that may put a wide release back before it is paused
GUARD = "guard"


class Turns:
    """Every method joins an open transaction. `trust()` is the site's trust of now."""

    def __init__(
        self, database: Database, roster: Roster, channels: Channels, shelf: Shelf, audit: Audit, trust: Callable[[], bytes]
    ) -> None:
        self._database, self._roster, self._channels, self._shelf, self._audit = database, roster, channels, shelf, audit
        self._trust = trust

    def tick(self, now: float) -> None:
        for rollout in self._channels.rollouts():
            if rollout.stage == "canary":
                self._judge(rollout, now)
            elif rollout.stage == "wide":
                self._spread(rollout, now)

    def _judge(self, rollout: Rollout, now: float) -> None:
        if not rollout.canaries:
            with self._database.transaction():
                rollout = self.with_canaries(rollout, now)
                if rollout.canaries:
                    self._channels.write(rollout)
                    self._roster.look(rollout.plan.channel, rollout.canaries)
        found = stages.outcome(rollout.plan, [self._candidate(rollout, name, now) for name in rollout.canaries])
        if found.kind == "before":
            rollout, found = self._others(rollout, found, now)
        if found.kind == "wait":
            if found.sentence != rollout.sentence:
                self._channels.write(replace(rollout, sentence=found.sentence))
        elif found.kind == "broken":
            barrier = self.barrier(rollout, now)
            if barrier:
                words = f"{found.sentence} {barrier}."
                self.turn(replace(rollout, stage="paused", before="canary", sentence=words), GUARD, "pause", now)
            else:
                self.reverted(rollout, GUARD, now, found.sentence)
        else:
            release = self._shelf.get(rollout.plan.release)
            with self._database.transaction():
                own = self._channels.own(rollout.plan.channel, rollout.model)
                self._channels.set(rollout.plan.channel, rollout.model, own, release.floor if release is not None else 1)
                for name in rollout.canaries:
                    node = self._roster.node(name)
                    if node is not None:
                        kept = {**node.kept, rollout.model: rollout.plan.release}
                        self._roster.put(replace(node, bump=True, kept=kept))
                self.turn(replace(rollout, stage="wide", sentence=found.sentence), GUARD, "wide", now)

    def _others(self, rollout: Rollout, found: stages.Outcome, now: float) -> tuple[Rollout, stages.Outcome]:
        """All canaries had the version in use before: others try it, or, where nobody is without it, there is nothing to try."""
        release = self._shelf.get(rollout.plan.release)
        without = [
            node.node
            for node in self._roster.of(rollout.plan.channel)
            if node.node not in rollout.canaries
            and ((said := node.said.get(rollout.model)) is None or release is None or said.running != release.address)
        ]
        more = self._drawn(rollout, without, now)
        if not more:
            return rollout, stages.Outcome("good", found.sentence)
        with self._database.transaction():
            rollout = replace(rollout, canaries=(*rollout.canaries, *more))
            self._channels.write(rollout)
            self._roster.look(rollout.plan.channel, more)
        return rollout, stages.Outcome("wait", f"{found.sentence} Others try it: {', '.join(more[:3])}.")

    def _spread(self, rollout: Rollout, now: float) -> None:
        """A wide release: done when every node that is online runs it."""
        plan, model = rollout.plan, rollout.model
        release = self._shelf.get(plan.release)
        if release is None:
            return
        nodes = self._roster.of(plan.channel)
        back = [n.node for n in nodes if plan.release in n.refused.get(model, ())]
        there = [n.node for n in nodes if (said := n.said.get(model)) is not None and said.running == release.address]
        lacking = [n.node for n in nodes if n.node not in {*there, *back} and self._roster.away(n.node, now) == 0]
        if len(back) > max(1, TROUBLED * len(nodes)):
            words = f"{len(back)} of {len(nodes)} nodes put it back: {', '.join(back[:3])}."
            self.turn(replace(rollout, stage="paused", before="wide", sentence=words), GUARD, "pause", now)
        elif there and not lacking:
            rest = len(nodes) - len(there) - len(back)
            words = f"{len(there)} nodes run it; {rest} are offline and follow; {len(back)} keep the version before."
            with self._database.transaction():
                self._channels.set(plan.channel, model, plan.release, release.floor)
                self.turn(replace(rollout, stage="done", sentence=words), GUARD, "done", now)
            self.retire(now)
        else:
            words = f"{len(there)} of {len(nodes)} nodes run it; online and not yet: {', '.join(lacking[:3]) or 'none'}."
            if words != rollout.sentence:
                self._channels.write(replace(rollout, sentence=words))

    def _candidate(self, rollout: Rollout, name: str, now: float) -> stages.Candidate:
        node, release = self._roster.node(name), self._shelf.get(rollout.plan.release)
        away = min(self._roster.away(name, now), max(0.0, now - rollout.since))
        if node is None or release is None or rollout.model not in node.said:
            return stages.Candidate(name, away)
        said = node.said[rollout.model]
        if rollout.plan.release in node.refused.get(
            rollout.model, ()
        ):  # its last word may be of the version that it went back to
            why = said.sentence if said.release == rollout.plan.release else "It went back to another version."
            return stages.Candidate(name, away, "reverted", why)
        if node.assigned.get(rollout.model) != rollout.plan.release or said.release != rollout.plan.release:
            return stages.Candidate(name, away)  # it was not told yet, or said nothing of this version
        if said.sequence < node.began.get(rollout.model, 0):
            return stages.Candidate(name, away)  # before this rollout
        return stages.Candidate(name, away, said.step, said.sentence, said.running == release.address, said.health)

    def with_canaries(self, rollout: Rollout, now: float) -> Rollout:
        """Canaries are chosen among the nodes that are online, or among all where none is."""
        names = [node.node for node in self._roster.of(rollout.plan.channel)]
        return replace(rollout, canaries=self._drawn(rollout, names, now))

    def _drawn(self, rollout: Rollout, names: list[str], now: float) -> tuple[str, ...]:
        online = [name for name in names if self._roster.away(name, now) == 0]
        return stages.canaries(rollout.plan.release, online or names, rollout.plan.canary)

    def afresh(self, channel: str, model: str, digest: str) -> None:
        """A release that is started again is tried again where it was put back."""
        for node in self._roster.of(channel):
            refused = tuple(d for d in node.refused.get(model, ()) if d != digest)
            kept = {m: d for m, d in node.kept.items() if (m, d) != (model, digest)}
            if refused != node.refused.get(model, ()) or kept != node.kept:
                self._roster.put(replace(node, refused={**node.refused, model: refused}, kept=kept))

    def barrier(self, rollout: Rollout, now: float) -> str:
        """Why there is no way back; empty: there is one, for some node at least. It asks what a device would refuse as well."""
        older = self._shelf.get(rollout.previous)
        channel, name = rollout.plan.channel, f"{rollout.model} {rollout.version}"
        if older is None:
            return f"There is no version before {name} in the channel {channel}"
        floor = self._channels.floor(channel, rollout.model)
        if older.version < floor:
            return f"{name} cannot go back to {older.version}: it set the floor to {floor}"
        if not self._shelf.holds(rollout.previous):
            return f"The files of {rollout.model} {older.version} are no longer here"
        refused = self._shelf.refused(rollout.previous, self._trust(), now)
        if refused:
            return f"Devices would refuse {rollout.model} {older.version}: {refused}"
        if now >= older.expires and not self._holding(rollout, older):
            return (
                f"{rollout.model} {older.version} has ended, and no node of the channel {channel} has it: publish its files anew"
            )
        return ""

    def _holding(self, rollout: Rollout, older: Release) -> bool:
        """Whether any node holds the version before (what has ended is refused only where it would have to be fetched)."""
        model, nodes = rollout.model, self._roster.of(rollout.plan.channel)
        return not nodes or any(older.address in (*n.ever.get(model, ()), n.origin.get(model, "")) for n in nodes)

    def before(self, channel: str, release: Release) -> str:
        """What most nodes of a channel without an own release of this model run; ConfigError where there are nodes and no answer.

        Only a release that was published here, and is none above this one, is an answer: a revert leads there.
        """
        here = {
            r.address: digest for digest in self._shelf.digests() if (r := self._shelf.get(digest)) and r.name == release.name
        }
        nodes, found = self._roster.of(channel), Counter[str]()
        for node in nodes:
            said = node.said.get(release.name)
            digest = here.get(said.running, "") if said is not None else ""
            for known in (digest, node.assigned.get(release.name, "")):
                older = self._shelf.get(known)
                if older is not None and older.version < release.version and self._shelf.holds(known):
                    found[known] += 1
                    break
        if nodes and not found:
            raise ConfigError(
                f"nobody knows what the nodes of {channel} run of {release.name}, so there is no way back",
                got=", ".join(node.node for node in nodes[:3]),
                hint="Publish what they have with --own, and begin the rollout again.",
            )
        return found.most_common(1)[0][0] if found else ""

    def brought(self, node: Node, channel: str) -> None:
        """A node comes into a channel: where that has no own release of a model, the one of the channel that it left is it."""
        there = self._channels.courses(channel)
        for model, own in self._channels.courses(node.channel).own.items():
            if not own or there.own.get(model):
                continue
            release, rollout = self._shelf.get(own), there.rollouts.get(model)
            if release is None or (rollout is not None and release.version >= rollout.version):
                continue
            self._channels.carry(channel, model, own, self._channels.floor(node.channel, model))
            if rollout is not None and rollout.open and not rollout.previous:
                self._channels.write(replace(rollout, previous=own))
            self._roster.look(channel)

    def reverted(self, rollout: Rollout, by: str, now: float, sentence: str) -> Rollout:
        with self._database.transaction():
            floor = self._channels.floor(rollout.plan.channel, rollout.model)
            self._channels.set(rollout.plan.channel, rollout.model, rollout.previous, floor)
            return self.turn(replace(rollout, stage="reverted", sentence=sentence), by, "revert", now)

    def turn(self, rollout: Rollout, by: str, what: str, now: float) -> Rollout:
        """A rollout enters a stage."""
        rollout = replace(rollout, since=now)
        with self._database.transaction():
            self._channels.write(rollout)
            self._roster.look(rollout.plan.channel)
            self._audit.add(now, by, what, f"{rollout.plan.channel} {rollout.model} {rollout.version}", rollout.sentence)
        return rollout

    def retire(self, now: float) -> None:
        """Let go of versions that nobody needs."""
        seen = self._roster.last_seen()
        nodes = [n for n in self._roster.of() if now - seen.get(n.node, n.joined) < FORGET]
        rollouts = self._channels.rollouts()
        protected = {c[2] for c in self._channels.all()} | {d for r in rollouts for d in (r.plan.release, r.previous)}
        protected |= {digest for node in nodes for digest in node.assigned.values()}
        addresses = {said.running for node in nodes for said in node.said.values()}
        with self._database.transaction():
            for release in self._shelf.retire(protected, addresses):
                self._audit.add(now, GUARD, "retire", f"{release.name} {release.version}", "No node runs it.")
        self._shelf.sweep()
