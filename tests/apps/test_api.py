"""The API over real TLS and loopback, with real certificates, tokens, rollouts and files: who may do what, and what is said."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from aiohttp import web

from edgewise.apps.vision.api import routes
from edgewise.apps.vision.fleet import Fleet, ReleaseRow
from edgewise.apps.vision.keys import device_identity, issue_node, operator_identity
from edgewise.apps.vision.operator import Operator
from edgewise.core.errors import IdentityError, LinkError
from edgewise.core.release import pack
from edgewise.core.rollout import Plan
from edgewise.net.identity import Identity, client_context, load_identity, server_context
from edgewise.net.listen import Listener
from edgewise.net.tokens import Tokens, make_token
from edgewise.net.transport import Transport
from edgewise.node.delivery.audit import Entry
from tests.delivery_site import T0, Site, health


class Doors:
    """A site with its TLS port and its page's port."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder)
        for name, role in (("cam-1", "device"), ("fed-1", "federator"), ("ben", "operator")):
            issue_node(self.site.keys, name, role)  # type: ignore[arg-type]
        self.tokens = {role: make_token(self.site.keys, role, role, T0) for role in ("viewer", "operator")}  # type: ignore[arg-type]

    async def open(self) -> None:
        async def nothing(transport: Transport, peer: object) -> None:
            return None

        context = server_context(load_identity(self.site.keys, "edge"))
        self.listener = Listener(nothing, context)  # type: ignore[arg-type]
        self.listener.app.add_routes(routes(self.site.delivery, self.listener.peer, None))
        self.port = await self.listener.start("127.0.0.1")
        app = web.Application()
        app.add_routes(routes(self.site.delivery, None, Tokens(self.site.keys, self.site.clock)))
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.page = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def close(self) -> None:
        await self.listener.close()
        await self.runner.cleanup()
        self.site.database.close()

    def identity(self, name: str) -> Identity:
        if name == "operator":
            return operator_identity(self.site.keys)
        folder = next(self.site.keys.glob(f"*s/{name}"))
        return device_identity(folder, name)

    def client(self, name: str) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=client_context(self.identity(name)))
        return aiohttp.ClientSession(f"https://127.0.0.1:{self.port}", connector=connector)

    def operator(self, name: str = "operator") -> Operator:
        return Operator(f"127.0.0.1:{self.port}", self.identity(name))

    def audited(self) -> list[Entry]:
        return self.site.delivery.audit(10)


@pytest_asyncio.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    made = Doors(tmp_path)
    await made.open()
    yield made
    await made.close()


async def test_a_version_goes_out_by_the_operators_hand(doors: Doors) -> None:
    site = doors.site
    envelope, files = site.release(2, about="dimmer nights")
    async with doors.operator() as operator:
        for data in files.values():
            assert await operator.upload(data) == len(data)
            assert await operator.upload(data) == 0  # there already
        assert "vehicles version 2" in await operator.publish(envelope, "yard")
        rows = await operator.releases()
        assert [(r.version, r.channels, r.about) for r in rows] == [(2, ("yard",), "dimmer nights"), (1, ("yard",), "")]
        said = await operator.start(Plan("yard", envelope.digest, 0.1, 60.0))
        (canary,) = site.rollouts.rollouts("yard")[0].canaries
        assert canary in said
        for deed, stage in (("pause", "paused"), ("resume", "canary"), ("revert", "reverted")):
            assert "yard" in await operator.act("yard", deed)
            fleet = await operator.fleet()
            assert fleet.rollouts[0].stage == stage
        assert [n.node for n in fleet.nodes] == list(site.names)
        assert [e.what for e in await operator.audit(4)] == ["revert", "resume", "pause", "start"]
        assert {e.who for e in await operator.audit(4)} == {"operator"}


async def test_a_large_file_goes_on_where_it_broke_off(doors: Doors) -> None:
    data = bytes(range(256)) * 4096
    doors.site.blobs.append(hashlib.sha256(data).hexdigest(), 0, data[:600_000])
    async with doors.operator() as operator:
        assert await operator.upload(data) == len(data) - 600_000
    assert doors.site.blobs.read(hashlib.sha256(data).hexdigest()) == data


