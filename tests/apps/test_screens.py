"""The fleet and the audit log in terminals of many widths: no word is cut, and what nobody measured is no 0."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from edgewise.apps.vision.fleet import Fleet, NodeRow, Running
from edgewise.apps.vision.screens import audit_screen, fleet_screen
from edgewise.core.placement import Quality
from edgewise.core.rollout import Health
from edgewise.node.delivery.audit import Entry

NOW = 1_790_000_000.0
BEFORE, AFTER = Quality(0.863, 0.8, 0.9, 36), Quality(0.846, 0.8, 0.9, 36)
HEALTH = Health(9, 90, 1, 0.08, AFTER, BEFORE)
TRIAL = Running("vehicles", "ab" * 32, 3, "cd" * 32, 4, "refused", "a signature is wrong; got key `x`.", NOW, True, HEALTH)
NODES = (
    NodeRow(
        node="north-gate-cam",
        role="device",
        expires=NOW + 90 * 86_400,
        connected=True,
        link_rate=17.6e6,
        outbox=12,
        budget="bytes_up<=50KB/s",
        frames=1389,
        failed=3,
        p95=0.036,
        models=(TRIAL,),
    ),
    NodeRow("pi-02", "device", expires=NOW + 3 * 86_400, heard=NOW - 7000, connected=False),
)


def printed(what: RenderableType, width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(what)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120, 180])
def test_no_word_of_the_fleet_is_cut(width: int) -> None:
    text = printed(fleet_screen(Fleet(NOW, NODES, ()), width), width)
    assert "…" not in text
    words = ["north-gate-cam", "vehicles", "v3", "abababab", "v4", "cdcdcdcd", "refused", "canary", "1,389", "36 ms", "-1.7 pt"]
    words += ["17.6 Mbit/s", "90 days", "12", "away for 117 min", "pi-02", "3 days", "bytes_up<=50KB/s", "a signature is wrong"]
    for word in words:
        assert word in text


@pytest.mark.parametrize("width", [80, 120])
def test_an_unknown_figure_is_a_dash(width: int) -> None:
    row = next(line for line in printed(fleet_screen(Fleet(NOW, NODES, ()), width), width).splitlines() if "pi-02" in line)
    assert "–" in row and " 0" not in row


@pytest.mark.parametrize("width", [80, 120])
def test_audit_rows_that_say_the_same_are_one(width: int) -> None:
    same = [Entry(n, NOW + n, "door", "refused revoked", "", "the certificate of cam-1 was taken back.", "") for n in (9, 8, 7)]
    other = [Entry(6, NOW, "", "revert", "main vehicles 4", "cam-2: quality>-0.5pt is broken.", "")]
    words = " ".join(printed(audit_screen([*same, *other]), width).split())
    assert words.count("refused revoked") == 1 and "the last of 3 such rows" in words
    assert "6 " in words and "the server" in words and "revert main vehicles 4:" in words
