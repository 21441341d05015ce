"""A Shipment is what a group of devices is to have next; a Report says how an adaptation stands, an Event what happened in it.

A Shipment is either a coded Delta or a word: the older version that devices still hold, which costs no bytes (adapt notes 2.5,
2.8). None of them knows how anything is signed, sent or rolled out.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Shipment(Struct, frozen=True):
    """`data` is a coded Delta of the version `parent`; or `recall` is the address of an older version, and `data` is empty.

    `number` is what it is acknowledged or refused by; `why` in words.
    """

    number: int
    parent: str
    data: bytes
    recall: str
    why: str


class Event(Struct, frozen=True):
    """Something that happened `at` (s, the time that the Adapter was told): `what` in a word, `why` with its figures."""

    at: float
    what: str
    why: str


class Report(Struct, frozen=True):
    """Counts since the beginning, and how things stand (`state`: measuring, trial, learning, rest).

    `disagreement` of the source and the teacher on audits is an upper bound of what can be won; `gain` is what was won there: the
    adapted model's agreement with the teacher less the source's, `z` its significance. None: nothing was measured yet. `doubted`
    devices teach nobody. `refused` is everything that was left out, by reason. `domains`: how many are remembered.
    """

    state: str
    version: str
    uploads: int
    audits: int
    bytes_up: int
    bytes_down: int
    steps: int
    accepted: int
    rejected: int
    shipped: int
    acknowledged: int
    reverts: int
    recalls: int
    disagreement: float | None
    gain: float | None
    z: float | None
    rate: float
    domains: int
    doubted: tuple[str, ...]
    refused: Mapping[str, int]
    timeline: tuple[Event, ...]
