"""What all tests share: where the data packs stand."""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure: examples are bounded in number, never in time.
settings.register_profile("edgewise", deadline=None)
settings.load_profile("edgewise")

ROOT = Path(__file__).resolve().parents[1]


def data_pack(name: str) -> Path:
    """The data pack `name` (such as `opendatacam.tar`); skips the test where it is absent, and fails where CI is set."""
    places = [Path(os.environ["EDGEWISE_DATA"])] if "EDGEWISE_DATA" in os.environ else [ROOT.parent / "shared" / "data"]
    for place in places:
        if (place / name).exists():
            return place / name
    reason = f"the data pack {name} is not in {places[0]}; set EDGEWISE_DATA to the folder that holds it"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(name="data_pack", scope="session")
def _data_pack():  # type: ignore[no-untyped-def]
    """The function itself, for tests that cannot import this file by name."""
    return data_pack


@pytest.fixture
def understood(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], list[str]]:
    """Which verbs are called by the words of a command, once they are understood; none of them does anything."""
    from edgewise import cli

    heard: list[str] = []

    def only_heard(name: str, verb: Callable[..., int]) -> Callable[..., int]:
        @wraps(verb)
        def hear(*args: object, **kwargs: object) -> int:
            heard.append(name)
            return 0

        return hear

    groups = {n: (about, {v: only_heard(v, f) for v, f in verbs.items()}) for n, (about, verbs) in cli.GROUPS.items()}
    monkeypatch.setattr(cli, "VERBS", {n: only_heard(n, v) for n, v in cli.VERBS.items()})
    monkeypatch.setattr(cli, "GROUPS", groups)

    def called(words: list[str]) -> list[str]:
        heard.clear()
        assert cli.dispatch(words) == 0
        return list(heard)

    return called
