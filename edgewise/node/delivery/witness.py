"""What a server makes of a node's report: the roster is written, and what concerns that node alone is decided here.

    reverted, failed     of the release it is to run: the node keeps the one before
    trial, watched       once the release is wide: the guard holds, and the node hears that its version is kept; or it is broken,
                         and this node goes back
    another version      than it was ever given: it is recorded as diverged, and gets its assignment again

A report is never an error to who sent it: what cannot be is refused, written down (`audit.py`), and counted.
"""

from __future__ import annotations

from msgspec.structs import replace

from edgewise.core.errors import FrameError
from edgewise.core.rollout import Plan, Report
from edgewise.node.delivery.audit import Audit
from edgewise.node.delivery.course import Channels, Rollout
from edgewise.node.delivery.roster import Node, Roster, Said
from edgewise.node.delivery.shelf import Shelf
from edgewise.node.delivery.stages import verdict, watched
from edgewise.node.delivery.words import unpack_report

AGAIN = 60.0  # s between two assignments for a node that diverged
FARTHEST = 1 << 50  # sequences that are believed
REFUSED = 8
MODELS = 16
_PLAIN = Plan("-", "0" * 64, window=60.0)  # what a version that came without a rollout must outlive


class Witness:
    """Joins an open transaction."""

    def __init__(self, roster: Roster, channels: Channels, shelf: Shelf, audit: Audit) -> None:
        self._roster, self._channels, self._shelf, self._audit = roster, channels, shelf, audit
        self.refused = 0

    def read(self, data: Report | bytes, name: str, now: float) -> Report | None:
        """The report in an item of node `name` (empty: whoever it says); None where it is none."""
        try:
            report = unpack_report(data) if isinstance(data, bytes) else data
        except FrameError as error:
            self._refuse(name or "?", "report", str(error), now)
            return None
        if name and report.node != name:
            self._refuse(name, report.node, "It reports under another node's name.", now)
            return None
        return report

    def take(self, report: Report, node: Node, now: float) -> None:
        """Write down what a node says, and what follows from it."""
        model, mine = report.name, node.assigned.get(report.name) == report.release
        if report.step in ("refused", "reverted", "failed", "good"):
            self._audit.bounded(now, node.node, f"node {report.step}", f"{model} {report.version}", report.sentence)
        if report.step == "refused" and not mine:  # no release that it is to run: it tells only how far its numbers are
            ahead = self._ahead(node, report)
            if ahead is not node:
                self._roster.put(ahead, 0.0)
            return
        if model not in node.said and len(node.said) >= MODELS:
            self._refuse(node.node, model, "It reports of more models than there can be.", now)
            return
        node = self._matched(self._ahead(self._with(node, report, now), report), report, now)
        renew = 0.0 if node.bump else None
        if mine and report.sequence >= node.began.get(model, 0):
            rollout = self._channels.courses(node.channel).rollouts.get(model)
            node, renew = self._follows(node, rollout, report, now, renew)
        self._roster.put(node, renew)

    def _follows(
        self, node: Node, rollout: Rollout | None, report: Report, now: float, renew: float | None
    ) -> tuple[Node, float | None]:
        """What a report on the very release that the node is to run means for it."""
        model, release = report.name, report.release
        if report.step in ("reverted", "failed"):
            refused = (*node.refused.get(model, ())[-REFUSED + 1 :], release)
            return replace(node, refused={**node.refused, model: refused}), 0.0
        mine = rollout if rollout is not None and rollout.plan.release == release else None
        if report.step != "trial" or report.health is None or (mine is not None and mine.stage in ("canary", "paused")):
            return node, renew
        plan = mine.plan if mine is not None else _PLAIN
        broken = verdict(plan, report.health).broken
        if broken:
            self._audit.add(now, "guard", "revert node", f"{node.node} {model} {report.version}", "; ".join(broken))
            refused = (*node.refused.get(model, ())[-REFUSED + 1 :], release)
            return replace(node, refused={**node.refused, model: refused}), 0.0
        if watched(plan, report.health) and report.sequence >= node.sequence:
            return replace(node, bump=True, kept={**node.kept, model: release}), 0.0
        return node, renew

    def _with(self, node: Node, report: Report, now: float) -> Node:
        before, health = node.said.get(report.name), report.health
        if health is None and before is not None and before.release == report.release and report.step in ("trial", "good"):
            health = before.health if before.sequence >= node.began.get(report.name, 0) else None
        said = Said(report.running, report.release, report.version, report.step, report.sequence, now, report.sentence, health)
        return replace(node, said={**node.said, report.name: said})

    def _matched(self, node: Node, report: Report, now: float) -> Node:
        """Whether it can be what it says that it runs."""
        model, running = report.name, report.running
        known = self._shelf.get(report.release)
        if known is not None and (known.name, known.version) != (model, report.version):
            sentence = f"It calls {known.name} {known.version} {model} {report.version}."
        elif not running or running in node.ever.get(model, ()) or running == node.origin.get(model, running):
            origin = {**node.origin, model: node.origin.get(model, running)} if running else node.origin
            return replace(node, diverged="", origin=origin)
        else:
            sentence = f"It runs {running[:12]}, which it was never given."
        if not node.diverged:
            self._audit.bounded(now, node.node, "node diverged", f"{model} {report.version}", sentence)
        if not 0 <= now - node.again < AGAIN:
            return replace(node, diverged=sentence, again=now, bump=True)
        return replace(node, diverged=sentence)

    def _ahead(self, node: Node, report: Report) -> Node:
        """A node that knows a later number than this server (which was set back to a copy) needs one above it."""
        if node.sequence < report.sequence < FARTHEST:
            return replace(node, sequence=report.sequence, bump=True)
        return node

    def _refuse(self, who: str, subject: str, sentence: str, now: float) -> None:
        self.refused += 1
        self._audit.bounded(now, who, "report refused", subject, sentence)
