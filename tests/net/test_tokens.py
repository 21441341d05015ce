"""Tokens of people: shown once, kept as a hash, good until their end or until they are taken back."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from edgewise.core.errors import IdentityError
from edgewise.net.tokens import PEOPLE, Tokens, make_token, people, revoke_token

NOW = 1.8e9


@pytest.fixture
def now() -> list[float]:
    return [NOW]


@pytest.fixture
def tokens(tmp_path: Path, now: list[float]) -> Tokens:
    return Tokens(tmp_path, clock=lambda: now[0])


def test_a_token_says_who_and_what_for_and_is_nowhere_on_disk(tmp_path: Path, tokens: Tokens) -> None:
    anna = make_token(tmp_path, "anna", "operator", NOW)
    bo = make_token(tmp_path, "bo", "viewer", NOW)
    found = tokens.check(f"Bearer {anna}"), tokens.check(f"bearer {bo}")
    assert [(p.name, p.role) for p in found if p] == [("anna", "operator"), ("bo", "viewer")]
    assert found[0] and found[0].may("viewer") and found[0].may("operator")
    assert found[1] and found[1].may("viewer") and not found[1].may("operator")
    assert len(anna) == len("ew1_") + 43  # 256 bits
    for path in tmp_path.iterdir():
        assert anna not in path.read_text() and anna[4:] not in path.read_text()
    assert stat.S_IMODE((tmp_path / PEOPLE).stat().st_mode) == 0o600


def test_whatever_is_not_that_token_is_nobody(tmp_path: Path, tokens: Tokens) -> None:
    token = make_token(tmp_path, "anna", "operator", NOW)
    assert tokens.check(f"Bearer {token}")
    wrong = [None, "", "Bearer", "Bearer ", token, f"Basic {token}", f"Bearer {token}x", f"Bearer {token[:-1]}", "Bearer ew1_"]
    wrong += [
        f"Bearer {token[:9]}{'A' if token[9] != 'A' else 'B'}{token[10:]}",
        f"Bearer {token.upper()}",
        "Bearer " + "x" * 9999,
    ]
    wrong += [f"Bearer {people(tmp_path)[0].sha256}", f"Bearer ew1_{people(tmp_path)[0].sha256}", f"Bearer {token}é"]
    assert [w for w in wrong if tokens.check(w) is not None] == []


def test_a_token_ends_and_may_be_taken_back_while_the_server_runs(tmp_path: Path, tokens: Tokens, now: list[float]) -> None:
    token = f"Bearer {make_token(tmp_path, 'anna', 'operator', NOW, days=1)}"
    with pytest.raises(IdentityError, match="already"):
        make_token(tmp_path, "anna", "viewer", NOW)
    assert tokens.check(token)
    now[0] = NOW + 86400
    assert tokens.check(token) is None
    now[0] = 0.0  # a clock in 1970 brings nothing back, not even what is good today
    assert tokens.check(token) is None
    now[0] = NOW
    assert tokens.check(token)
    revoke_token(tmp_path, "anna")
    assert tokens.check(token) is None
    with pytest.raises(IdentityError, match="no token"):
        revoke_token(tmp_path, "anna")
    assert make_token(tmp_path, "anna", "viewer", NOW) not in token


def test_a_file_that_was_damaged_is_a_sentence_and_lets_nobody_in(tmp_path: Path, tokens: Tokens) -> None:
    token = make_token(tmp_path, "anna", "operator", time.time())
    for number, damaged in enumerate((b"[{]", b'[{"name":"\xff"}]', b"[" * 100_000)):
        (tmp_path / PEOPLE).write_bytes(damaged + b" " * number)
        assert tokens.check(f"Bearer {token}") is None
        with pytest.raises(IdentityError, match="cannot be read"):
            tokens.need(f"Bearer {token}", "viewer")


def test_a_name_that_cannot_be_is_refused(tmp_path: Path) -> None:
    for name in ("", "a b", "../x", "x" * 65):
        with pytest.raises(IdentityError, match="no such token"):
            make_token(tmp_path, name, "operator", NOW)
