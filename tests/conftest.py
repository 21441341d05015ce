"""What all tests share: where the data packs stand."""

import os
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
