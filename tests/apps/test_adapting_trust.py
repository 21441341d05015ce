"""The key by which a server releases what it learned: it signs the models that are served, and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edgewise.apps.vision import trust
from edgewise.apps.vision.keys import init
from edgewise.cli import main
from edgewise.core.errors import IdentityError
from edgewise.core.release import FileEntry, Release
from edgewise.net.certificates import DAY
from edgewise.net.checks import published

NOW = time.time()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    init(tmp_path / "keys")
    return tmp_path / "keys"


def release(name: str) -> Release:
    return Release(name, 2, "a" * 64, {"f": FileEntry("b" * 64, 1)}, NOW, NOW + DAY)


def test_it_signs_the_models_that_are_served_and_no_others(folder: Path) -> None:
    assert trust.admit_adapter(folder, ["vehicles"], NOW)
    assert not trust.admit_adapter(folder, ["vehicles"], NOW)  # nothing changes at the next start
    signed = trust.sign_adapted(folder, release("vehicles"))
    assert published(signed, trust.read(folder), NOW)[1].name == "vehicles"
    with pytest.raises(IdentityError, match="things"):
        trust.sign_adapted(folder, release("things"))
    assert trust.admit_adapter(folder, ["things"], NOW)  # another bundle is served: only that from now on
    with pytest.raises(IdentityError):
        published(signed, trust.read(folder), NOW)


def test_a_key_that_signs_for_another_model_is_refused_by_a_node(folder: Path) -> None:
    trust.admit_adapter(folder, ["vehicles"], NOW)
    key = trust.load_key(trust.key_path(folder, trust.ADAPTER))
    forged = trust.sign(release("things"), {trust.ADAPTER: key})
    with pytest.raises(IdentityError):
        published(forged, trust.read(folder), NOW)


def test_without_the_root_here_a_sentence_says_what_to_call_there_and_that_works(folder: Path, tmp_path: Path) -> None:
    away = tmp_path / "root"
    trust.key_path(folder, trust.ROOT).rename(away)
    with pytest.raises(IdentityError) as refused:
        trust.admit_adapter(folder, ["vehicles"], NOW)
    words = str(refused.value).split("edgewise ")[1].rstrip(".").replace("FILE", str(away)).split()
    with pytest.raises(SystemExit) as ended:
        main([*words, "--keys", str(folder)])
    assert not ended.value.code
    assert not trust.admit_adapter(folder, ["vehicles"], NOW)


def test_where_two_must_sign_a_server_releases_nothing(folder: Path) -> None:
    trust.renew(folder, NOW, trust.need(2))
    with pytest.raises(IdentityError, match="2 signatures"):
        trust.admit_adapter(folder, ["vehicles"], NOW)
