"""The forged documents of `forged.py`, one line each: form, keys, time, numbers."""

from __future__ import annotations

from bench.forged import DAY, NOW, Attempt, Site, flipped, resigned
from edgewise.core.release import LARGEST_ENVELOPE, Envelope, Key, Signature, canonical, pack
from edgewise.net.signing import public

A, B = "alice", "bob"
ENTRY = {"sha256": "a" * 64, "size": 10}


def _release(site: Site) -> Envelope:
    return site.signed(site.running, A, B)


def _form(site: Site, payload: bytes) -> None:
    site.take_assigned(site.raw(payload, A, B))


def _field(**changed: object) -> Attempt:
    """A release with one field that is none, truly signed and assigned."""
    return lambda site: site.take_assigned(site.altered(site.running, A, B, **changed))


FORM: dict[str, Attempt] = {
    "nothing at all": lambda s: s.take_release(b""),
    "noise": lambda s: s.take_release(b"\xc1\x00\xff" * 30),
    "an envelope cut in half": lambda s: s.take_release(pack(_release(s))[:100]),
    "bytes behind the envelope": lambda s: s.take_release(pack(_release(s)) + b"\x00"),
    "an envelope above all bounds": lambda s: s.take_release(b"\x00" * (LARGEST_ENVELOPE + 1)),
    "a payload above all bounds": lambda s: s.take_release(s.raw(b" " * (LARGEST_ENVELOPE + 1), A, B)),
    "no signature": lambda s: s.take_release(resigned(_release(s), signatures=())),
    "seventeen signatures": lambda s: s.take_release(resigned(_release(s), signatures=_release(s).signatures[:1] * 17)),
    "a signature of 63 bytes": lambda s: s.take_release(resigned(_release(s), signatures=(Signature(A, b"\x00" * 63),))),
    "a payload cut short": lambda s: s.take_release(resigned(_release(s), payload=_release(s).payload[:-20])),
    "a release in an assignment's place": lambda s: s.take_assignment(s.signed(s.running, "yard")),
    "an assignment in a release's place": lambda s: s.take_release(s.signed(s.assigned, A, B)),
    "an assignment in a trust's place": lambda s: s.take_trust(s.signed(s.assigned, "root")),
    "spaces in the JSON": lambda s: _form(s, canonical(s.running).replace(b'":', b'": ')),
    "another order of fields": lambda s: _form(s, b'{"version":7,' + canonical(s.running)[1:].replace(b',"version":7', b"")),
    "a field twice": lambda s: _form(s, b'{"version":8,' + canonical(s.running)[1:]),
    "an unknown field": _field(run="rm"),
    "a mark of byte order": lambda s: _form(s, b"\xef\xbb\xbf" + canonical(s.running)),
    "text that is no UTF-8": lambda s: _form(s, canonical(s.running).replace(b"vehicles", b"vehicl\xff\xfe")),
    "a hundred thousand brackets": lambda s: _form(s, b"[" * 100_000),
    "a time that is no number": lambda s: _form(s, canonical(s.running).replace(b'"expires":', b'"expires":NaN,"was":')),
    "a version that is no whole number": _field(version=7.5),
    "a version above all numbers": _field(version=2**60),
    "a file outside its folder": _field(files={"../../etc/passwd": ENTRY}),
    "a file at the root": _field(files={"/etc/passwd": ENTRY}),
    "a file with a separator of another system": _field(files={"..\\x": ENTRY}),
    "a hidden file": _field(files={".profile": ENTRY}),
    "a file with a name of 4,000 letters": _field(files={"x" * 4000: ENTRY}),
    "a hash that is none": _field(files={"manifest.json": {"sha256": "xyz", "size": 10}}),
    "a size below nothing": _field(files={"manifest.json": {"sha256": "a" * 64, "size": -1}}),
    "a size above all disks": _field(files={"manifest.json": {"sha256": "a" * 64, "size": 1 << 60}}),
    "no files": _field(files={}),
    "a thousand files": _field(files={f"f{i}": ENTRY for i in range(1000)}),
    "a model with a path for a name": _field(name="../vehicles"),
    "an end before its beginning": _field(issued=NOW + DAY, expires=NOW + 1),
}


