"""The keys' verbs, as a person calls them; and that no secret is ever in a log, whatever is asked for."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from edgewise.apps.vision import logs, trust
from edgewise.apps.vision.keys import device_identity, given, init, issue_node, operator_identity, revoke_node, server_identity
from edgewise.cli import main
from edgewise.core.errors import ConfigError, IdentityError
from edgewise.core.release import Assignment, FileEntry, Release
from edgewise.net.certificates import DAY, facts
from edgewise.net.checks import published
from edgewise.net.connect import connect
from edgewise.net.identity import read_certificate, server_context
from edgewise.net.listen import Listener
from edgewise.net.redaction import HIDDEN, scrub
from edgewise.net.signing import Forgetful, Verifier, make_key, public
from edgewise.net.tokens import Tokens, make_token

NOW = time.time()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    init(tmp_path / "keys")
    return tmp_path / "keys"


def edgewise(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


def test_a_folder_holds_what_a_site_needs_and_a_carried_one_what_a_device_needs(folder: Path) -> None:
    issue_node(folder, "pi-07")
    issue_node(folder, "anna", "operator")
    carried = folder / "devices" / "pi-07"
    assert {p.name for p in carried.iterdir()} == {"pi-07.pem", "pi-07.key", "authority.pem", "root.public"}
    assert device_identity(carried, None).role == "device"
    assert operator_identity(folder / "operators" / "anna").node == "anna"
    assert operator_identity(folder).role == "operator"
    assert server_identity(folder).role == "edge"
    verifier = Verifier(trust.root_public(carried), "pi-07", Forgetful())
    assert verifier.trust(trust.envelope(folder), NOW).version == 1
    release = trust.sign_release(folder, Release("vehicles", 1, "a" * 64, {"f": FileEntry("b" * 64, 1)}, NOW, NOW + DAY))
    assign = trust.assigner(folder)
    verifier.assignment(assign(Assignment("pi-07", "yard", 1, {"vehicles": release.digest}, NOW, NOW + DAY)), NOW)
    assert verifier.release(release, NOW).version == 1


@pytest.mark.parametrize("name", ["edge", "Authority", "operator", "a/b", "..", "pi-07", "PI-07"])
def test_a_name_that_is_taken_or_cannot_be_is_a_sentence(folder: Path, name: str) -> None:
    issue_node(folder, "pi-07")
    for role in ("device", "operator"):
        with pytest.raises(IdentityError, match="name"):
            issue_node(folder, name, role)  # type: ignore[arg-type]


def test_a_revoked_name_stands_in_the_trust_and_may_be_given_anew(folder: Path) -> None:
    issue_node(folder, "pi-07")
    number = facts(read_certificate(folder / "devices" / "pi-07" / "pi-07.pem")).serial
    assert "version 2" in revoke_node(folder, "pi-07")
    assert trust.read(folder).revoked == (number,)
    assert not (folder / "devices" / "pi-07").exists()
    issue_node(folder, "pi-07")
    assert [(g.of.node, g.revoked) for g in given(folder) if g.of.node == "pi-07"] == [("pi-07", True), ("pi-07", False)]
    assert trust.renew(folder, NOW + 200 * DAY).revoked == ()  # it has ended by then: not worth a word


def test_with_the_root_elsewhere_a_revocation_still_binds_the_server(folder: Path, tmp_path: Path) -> None:
    issue_node(folder, "pi-07")
    root = trust.key_path(folder, "root").replace(tmp_path / "safe.ed25519")
    said = revoke_node(folder, "pi-07")
    assert "--root" in said and "cuts it" in said
    assert trust.read(folder).version == 1
    assert trust.renew(folder, NOW, root=root).revoked


def test_a_root_is_rotated_and_nodes_that_were_away_still_learn_of_it(folder: Path, tmp_path: Path) -> None:
    began = trust.root_public(folder)
    here, away = Verifier(began, "a", Forgetful()), Verifier(began, "b", Forgetful())
    here.trust(trust.envelope(folder), NOW)
    trust.rotate(folder, NOW)
    assert trust.root_public(folder) != began
    here.trust(trust.envelope(folder), NOW)
    trust.renew(folder, NOW)  # versions later it is still signed by both
    trust.renew(folder, NOW)
    new = Verifier(trust.root_public(folder), "c", Forgetful())
    assert {v.trust(trust.envelope(folder), NOW).version for v in (here, away, new)} == {4}


def test_trust_is_renewed_before_its_end_where_the_root_is_at_hand(folder: Path) -> None:
    before = trust.envelope(folder)
    assert trust.keep(folder, NOW) == before
    assert trust.keep(folder, NOW + 300 * DAY) != before
    assert trust.read(folder).version == 2


def test_a_trust_that_a_clock_ahead_has_signed_is_signed_again_once_it_is_set(folder: Path) -> None:
    trust.keep(folder, NOW + 300 * DAY)
    again = trust.keep(folder, NOW)
    assert (trust.read(folder).version, trust.read(folder).issued) == (3, NOW)
    assert trust.keep(folder, NOW) == again


def test_publishers_come_and_go_by_the_verb(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = public(make_key(tmp_path / "k"))
    assert edgewise("keys", "trust", "--keys", str(folder), "--add", f"bob={key}", "--threshold", "2") == 0
    found = trust.read(folder)
    assert (found.version, found.threshold, found.keys["bob"].public) == (2, 2, key)
    assert edgewise("keys", "trust", "--keys", str(folder), "--remove", "bob", "--threshold", "1") == 0
    assert set(trust.read(folder).keys) == {"publisher", "channel"}
    for wrong in ("bob", "bob=12", f"publisher={key}", f"root={key}"):
        assert edgewise("keys", "trust", "--keys", str(folder), "--add", wrong) == 1
    with pytest.raises(ConfigError):
        trust.renew(folder, NOW, trust.remove_key("nobody"))
    assert trust.read(folder).version == 3
    assert "publisher" in capsys.readouterr().out


def test_a_second_publisher_signs_under_the_name_that_the_trust_gives_it(folder: Path, tmp_path: Path) -> None:
    """A threshold of two, met by `beside`; and a first publisher that is gone, in whose name nobody signs any more."""
    bob = public(make_key(tmp_path / "k"))
    edgewise("keys", "trust", "--keys", str(folder), "--add", f"bob={bob}", "--threshold", "2")
    release = Release("vehicles", 1, "a" * 64, {"f": FileEntry("b" * 64, 1)}, NOW, NOW + DAY)
    signed = trust.sign_release(folder, release, [tmp_path / "k"])
    assert [s.key for s in signed.signatures] == ["publisher", "bob"]
    assert published(signed, trust.read(folder), NOW)[1] == release
    with pytest.raises(IdentityError, match="too few"):
        published(trust.sign_release(folder, release), trust.read(folder), NOW)
    make_key(tmp_path / "stranger")
    with pytest.raises(IdentityError, match=r"no such key .*--add NAME="):
        trust.sign_release(folder, release, [tmp_path / "stranger"])
    edgewise("keys", "trust", "--keys", str(folder), "--remove", "publisher", "--threshold", "1")
    with pytest.raises(IdentityError, match="no such key"):
        trust.sign_release(folder, release)
    assert [s.key for s in trust.sign_release(folder, release, [tmp_path / "k"]).signatures] == ["bob"]


def test_a_name_gets_another_key_in_one_call(folder: Path, tmp_path: Path) -> None:
    trust.key_path(folder, "publisher").unlink()
    key = public(make_key(trust.key_path(folder, "publisher")))
    words = ("keys", "trust", "--keys", str(folder), "--remove", "publisher", "--add", f"publisher={key}")
    assert edgewise(*words) == 0
    assert trust.read(folder).keys["publisher"].public == key


def test_an_older_folder_is_completed_and_an_old_server_certificate_renewed(tmp_path: Path) -> None:
    server_identity(tmp_path / "k", now=NOW - 70 * DAY)
    for name in ("root.public", "trust.envelope", "operator.pem", "operator.key", "root.ed25519"):
        (tmp_path / "k" / name).unlink()
    number = facts(read_certificate(tmp_path / "k" / "edge.pem")).serial
    server_identity(tmp_path / "k")
    assert trust.read(tmp_path / "k").version == 1
    assert operator_identity(tmp_path / "k").role == "operator"
    assert facts(read_certificate(tmp_path / "k" / "edge.pem")).serial != number


# Secrets


@pytest.fixture
def everything_logged() -> Iterator[io.StringIO]:
    """All that any logger says at level debug, unscrubbed."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    loggers = [logging.getLogger(), logging.getLogger("edgewise")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield stream
    for logger, level in zip(loggers, levels):
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.fixture
def our_log() -> Iterator[None]:
    """Put back what `logs.begin` changes."""
    root = logging.getLogger("edgewise")
    before = root.handlers, root.level, root.propagate
    yield
    root.handlers, root.propagate = before[0], before[2]
    root.setLevel(before[1])