async def test_a_device_fetches_files_and_nothing_else(doors: Doors) -> None:
    data = b"abcdefgh" * 1000
    path = f"/files/{doors.site.blobs.put(data)}"
    async with doors.client("cam-1") as client:
        async with client.get(path, headers={"Range": "bytes=8-15"}) as response:
            assert (response.status, await response.read()) == (206, b"abcdefgh")
        for method, other in (
            ("PUT", path),
            ("GET", "/nodes"),
            ("GET", "/audit"),
            ("GET", "/releases"),
            ("POST", "/releases"),
            ("POST", "/rollouts"),
            ("POST", "/rollouts/yard/revert"),
            ("POST", "/nodes/pi-01/channel/other"),
        ):
            async with client.request(method, other, data=b"x") as response:
                assert response.status == 403, (method, other)
                assert "cam-1 has the wrong role" in await response.text()
    async with doors.client("fed-1") as client, client.get(path) as response:
        assert response.status == 403


async def test_what_the_server_refuses_comes_as_its_sentence(doors: Doors) -> None:
    envelope, _ = doors.site.release(2)
    async with doors.operator() as operator:
        with pytest.raises(LinkError, match="files of vehicles 2 are not here"):
            await operator.publish(envelope, "yard")
        with pytest.raises(LinkError, match="there is no such release"):
            await operator.start(Plan("yard", "ab" * 32))
        with pytest.raises(LinkError, match="there is no such rollout; got yard"):
            await operator.act("yard", "pause")
        with pytest.raises(LinkError, match="there is no such node"):
            await operator.move("nobody", "yard")
        forged = msgspec.structs.replace(envelope, payload=envelope.payload.replace(b'"version":2', b'"version":9'))
        with pytest.raises(IdentityError, match="false signature"):
            await operator.publish(forged, "yard")
    assert [e.what for e in doors.audited()[:5]] == [
        "publish refused", "move refused", "pause refused", "start refused", "publish refused",
    ]  # fmt: skip
    async with doors.operator("cam-1") as operator:
        with pytest.raises(IdentityError, match="cam-1 has the wrong role; got device"):
            await operator.act("yard", "revert")


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/releases", b"", "an envelope cannot be read"),
        ("/releases", b"\xc1" * 100, "an envelope cannot be read"),
        ("/releases", b"x" * (300 << 10), "a request is too large"),
        ("/releases?channel=../up", b"", "a channel cannot have this name"),
        ("/releases?own=yes", b"", "a channel cannot have this name"),
        ("/rollouts", b"{}", "this is no plan of a rollout"),
        ("/rollouts", b'{"channel":"yard","release":"zz"}', "this is no plan of a rollout"),
        ("/rollouts", b'{"channel":"yard","release":"' + b"a" * 64 + b'","canary":7}', "this is no plan of a rollout"),
        ("/rollouts", b"[" * 9000, "this is no plan of a rollout"),
        ("/rollouts", b"\xff\xfe", "this is no plan of a rollout"),
    ],
)
async def test_bodies_that_are_none(doors: Doors, path: str, body: bytes, said: str) -> None:
    async with doors.client("operator") as client, client.post(path, data=body) as response:
        assert response.status == 422
        assert said in await response.text()
    assert said in doors.audited()[0].sentence