def _swap(site: Site) -> None:
    """True signatures of a release under another payload."""
    other = canonical(site.release(address="b" * 64))
    site.take_assigned(resigned(_release(site), payload=other))


def _half(site: Site) -> None:
    good, bad = _release(site).signatures
    site.take_release(resigned(_release(site), signatures=(good, Signature(bad.key, flipped(bad.value)))))


def _removed(site: Site) -> None:
    """By the key that trust 4 named and trust 5 does not."""
    site.take_assigned(site.signed(site.release(version=8), A, "gone"))


def _named(site: Site, name: str, by: str) -> Envelope:
    """Signed by one key under the id of another."""
    given = site.signed(site.running, by)
    return resigned(given, signatures=(Signature(name, given.signatures[0].value), *site.signed(site.running, B).signatures))


KEYS: dict[str, Attempt] = {
    "a bit of the payload turned over": lambda s: s.take_release(resigned(_release(s), payload=_mended(s))),
    "a bit of a signature turned over": _half,
    "true signatures over another payload": _swap,
    "a key that nobody named": lambda s: s.take_release(s.signed(s.running, A, "mallory")),
    "a stranger's signature under a publisher's name": lambda s: s.take_release(_named(s, A, "mallory")),
    "one publisher's signature under another's name": lambda s: s.take_release(_named(s, A, B)),
    "a release by a channel's key": lambda s: s.take_release(s.signed(s.running, A, "yard")),
    "a release by the root": lambda s: s.take_release(s.signed(s.running, "root")),
    "an assignment by a publisher": lambda s: s.take_assignment(s.signed(s.assignment(sequence=11), A)),
    "an assignment by the root": lambda s: s.take_assignment(s.signed(s.assignment(sequence=11), "root")),
    "an assignment by another channel's key": lambda s: s.take_assignment(s.signed(s.assignment(sequence=11), "gate")),
    "a release by the publisher of another model": lambda s: s.take_release(s.signed(s.running, A, "carol")),
    "a trust by a publisher": lambda s: s.take_trust(s.signed(s.trust(version=6), A)),
    "a trust by a channel's key": lambda s: s.take_trust(s.signed(s.trust(version=6), "yard")),
    "a trust by a stranger who calls itself root": lambda s: s.take_trust(
        resigned(g := s.signed(s.trust(version=6), "mallory"), signatures=(Signature("root", g.signatures[0].value),))
    ),
    "a trust by another site's root": lambda s: s.take_trust(Site().signed(s.trust(version=6), "root")),
    "one publisher where two are needed": lambda s: s.take_release(s.signed(s.running, A)),
    "one publisher's signature twice": lambda s: s.take_release(
        resigned(g := s.signed(s.running, A), signatures=g.signatures * 2)
    ),
    "one publisher's key under two names": lambda s: s.take_release(s.signed(s.running, A, "alias")),
    "a publisher whom the new trust does not name": _removed,
    "signatures of another domain": lambda s: s.take_release(s.raw(canonical(s.running), A, B, domain=b"edgewise token\n")),
    "signatures without a domain": lambda s: s.take_release(s.raw(canonical(s.running), A, B, domain=b"")),
    "a new root that the old one alone signed": lambda s: s.take_trust(
        s.signed(s.trust(version=6, root=public(s.keys["next"])), "root")
    ),
    "a new root that it alone signed": lambda s: s.take_trust(
        resigned(
            g := s.signed(s.trust(version=6, root=public(s.keys["next"])), "next"),
            signatures=(Signature("root", g.signatures[0].value),),
        )
    ),
    "a trust that gives the root's name away": lambda s: s.take_trust(
        s.signed(s.trust(version=6, keys={"root": Key(public(s.keys["mallory"]), "publisher")}), "root")
    ),
}