def material(folder: Path) -> set[str]:
    """Every line of every private key in a folder and below."""
    lines = {line for p in folder.rglob("*") if p.suffix in (".key", ".ed25519") for line in p.read_text().splitlines()}
    return {line for line in lines if not line.startswith("-----")}


async def test_no_verb_and_no_server_ever_logs_a_secret(
    folder: Path, everything_logged: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    keys = str(folder)
    assert edgewise("keys", "issue", "pi-07", "--keys", keys) == 0
    assert edgewise("keys", "issue", "pi-08", "--keys", keys) == 0
    secrets = material(folder)
    assert edgewise("keys", "revoke", "pi-08", "--keys", keys) == 0
    assert edgewise("keys", "trust", "--rotate", "--keys", keys) == 0
    assert edgewise("keys", "list", "--keys", keys) == 0
    (folder / "broken.key").write_text(next(iter(secrets)))
    (folder / "broken.pem").write_bytes((folder / "edge.pem").read_bytes())
    with pytest.raises(IdentityError) as refused:
        device_identity(folder, "broken")
    said = [str(refused.value), capfd.readouterr().out]
    assert edgewise("keys", "token", "anna", "--role", "operator", "--keys", keys) == 0
    token = capfd.readouterr().out.strip()
    assert re.fullmatch(r"ew1_[\w-]{43}", token)
    assert edgewise("keys", "token", "anna", "--keys", keys) == 1  # once is once
    await _serve(folder, token)
    said += [everything_logged.getvalue(), *capfd.readouterr()]
    text = "\n".join(said)
    for secret in {*secrets, *material(folder), token, token[4:]}:
        assert secret not in text
    assert "let in Person(name='anna'" in text and len(everything_logged.getvalue()) > 50  # something was said at all


async def _serve(folder: Path, token: str) -> None:
    """A door with people's tokens beside it: one who is let in, one who is not, and a device."""
    from aiohttp import web

    tokens = Tokens(folder)

    async def page(request: web.Request) -> web.Response:
        person = tokens.check(request.headers.get("Authorization"))
        if person is None:
            raise web.HTTPUnauthorized(text="no token that is good now")
        logging.getLogger("edgewise.test").debug("let in %s", person)
        return web.Response(text=person.name)

    async def echo(transport, peer) -> None:  # type: ignore[no-untyped-def]
        await transport.send(await transport.receive())

    listener = Listener(echo, server_context(server_identity(folder), required=False), routes=[web.get("/page", page)])
    port = await listener.start("127.0.0.1")
    async with aiohttp.ClientSession() as client:
        for shown, status in ((token, 200), (token[:-1] + ("A" if token[-1] != "A" else "B"), 401)):
            headers = {"Authorization": f"Bearer {shown}"}
            async with client.get(f"https://127.0.0.1:{port}/page", ssl=False, headers=headers) as reply:
                assert reply.status == status
    link = await connect(f"127.0.0.1:{port}", device_identity(folder / "devices" / "pi-07", None))
    await link.send(b"x")
    await link.receive()
    await link.close()
    await listener.close()


@pytest.mark.parametrize("form", ["text", "json"])
def test_our_log_lines_are_scrubbed_of_what_a_mistake_puts_there(
    form: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pem, token = (folder / "authority.key").read_text(), make_token(folder, "bo", "viewer", NOW)
    logs.begin(form)
    log = logging.getLogger("edgewise.test")
    try:
        raise ValueError(f"no key: {pem}")
    except ValueError:
        log.exception("a request with Authorization: Bearer %s failed", token, extra={"header": token})
    said = capfd.readouterr().err
    assert HIDDEN in said and "ValueError" in said
    for secret in {*material(folder), token}:
        assert secret not in said


def test_scrubbing_leaves_all_else_alone() -> None:
    line = "device connected node=pi-07 connection=3 sha=ab12 bearer of bad news"
    assert scrub(line) == line
