"""What was taken back opens nothing: on the next connection, and on the one that is open."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from edgewise.core.errors import IdentityError, LinkError
from edgewise.net.certificates import DAY, facts
from edgewise.net.connect import connect
from edgewise.net.identity import issue, make_authority, read_certificate, server_context
from edgewise.net.listen import Listener, Peer
from edgewise.net.revocation import Revocations, issued, read_revoked, revoke
from edgewise.net.transport import Transport


async def echo(transport: Transport, peer: Peer) -> None:
    while True:
        await transport.send(await transport.receive())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_authority(tmp_path)
    return tmp_path


def test_a_name_is_taken_back_with_every_certificate_that_it_was_given(folder: Path) -> None:
    ours = [facts(read_certificate(issue(folder, "pi-07", "device").certificate)).serial for _ in range(3)]
    other = facts(read_certificate(issue(folder, "pi-08", "device").certificate)).serial
    issue(folder, "pi-07", "device", days=1, now=time.time() - 100 * DAY)  # ended long ago: not worth a line
    assert set(revoke(folder, "pi-07", time.time())) == set(ours)
    assert read_revoked(folder) == set(ours)
    assert other not in read_revoked(folder)
    with pytest.raises(IdentityError, match="already"):
        revoke(folder, "pi-07", time.time())
    with pytest.raises(IdentityError, match="no certificate"):
        revoke(folder, "nobody", time.time())
    again = facts(read_certificate(issue(folder, "pi-07", "device").certificate)).serial
    assert again not in read_revoked(folder)  # the name may be given anew


def test_the_list_is_read_anew_when_it_changes_and_a_damaged_one_changes_nothing(folder: Path) -> None:
    void = Revocations(folder)
    assert void() == frozenset()
    serial = facts(read_certificate(issue(folder, "pi-07", "device").certificate)).serial
    revoke(folder, "pi-07", time.time())
    assert void() == {serial}
    (folder / "revoked").write_bytes(b"no number at all\n\xff")
    assert void() == {serial}
    with pytest.raises(IdentityError, match=r"damaged|cannot be read"):
        Revocations(folder)  # a server does not start with a list that it cannot read
    (folder / "revoked").write_text("# a remark\n\nab12 by hand\n")
    assert void() == {"ab12"}


def test_a_torn_last_line_of_the_record_is_no_certificate(folder: Path) -> None:
    issue(folder, "pi-07", "device")
    path = folder / "issued"
    path.write_bytes(path.read_bytes() + b'{"node":"pi-')
    assert [of.node for of in issued(folder)] == ["pi-07"]
    path.write_bytes(b"torn\n" + path.read_bytes())
    with pytest.raises(IdentityError, match="line 1"):
        issued(folder)


async def test_a_revoked_device_is_cut_within_a_second_and_never_let_in_again_and_its_neighbour_stays(folder: Path) -> None:
    edge, bad, good = (issue(folder, "edge", "edge"), issue(folder, "stolen", "device"), issue(folder, "good", "device"))
    told: list[tuple[str, str]] = []
    listener = Listener(
        echo, server_context(edge), revoked=Revocations(folder), on_refused=lambda kind, sentence: told.append((kind, sentence))
    )
    await listener.start("127.0.0.1")
    links = [await connect(f"127.0.0.1:{listener.port}", who) for who in (bad, good)]
    revoke(folder, "stolen", time.time())
    began = time.monotonic()
    with pytest.raises(LinkError):
        await links[0].receive()
    cut = time.monotonic() - began
    with pytest.raises(IdentityError, match="taken back"):
        await connect(f"127.0.0.1:{listener.port}", bad)
    await links[1].send(b"still here")
    assert await links[1].receive() == b"still here"
    assert (listener.counts["cut revoked"], listener.counts["refused revoked"]) == (1, 1)
    assert [kind for kind, _ in told] == ["cut revoked", "refused revoked"]
    assert all("stolen" in sentence for _, sentence in told)
    await asyncio.gather(*(link.close() for link in links))
    await listener.close()
    assert cut < 30  # no race with a busy machine here; WATCH is what promises a second


def test_the_promise_of_a_second_is_kept_by_how_often_the_door_looks() -> None:
    from edgewise.net.listen import WATCH

    assert WATCH <= 0.5
