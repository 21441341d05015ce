"""Certificates in files: a pair is never torn by a power cut, and a clock in 1970 does not keep a device from its server."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import time
from pathlib import Path

import pytest

from edgewise.core.errors import IdentityError, LinkError
from edgewise.net.certificates import DAY, GRACE, Facts, due, facts, standing
from edgewise.net.connect import connect
from edgewise.net.identity import client_context, issue, load_identity, make_authority, read_certificate, server_context
from edgewise.net.listen import Listener, Peer
from edgewise.net.transport import Transport


async def echo(transport: Transport, peer: Peer) -> None:
    while True:
        await transport.send(await transport.receive())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_authority(tmp_path)
    issue(tmp_path, "edge", "edge")
    return tmp_path


def test_each_role_stands_in_its_certificate_and_only_an_edge_may_serve(folder: Path) -> None:
    for role in ("device", "edge", "operator", "federator"):
        identity = issue(folder, f"the-{role}", role)
        assert load_identity(folder, f"the-{role}") == identity
        of = facts(read_certificate(identity.certificate))
        assert (of.node, of.role) == (f"the-{role}", role)
        assert 89 * DAY < of.ends - time.time() < 91 * DAY
    with pytest.raises(IdentityError, match="unknown role"):
        issue(folder, "x", "root")  # type: ignore[arg-type]


def test_a_life_is_good_then_due_then_late_then_ended_and_never_goes_back() -> None:
    of = Facts("n", "device", "1", 1000.0, 1000.0 + 90 * DAY)
    order = ["good", "due", "late", "ended"]
    seen = [standing(of, day * DAY) for day in range(-30, 200)]
    assert [order.index(s) for s in seen] == sorted(order.index(s) for s in seen)
    assert set(seen) == set(order)
    assert not due(of, of.ends - 30.1 * DAY)
    assert due(of, of.ends - 29.9 * DAY)
    assert standing(of, of.ends + GRACE - 1) == "late"


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    make_authority(tmp_path, days=10)
    ends = facts(read_certificate(issue(tmp_path, "cam", "device", days=90).certificate)).ends
    assert ends <= facts(read_certificate(tmp_path / "authority.pem")).ends


def test_a_pair_that_a_power_cut_left_half_replaced_is_made_whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every state that the four steps of a replacement leave behind loads, as the old pair or the new one."""
    old = issue(folder, "cam", "device")
    beside = tmp_path_factory.mktemp("new")
    for name in ("authority.pem", "authority.key"):
        shutil.copy(folder / name, beside / name)
    new = issue(beside, "cam", "device")
    steps = [
        (new.certificate, ".cam.pem"),
        (new.key, ".cam.key"),
        (new.key, "cam.key"),
        (new.certificate, "cam.pem"),
    ]
    numbers = {p: facts(read_certificate(p)).serial for p in (old.certificate, new.certificate)}
    for done in range(5):
        for torn in (False, True) if done in (1, 2) else (False,):
            at = tmp_path_factory.mktemp("at")
            for file in ("cam.pem", "cam.key", "authority.pem"):
                shutil.copy(folder / file, at / file)
            for step, (source, target) in enumerate(steps[:done]):
                data = source.read_bytes()
                (at / target).write_bytes(data[: len(data) // 2] if torn and step == done - 1 else data)
                if step >= 2:
                    (at / f".{target}").unlink()
            loaded = load_identity(at, "cam")
            want = numbers[new.certificate] if done >= 3 else numbers[old.certificate]
            assert facts(read_certificate(loaded.certificate)).serial == want
            client_context(loaded)  # OpenSSL takes the pair
            assert not [p for p in at.iterdir() if p.name.startswith(".")]


async def _talk(folder: Path, device: str, clock: float | None, **of_listener: object) -> str:
    listener = Listener(echo, server_context(load_identity(folder, "edge")), **of_listener)  # type: ignore[arg-type]
    await listener.start("127.0.0.1")
    try:
        kwargs = {} if clock is None else {"clock": lambda: clock}
        context = client_context(load_identity(folder, device), **kwargs)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=context)
        writer.write(b"GET /link HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        return answer
    finally:
        await listener.close()


async def test_a_device_whose_clock_stands_in_1970_still_connects(folder: Path) -> None:
    issue(folder, "cam", "device")
    assert "426" in await _talk(folder, "cam", clock=0.0)  # let in, and told to speak WebSocket


async def test_a_clock_in_1970_does_not_bring_an_ended_server_back(folder: Path) -> None:
    issue(folder, "edge", "edge", now=time.time() - 200 * DAY)  # ended 110 days ago
    issue(folder, "cam", "device")
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        await _talk(folder, "cam", clock=0.0)


async def test_an_ended_server_is_refused_by_devices(folder: Path) -> None:
    issue(folder, "edge", "edge", days=1, now=time.time() - 2 * DAY)
    device = issue(folder, "cam", "device")
    listener = Listener(echo, server_context(load_identity(folder, "edge")))
    await listener.start("127.0.0.1")
    with pytest.raises(IdentityError, match=r"not to be trusted.*expired"):
        await connect(f"127.0.0.1:{listener.port}", device)
    await listener.close()


async def test_a_server_that_was_taken_back_is_refused_by_devices_that_know(folder: Path) -> None:
    serial = facts(read_certificate(folder / "edge.pem")).serial
    device = issue(folder, "cam", "device")
    listener = Listener(echo, server_context(load_identity(folder, "edge")))
    await listener.start("127.0.0.1")
    context = client_context(device, revoked=lambda: {serial})
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        await asyncio.open_connection("127.0.0.1", listener.port, ssl=context)
    await listener.close()


async def test_a_device_that_has_ended_is_told_so_and_one_from_the_future_is_not_its_fault(folder: Path) -> None:
    issue(folder, "late", "device", days=1, now=time.time() - 2 * DAY)
    issue(folder, "ahead", "device", now=time.time() + 2 * DAY)  # the server's clock lags
    assert "has expired" in await _talk(folder, "late", None)
    assert "426" in await _talk(folder, "ahead", None)


async def test_a_connection_ends_with_its_certificate(folder: Path) -> None:
    device, skew, told = issue(folder, "cam", "device", days=1), [0.0], list[tuple[str, str]]()
    listener = Listener(
        echo,
        server_context(load_identity(folder, "edge")),
        clock=lambda: time.time() + skew[0],
        on_refused=lambda kind, sentence: told.append((kind, sentence)),
    )
    await listener.start("127.0.0.1")
    link = await connect(f"127.0.0.1:{listener.port}", device)
    await link.send(b"x")
    assert await link.receive() == b"x"
    skew[0] = 1.5 * DAY
    with pytest.raises(LinkError):
        async with asyncio.timeout(10):
            await link.receive()
    await link.close()
    await listener.close()
    assert [kind for kind, _ in told] == ["cut expired"]
    assert "cam" in told[0][1]
