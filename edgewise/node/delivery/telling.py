"""What a server tells each node: its assignment, signed for it alone, with the releases that this names and the trust.

A new number is used only when something changes, when the node needs to hear that its version is kept, or when half of the
assignment's life is over. What was signed is written down before it is sent, so no number ever stands for two assignments.
Packed bytes are kept, so telling a thousand nodes that nothing changed costs a look-up each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec.structs import replace

from edgewise.core.release import Assignment, Envelope, pack
from edgewise.node.delivery.course import Channels, Courses
from edgewise.node.delivery.news import News, pack_news
from edgewise.node.delivery.roster import Node, Roster
from edgewise.node.delivery.shelf import Shelf
from edgewise.node.store.database import Database

LIFE = 86_400.0  # s
EVER = 32  # addresses of a model that a node's row remembers
log = logging.getLogger("edgewise.delivery")

Sign = Callable[[Assignment], Envelope]


class Teller:
    """`sign` signs an assignment with the channel's key."""

    def __init__(
        self, database: Database, roster: Roster, channels: Channels, shelf: Shelf, sign: Sign, trust: bytes, life: float
    ) -> None:
        self._database, self._roster, self._channels, self._shelf = database, roster, channels, shelf
        self._sign, self._life = sign, life
        self.trust = trust
        self.signed = 0
        self._packed: dict[str, tuple[int, bytes, bytes]] = {}  # node -> sequence, trust, news

    def news(self, name: str, now: float) -> bytes | None:
        """The news of a node; the same object again while nothing changed. None: it is to run nothing that is published."""
        due = self._roster.due(name)
        known = self._packed.get(name)
        if due is not None and due > now + self._life:
            due = 0.0  # a clock was wrong
        if due is not None and now < due and known is not None and known[1] is self.trust:
            return known[2]
        node = self._roster.node(name)
        if node is None:
            return None
        if due is None or now >= due:
            node = self.prepare(node, self._channels.courses(node.channel), now)
        return self._packed_for(node) if node.envelope and node.assigned else None

    def prepare(self, node: Node, courses: Courses, now: float) -> Node:
        """The node with an assignment that says what it is to run now: the one that it has, or a new one."""
        targets = courses.targets(node)
        aged = not 0 <= node.expires - now - self._life / 2 <= self._life
        if not targets:
            self._roster.put(node, renew=now + self._life / 2)
            return node
        if targets == node.assigned and not node.bump and not aged and node.envelope:
            self._roster.put(node, renew=node.expires - self._life / 2)
            return node
        sequence, expires = node.sequence + 1, now + self._life
        kept = tuple(m for m, r in sorted(targets.items()) if node.kept.get(m) == r)
        envelope = self._sign(Assignment(node.node, node.channel, sequence, targets, now, expires, kept))
        began = {m: node.began.get(m, sequence) if node.assigned.get(m) == r else sequence for m, r in targets.items()}
        new = replace(
            node,
            sequence=sequence,
            assigned=targets,
            began=began,
            ever={**node.ever, **{m: self._ever(node, m, r) for m, r in targets.items()}},
            bump=False,
            expires=expires,
            envelope=pack(envelope),
        )
        with self._database.transaction():
            self._roster.put(new, renew=expires - self._life / 2)
        self.signed += 1
        self.forget(node.node)
        return new

    def prepare_waiting(self, now: float) -> int:
        """Sign what is due for all nodes that are online, in one transaction; how many."""
        names = self._roster.waiting(now, now + self._life)
        if not names:
            return 0
        courses: dict[str, Courses] = {}
        with self._database.transaction():
            for name in names:
                node = self._roster.node(name)
                if node is not None:
                    if node.channel not in courses:
                        courses[node.channel] = self._channels.courses(node.channel)
                    self.prepare(node, courses[node.channel], now)
        return len(names)

    def forget(self, name: str) -> None:
        self._packed.pop(name, None)

    def _packed_for(self, node: Node) -> bytes:
        known = self._packed.get(node.node)
        if known is not None and known[0] == node.sequence and known[1] is self.trust:
            return known[2]
        releases = []
        for digest in dict.fromkeys(node.assigned.values()):
            envelope = self._shelf.envelope(digest)
            if envelope is None:
                log.error("release %s is assigned to %s and is not in the database", digest[:12], node.node)
            else:
                releases.append(envelope)
        data = pack_news(News(node.envelope, tuple(releases), self.trust))
        self._packed[node.node] = (node.sequence, self.trust, data)
        return data

    def _ever(self, node: Node, model: str, digest: str) -> tuple[str, ...]:
        release = self._shelf.get(digest)
        held = node.ever.get(model, ())
        if release is None or release.address in held:
            return held
        return (*held[-EVER + 1 :], release.address)
