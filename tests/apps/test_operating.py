"""Words of a person at the verbs of delivery: what is meant, and a sentence for each that cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgewise.apps.vision.fleet import ReleaseRow
from edgewise.apps.vision.keys import init
from edgewise.apps.vision.operating import chosen, read_fleet, share, span, start_rollout
from edgewise.apps.vision.operator import address
from edgewise.core.errors import ConfigError, EdgewiseError, LinkError


def row(version: int, name: str = "vehicles", channels: tuple[str, ...] = ("yard",)) -> ReleaseRow:
    digest = f"{version:02x}" * 32
    return ReleaseRow(name, version, digest, f"{version + 128:02x}" * 32, 0.0, 1e9, channels=channels)


ROWS = [row(1), row(2), row(3), row(4, channels=("depot",))]


def test_latest_is_the_newest_of_the_channel() -> None:
    assert chosen(ROWS, "yard", "latest").version == 3
    assert chosen(ROWS, "depot", "latest").version == 4


@pytest.mark.parametrize(("word", "version"), [("2", 2), ("v2", 2), ("8282", 2), ("0303" * 16, 3)])
def test_a_release_by_number_or_digits(word: str, version: int) -> None:
    assert chosen(ROWS, "yard", word).version == version


@pytest.mark.parametrize(
    ("rows", "channel", "word", "said"),
    [
        (
            ROWS,
            "harbour",
            "latest",
            "there is no release for this channel; got harbour.*edgewise publish BUNDLE --channel harbour",
        ),
        (ROWS, "yard", "9", "there is no such release; got 9; allowed: one of vehicles v3 83838383"),
        (ROWS, "yard", "4", "there is no such release"),  # of another channel
        ([row(1), row(1, "people")], "yard", "latest", "several releases are meant"),
    ],
)
def test_a_release_that_is_not_meant(rows: list[ReleaseRow], channel: str, word: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        chosen(rows, channel, word)


@pytest.mark.parametrize("text", ["0%", "101%", "-5%", "ten", "", "1.5", "1e-3", "nan"])
def test_shares_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError, match="a share of nodes cannot be read"):
        share(text)


@pytest.mark.parametrize("text", ["-1s", "1 week", "", "inf", "99d", "60 sec"])
def test_spans_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError, match="a span of time cannot be read"):
        span(text)


def test_shares_and_spans() -> None:
    assert [share(t) for t in ("10%", "100%", "0.5", "12.5 %")] == [0.1, 1.0, 0.5, 0.125]
    assert [span(t) for t in ("0", "60", "1.5min", "2h", "1d")] == [0.0, 60.0, 90.0, 7200.0, 86400.0]


@pytest.mark.parametrize(("said", "meant"), [("h", "h:8765"), ("h:1", "h:1"), ("[::1]", "[::1]:8765"), ("[::1]:9", "[::1]:9")])
def test_addresses(said: str, meant: str) -> None:
    assert address(said) == f"https://{meant}"


@pytest.mark.parametrize("said", ["", "h:", "h:0", "h:99999", "http://h", "u@h:1", "::1", "h/x", "a b"])
def test_addresses_that_cannot_be(said: str) -> None:
    with pytest.raises(ConfigError, match="an address of a server cannot be used"):
        address(said)


def test_a_guard_is_read_before_the_server_is_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a guard names an unknown subject; got speed"):
        start_rollout("yard", "10%", "speed>3pt", "60s", "latest", 1, tmp_path, "127.0.0.1:1")


def test_without_keys_or_server_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EdgewiseError, match=re.escape(str(tmp_path / "none"))):
        read_fleet(tmp_path / "none", "127.0.0.1:1")
    init(tmp_path / "keys")
    with pytest.raises(LinkError, match=r"https://127.0.0.1:1 cannot be reached; got .*Is the server running"):
        read_fleet(tmp_path / "keys", "127.0.0.1:1")
