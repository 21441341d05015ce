"""What does not go together is said before anything is read; every recipe has options of its own."""

from pathlib import Path

import msgspec
import pytest

from edgewise.core.errors import ConfigError
from edgewise.split.fit import Fit
from edgewise.split.options import FOR, sensible


def asked(**more: object) -> Fit:
    return Fit("own:build", "layer1", Path("data"), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"rates": 3}, r"ghnd has no such option; got --rates; allowed: --rates with bottlefit and entropic and lean"),
        ({"recipe": "lean", "noise": "round"}, r"lean has no such option; got --noise; allowed: --noise with hnd and ghnd"),
        ({"recipe": "lean", "bits": (8,)}, "--bits with hnd and ghnd and bottlefit"),
        ({"recipe": "bottlefit", "betas": (1.0,)}, "--betas with entropic and lean"),
        ({"recipe": "lean", "rates": 3, "betas": (1.0, 2.0)}, "said twice; got --rates 3 and 2 --betas"),
        ({"recipe": "lean", "betas": (2.0, 1.0)}, "climb"),
        ({"recipe": "lean", "betas": (0.0, 1.0)}, "climb"),
        ({"recipe": "lean", "rates": 1, "together": True}, "two rates"),
        ({"recipe": "lean", "rates": -1}, "impossible size; got --rates -1"),
        ({"recipe": "lean", "seconds": -5.0}, "--seconds -5"),
        ({"recipe": "lean", "supervised": True, "unlabelled": True}, "--supervised or --unlabelled"),
        ({"bits": ()}, "1 to 8"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(more: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        sensible(asked(**more))


def test_every_recipe_as_it_is_goes_and_every_option_is_one_of_the_job() -> None:
    for recipe in ("hnd", "ghnd", "bottlefit", "entropic", "lean"):
        sensible(asked(recipe=recipe))
    assert FOR.keys() <= {field.name for field in msgspec.structs.fields(Fit)}
