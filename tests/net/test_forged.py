"""A table of forged things: each is refused with a sentence, and each refusal is in the audit. The table is `bench/forged.py`."""

from __future__ import annotations

import pytest

from bench.forged import Case, Site, cases
from edgewise.core.errors import EdgewiseError
from edgewise.net.checks import KINDS

TABLE = cases()


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_what_is_forged_is_refused_with_a_sentence_and_audited(case: Case) -> None:
    case.audit.clear()
    with pytest.raises(EdgewiseError) as refused:
        case.attempt()
    sentence = str(refused.value)
    assert sentence.rstrip()[-1] in ".!" and len(sentence) > 20, "not a sentence"
    assert len(sentence) < 1000
    assert case.audit, "refused, and nobody heard of it"
    for kind, said in case.audit:
        assert kind and len(said) > 10 and len(said) < 1000


def test_the_table_is_long_and_no_two_of_it_are_one() -> None:
    names = [case.name for case in TABLE]
    assert len(names) == len(set(names)) >= 60
    for what in (
        "ended",
        "older",
        "cut",
        "role",
        "another authority",
        "name",
        "bit",
        "two are needed",
        "taken back",
        "device that serves",
    ):
        assert any(what in name for name in names), what


def test_the_same_site_takes_what_is_true() -> None:
    """The table would be worth nothing if its site refused everything."""
    site = Site()
    site.take_trust(site.signed(site.trust(version=6), "root"))
    site.take_assigned(site.signed(site.release(version=8), "alice", "bob"))
    assert site.audit == []


def test_every_way_to_refuse_a_document_is_in_the_table() -> None:
    seen = set()
    for case in TABLE:
        if case.name.split(":")[0] in ("form", "keys", "time", "numbers"):
            case.audit.clear()
            with pytest.raises(EdgewiseError):
                case.attempt()
            seen.add(case.audit[0][0])
    assert seen == set(KINDS)