def _mended(site: Site) -> bytes:
    """A changed address: still canonical, still a release."""
    return canonical(site.release(address="b" + "a" * 63))


def _at(now: float, document: Attempt) -> Attempt:
    def attempt(site: Site) -> None:
        site.now = now
        document(site)

    return attempt


def _old(site: Site) -> None:
    site.take_assigned(site.signed(site.release(version=8, issued=NOW - 9 * DAY, expires=NOW - 1), A, B))


TIME: dict[str, Attempt] = {
    "a release that has ended": _old,
    "a release that has ended, and the clock stands in 1970": _at(0.0, _old),
    "an assignment that has ended": lambda s: s.take_assignment(s.signed(s.assignment(sequence=11, expires=NOW), "yard")),
    "an assignment that ended before the trust began, and the clock stands in 1970": _at(
        0.0, lambda s: s.take_assignment(s.signed(s.assignment(sequence=11, issued=NOW - DAY, expires=NOW - 1), "yard"))
    ),
    "a trust that has ended": lambda s: s.take_trust(s.signed(s.trust(version=6, expires=NOW), "root")),
    "an assignment after the trust's end": lambda s: s.take_assignment(
        s.signed(s.assignment(sequence=11, issued=NOW + 401 * DAY, expires=NOW + 402 * DAY), "yard")
    ),
    "a release once its assignment has ended": _at(NOW + 2 * DAY, lambda s: s.take_release(_release(s))),
    "a release once the trust has ended": _at(NOW + 401 * DAY, lambda s: s.take_release(_release(s))),
    "anything at all while the clock stands in 2100": _at(
        4.1e9, lambda s: s.take_assignment(s.signed(s.assignment(sequence=11), "yard"))
    ),
}


def _first(site: Site, what: Attempt) -> None:
    """On a node that knows nothing yet."""
    site.node = site.fresh()
    what(site)


def _two_models(site: Site) -> None:
    """Version 7 of the model where the assignment names version 8: a mix of two states of the site."""
    other = site.signed(site.release(version=8), A, B)
    site.node.assignment(site.signed(site.assignment(sequence=11, releases={"vehicles": other.digest}), "yard"), NOW)
    site.take_release(_release(site))


def _renamed(site: Site) -> None:
    """The release is assigned, under the name of another model."""
    given = _release(site)
    site.node.assignment(site.signed(site.assignment(sequence=11, releases={"persons": given.digest}), "yard"), NOW)
    site.take_release(given)


NUMBERS: dict[str, Attempt] = {
    "an older assignment again": lambda s: s.take_assignment(s.signed(s.assignment(sequence=9), "yard")),
    "the same sequence with other bytes": lambda s: s.take_assignment(
        s.signed(s.assignment(releases={"vehicles": "c" * 64}), "yard")
    ),
    "an older trust again": lambda s: s.take_trust(s.signed(s.trust(version=4), "root")),
    "the same version of trust with other bytes": lambda s: s.take_trust(s.signed(s.trust(threshold=1), "root")),
    "another node's assignment": lambda s: s.take_assignment(s.signed(s.assignment(sequence=11, node="cam-2"), "yard")),
    "a true release that is not assigned": lambda s: s.take_release(s.signed(s.release(version=8), A, B)),
    "an older release that is not assigned": lambda s: s.take_release(s.signed(s.release(version=6), A, B)),
    "one version where another is assigned": _two_models,
    "a release that is assigned to another model": _renamed,
    "a release below the floor": lambda s: s.take_assigned(s.signed(s.release(version=5, floor=1), A, B)),
    "a release before any assignment": lambda s: _first(s, lambda s: (s.take_trust(s.signed(s.trusted, "root")), _bare(s))[1]),
    "a release before any trust": lambda s: _first(s, lambda s: s.take_release(_release(s))),
    "an assignment before any trust": lambda s: _first(s, lambda s: s.take_assignment(s.signed(s.assigned, "yard"))),
}


def _bare(site: Site) -> None:
    site.take_release(_release(site))
