"""The probe sees a version that broke, in whichever way of answering it broke."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.probe import compared, scenes, ways
from edgewise.core.artifact import Raw, Things
from edgewise.core.errors import ConfigError
from edgewise.runtime.bundle import Bundle

PROBE = ("junction:200:clear", "junction:204:fog")


class Spoilt:
    """A bundle whose `part` says nothing any more."""

    def __init__(self, bundle: Bundle, part: str) -> None:
        self._bundle, self._part, self.manifest = bundle, part, bundle.manifest

    def session(self, part: str, threads: int = 1) -> object:
        session = self._bundle.session(part, threads)  # type: ignore[arg-type]
        if part != self._part:
            return session

        class Zeros:
            def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                return {name: np.zeros_like(value) for name, value in session.run(feeds).items()}

        return Zeros()


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    pytest.importorskip("cv2")
    return Bundle.open(find("vehicles"))


def test_a_version_is_as_good_as_itself(bundle: Bundle) -> None:
    found = compared(bundle, bundle, PROBE)
    assert found is not None
    assert found[0] == found[1]
    assert found[0].value > 0.7


@pytest.mark.parametrize(("part", "way"), [("local", "local"), ("tail", "split"), ("head", "split")])
def test_what_broke_in_one_way_is_not_hidden_by_the_other(bundle: Bundle, part: str, way: str) -> None:
    spoilt = Spoilt(bundle, part)
    found = compared(spoilt, bundle, PROBE)  # type: ignore[arg-type]
    assert found is not None
    new, old = found
    assert old == ways(bundle, PROBE)[way]
    assert new.value < old.value - 0.3


def test_no_probe_no_quality(bundle: Bundle) -> None:
    assert compared(bundle, bundle, ()) is None


def test_a_probe_that_is_none_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="a probe cannot be used"):
        scenes(("folder/of/pictures",))


def test_boxes_alone_tell_the_cells_too_and_what_says_nothing_of_them_is_not_compared(bundle: Bundle) -> None:
    boxes, raw = Spoilt(bundle, "nothing"), Spoilt(bundle, "nothing")
    boxes.manifest = replace(bundle.manifest, decoding=Things(0.45, 0.5, 0, 0))
    raw.manifest = replace(bundle.manifest, task="other", decoding=Raw())
    found = ways(boxes, PROBE[:1])  # type: ignore[arg-type]
    assert found.keys() == {"local", "split"} and found["split"].value > 0.6
    assert compared(raw, raw, PROBE) is None  # type: ignore[arg-type]
