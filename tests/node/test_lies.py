"""Devices with good certificates that lie: about who they are, by one name twice, and about other nodes' versions."""

from __future__ import annotations

from msgspec.structs import replace

from edgewise.core.release import Assignment, Envelope, FileEntry, Key, Release, Trust, pack
from edgewise.core.rollout import Health, Report
from edgewise.net.frame import Kind, decode
from edgewise.net.messages import Hello, Refusal, Stream, unpack
from edgewise.net.session import DeviceSession
from edgewise.net.signing import public, sign
from edgewise.node.delivery.rollouts import Rollouts
from edgewise.node.delivery.words import pack_report
from edgewise.node.edge import Edge
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.disk import RealDisk

NOW = 1.8e9
STREAM = Stream(1, "a" * 64, "s4", "affine", 4, (1, 8, 23, 40), "float32")


def greets(edge: Edge, certificate: str, name: str) -> int:
    connection, session = edge.connected(certificate, 1.0), DeviceSession(Hello(name, "0", (STREAM,)))
    session.connected(1.0)
    for message in session.outgoing(1.0):
        edge.receive(connection, message, 1.0)
    return connection


def said(edge: Edge, connection: int) -> str:
    """The sentence with which the edge ended a connection."""
    messages = [decode(m, 1 << 20) for m in edge.outgoing(connection)]
    return " ".join(unpack(Refusal, payload).sentence for header, payload in messages if header.kind is Kind.BYE)


def test_a_name_that_is_not_on_the_certificate_opens_nothing() -> None:
    edge = Edge(lambda stream: None, lambda stream: stream.point)
    liar = greets(edge, "cam-1", "cam-2")
    assert "another name than its certificate" in said(edge, liar)
    assert edge.closed(liar)
    assert edge.totals()["refused hello"] == 1


def test_of_two_devices_with_one_name_the_later_stays_and_both_are_heard_of() -> None:
    edge = Edge(lambda stream: None, lambda stream: stream.point)
    first, second = greets(edge, "cam-1", "cam-1"), greets(edge, "cam-1", "cam-1")
    assert "a second device running under its name" in said(edge, first)
    assert edge.closed(first) and not edge.closed(second)
    assert edge.totals()["superseded"] == 1
    other = greets(edge, "cam-2", "cam-2")
    assert not edge.closed(other) and not edge.closed(second)


def test_a_report_about_another_node_or_of_nonsense_is_refused_audited_and_changes_nothing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rollouts, release = site(RealDisk(tmp_path))
    for name in ("cam-1", "cam-2"):
        rollouts.seen(name, NOW)
        rollouts.news(name, NOW)
    before = rollouts.nodes()
    lie = Report("cam-2", NOW, "good", "vehicles", 1, release.digest, "f" * 64, health=Health(60.0, 100, 0))
    assert not rollouts.report(pack_report(lie), NOW, node="cam-1")
    assert not rollouts.report(b"\xc1 no report", NOW, node="cam-1")
    assert rollouts.nodes() == before
    heard = [(e.who, e.sentence) for e in rollouts.audit.last(2)]
    assert [who for who, _ in heard] == ["cam-1", "cam-1"]
    assert any("another node's name" in sentence for _, sentence in heard)
    assert rollouts.report(pack_report(replace(lie, node="cam-1")), NOW, node="cam-1")


def site(disk: RealDisk) -> tuple[Rollouts, Envelope]:
    """A server that holds one release, which its channel runs."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    root, pub, chan = (Ed25519PrivateKey.generate() for _ in range(3))
    keys = {"pub": Key(public(pub), "publisher"), "chan": Key(public(chan), "channel")}
    trust = pack(sign(Trust(1, NOW, NOW + 9e6, keys), {"root": root}))
    blobs = Blobs(disk)
    manifest = b"{}"
    blobs.put(manifest)
    import hashlib

    sha = hashlib.sha256(manifest).hexdigest()
    release = sign(Release("vehicles", 1, sha, {"manifest.json": FileEntry(sha, 2)}, NOW, NOW + 9e6), {"pub": pub})

    def assign(assignment: Assignment) -> Envelope:
        return sign(assignment, {"chan": chan})

    rollouts = Rollouts(disk.connect("server.db"), blobs, assign, trust)
    rollouts.publish(release, "ann", NOW)
    rollouts.adopt("main", release.digest, "ann", NOW)
    return rollouts, release