async def test_the_page_reads_openly_and_acts_with_a_token(doors: Doors) -> None:
    doors.site.publish(2)
    doors.site.start(2)
    path = "/rollouts/yard/pause"
    async with aiohttp.ClientSession(doors.page) as client:
        async with client.get("/nodes") as response:
            fleet = msgspec.json.decode(await response.read(), type=Fleet)
            assert len(fleet.nodes) == 3
        async with client.get("/releases") as response:
            assert msgspec.json.decode(await response.read(), type=list[ReleaseRow])[0].version == 2
        for shown, status, said in (
            (None, 401, "a token is needed for this; got none"),
            ("Bearer ew1_" + "x" * 43, 401, "one that is not known, or has ended"),
            (f"Bearer {doors.tokens['viewer']}", 403, "viewer has the wrong role; got viewer; allowed: operator"),
            (f"Bearer {doors.tokens['operator']}", 200, "yard is paused"),
        ):
            async with client.post(path, headers={"Authorization": shown} if shown else {}) as response:
                assert response.status == status
                assert said in await response.text()
    assert [e.what for e in doors.audited()[:4]] == ["pause", "refused", "refused", "refused"]
    assert doors.audited()[0].who == "operator"
    assert all(token not in e.sentence for e in doors.audited() for token in doors.tokens.values())
    doors.site.clock.now += 100 * 86_400
    ended = {"Authorization": f"Bearer {doors.tokens['operator']}"}
    async with aiohttp.ClientSession(doors.page) as client, client.post(path, headers=ended) as response:
        assert response.status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_sites_page_cannot_press_the_button(doors: Doors, headers: dict[str, str]) -> None:
    doors.site.publish(2)
    doors.site.start(2)
    token = {"Authorization": f"Bearer {doors.tokens['operator']}"}
    for client, extra in ((doors.client("operator"), {}), (aiohttp.ClientSession(doors.page), token)):
        async with client, client.post("/rollouts/yard/revert", headers={**headers, **extra}) as response:
            assert response.status == 403
            assert "another site's page" in await response.text()
        assert doors.audited()[0].what == "refused"
    foreign = {**headers, **token}
    async with (
        aiohttp.ClientSession(doors.page) as client,
        client.put(f"/files/{'ab' * 32}", data=b"x", headers=foreign) as response,
    ):
        assert response.status == 403
    assert doors.site.rollouts.rollouts("yard")[0].stage == "canary"
    same = {"Origin": doors.page, "Sec-Fetch-Site": "same-origin", **token}
    async with (
        aiohttp.ClientSession(doors.page) as client,
        client.post("/rollouts/yard/revert", headers=same) as response,
    ):
        assert response.status == 200


async def test_a_certificate_that_was_taken_back_opens_nothing(doors: Doors) -> None:
    from edgewise.apps.vision.keys import revoke_node
    from edgewise.net.revocation import Revocations

    doors.listener._revoked = Revocations(doors.site.keys)
    identity = doors.identity("ben")
    context = client_context(identity)  # read before the folder goes with the revocation
    revoke_node(doors.site.keys, "ben")
    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(f"https://127.0.0.1:{doors.port}", connector=connector) as client,
        client.post("/rollouts/yard/revert") as response,
    ):
        assert response.status == 403
        assert "was taken back" in await response.text()


async def test_figures_stay_beside_the_limits_after_it_went_back(doors: Doors) -> None:
    site = doors.site
    site.publish(2)
    (canary,) = site.start(2)
    site.report(canary, 2, "trial", health(fall=0.08))
    row = site.delivery.fleet().rollouts[0]
    assert row.stage == "reverted"
    assert "-8 pt" in row.why
    site.report(canary, 1, "good")
    site.restart()
    row = site.delivery.fleet().rollouts[0]
    assert [(g.verdict, g.node) for g in row.guard] == [("broken", canary), ("holds", canary), ("holds", canary)]
    assert row.guard[0].value == pytest.approx(-0.08)


async def test_until_the_window_is_over_a_figure_holds_only_so_far(doors: Doors) -> None:
    site = doors.site
    site.publish(2)
    (canary,) = site.start(2)
    assert {g.verdict for g in site.delivery.fleet().rollouts[0].guard} == {"unknown"}
    site.report(canary, 2, "trial", health(seconds=10.0, p95=0.2))
    quality, p95, failed = site.delivery.fleet().rollouts[0].guard
    assert (quality.verdict, p95.verdict, failed.verdict) == ("holds", "broken so far", "holds so far")
    assert site.delivery.fleet().rollouts[0].stage == "canary"


async def test_a_channel_without_nodes_says_how_to_fill_it(doors: Doors) -> None:
    digest = doors.site.publish(2)
    async with doors.operator() as operator:
        said = await operator.start(Plan("harbour", digest))
        assert "edgewise move NODE --channel harbour" in said
        assert f"no node is there: nodes are in {doors.site.channel};" in said
        assert "pi-01 is in harbour now" in await operator.move("pi-01", "harbour")
    doors.site.later(1.0)
    assert doors.site.rollouts.rollouts("harbour")[0].canaries == ("pi-01",)


async def test_an_envelope_is_what_was_signed(doors: Doors) -> None:
    """The bytes that went up are those in the store: nothing of a release is written anew on its way."""
    envelope, files = doors.site.release(2)
    async with doors.operator() as operator:
        for data in files.values():
            await operator.upload(data)
        await operator.publish(envelope, "yard")
    row = doors.site.database.execute("SELECT envelope FROM releases WHERE digest = ?", (envelope.digest,)).fetchone()
    assert bytes(row[0]) == pack(envelope)
