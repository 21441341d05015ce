"""A manifest that contradicts itself is refused with a sentence, whatever task, bottleneck, filter and codings it speaks of."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from edgewise.core.artifact import (
    Bottleneck,
    Classes,
    Coding,
    Filter,
    Grid,
    Manifest,
    PartFile,
    Picture,
    Raw,
    Regions,
    TensorSpec,
    Things,
    parse,
)
from edgewise.core.errors import ModelError
from edgewise.core.placement import OperatingPoint

PICTURE = TensorSpec("picture", "uint8", (None, 36, 64, 3))
EARLY = TensorSpec("early", "float32", (None, 8, 9, 16))
PRESENT = TensorSpec("present", "float32", (None,))
CROSSING = TensorSpec("features", "float32", (None, 3, 9, 16))
SCORE = TensorSpec("score", "float32", (1, 5))
CODING = Coding((0.0,) * 3, (0.1,) * 3, (4, 0, 256), (2, 0), (1, 1), b"tables", 900)


def part(name: str, takes: TensorSpec, *gives: TensorSpec) -> PartFile:
    return PartFile(f"{name}.onnx", f"{len(name):064x}", 1, (takes,), gives)


PARTS = {
    "filter": part("filter", PICTURE, PRESENT, EARLY),
    "head": part("head", EARLY, CROSSING),
    "tail": part("tail", CROSSING, SCORE),
    "full": part("full", PICTURE, SCORE),
}
WHOLE = Manifest(
    name="all",
    task="classification",
    labels=("a", "b"),
    parts=PARTS,
    pictures={"filter": Picture(64, 36), "full": Picture(64, 36)},
    bottleneck=Bottleneck((3, 9, 16), (0.0,) * 3, (1.0,) * 3),
    decoding=Classes("score"),
    points=(
        OperatingPoint("rans", "split", "rans"),
        OperatingPoint("affine", "split", "affine", 4),
        OperatingPoint("drop", "drop"),
    ),
    codings={"rans": CODING},
    filter=Filter(0.4, 0.95, 0.9, 200, "a"),
)


def test_a_manifest_with_everything_in_it_is_read_as_it_was_written() -> None:
    assert parse(WHOLE.canonical) == WHOLE
    assert (WHOLE.first, replace(WHOLE, parts={}).first) == ("filter", "head")
    assert WHOLE.crossing == WHOLE.bottleneck


@pytest.mark.parametrize(
    ("task", "decoding"),
    [
        ("detection", Grid(0.5, 0.5, 0.5, 2, 3)),
        ("detection", Things(0.5, 0.5, 8, 28)),
        ("classification", Classes("score", 1, False)),
        ("segmentation", Regions("score", 9, 16)),
        ("other", Raw()),
        ("detection", Raw()),
    ],
)
def test_each_task_has_its_decodings(task: Any, decoding: Any) -> None:
    manifest = replace(WHOLE, task=task, decoding=decoding)
    assert parse(manifest.canonical).decoding == decoding
    assert msgspec.json.decode(manifest.canonical)["decoding"]["kind"] == type(decoding).__name__.lower()


def test_the_channel_may_stand_last_and_a_model_may_be_whole() -> None:
    tokens = replace(CROSSING, shape=(1, 197, 3))
    parts = PARTS | {"head": part("head", EARLY, tokens), "tail": part("tail", tokens, SCORE)}
    assert parse(replace(WHOLE, parts=parts, bottleneck=Bottleneck((197, 3), (0.0,) * 3, (1.0,) * 3, 1)).canonical)
    alone = replace(
        WHOLE, parts={"full": PARTS["full"]}, pictures={}, bottleneck=None, filter=None, codings={}, points=WHOLE.points[2:]
    )
    assert parse(alone.canonical) == alone
    with pytest.raises(ModelError, match="no bottleneck"):
        _ = alone.crossing


def altered(**changes: Any) -> bytes:
    """The manifest with values replaced by their paths."""
    values = msgspec.json.decode(WHOLE.canonical)
    for path, value in changes.items():
        *above, last = path.split("__")
        place = values
        for key in above:
            place = place[key]
        if value is None:
            place.pop(last)
        else:
            place[last] = value
    return msgspec.json.encode(values, order="sorted")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"decoding": {"threshold": 0.5, "overlap": 0.5, "cell_threshold": 0.5, "rows": 2, "columns": 3}}, "kind.*written anew"),
        ({"decoding__kind": "poses"}, "Invalid value 'poses'.*written anew"),
        ({"decoding__top": 0}, "top"),
        ({"decoding__colour": 1}, "colour"),
        ({"task": "poses"}, "task"),
        (
            {"task": "detection"},
            "detection decodes its outputs in a way that does not fit; got classes; allowed: grid, things, raw",
        ),
        ({"parts__eye": {"file": "e", "sha256": "0" * 64, "size": 1, "inputs": [], "outputs": []}}, "unknown parts; got eye"),
        ({"parts__full__inputs": []}, "no inputs"),
        ({"bottleneck": None}, "bottleneck"),
        ({"bottleneck__axis": 3}, "impossible shape"),
        ({"bottleneck__axis": 1}, "a range for each channel"),
        ({"bottleneck__shape": [3, 9, 0]}, "impossible shape"),
        ({"bottleneck__shape": []}, "shape"),
        ({"bottleneck__shape": [3, 16, 9]}, "the head gives another tensor"),
        ({"bottleneck__high": [1.0, 1.0]}, "a range for each channel"),
        ({"filter": None}, "a part without a threshold"),
        ({"parts__filter": None, "pictures__filter": None}, "a threshold without a part"),
        ({"filter__recall": 0.0}, "recall"),
        ({"filter__learn": 1.5}, "learn"),
        ({"parts__head__inputs": [msgspec.to_builtins(PICTURE)]}, "do not fit together"),
        ({"parts__filter__outputs": [msgspec.to_builtins(EARLY)]}, "do not fit together"),
        ({"pictures__head": {"width": 1, "height": 1}}, "behind a filter takes no picture"),
        ({"codings": {}}, "codings are not those.*got none; allowed: rans"),
        ({"codings__affine": msgspec.to_builtins(CODING)}, "codings are not those"),
        ({"points": [{"name": "a", "mode": "drop"}] * 2, "codings": {}}, "one name"),
        ({"codings__rans__low": [0.0]}, "one low, step and number of levels"),
        ({"codings__rans__levels": [4, 0, 1]}, "impossible number of levels; got 1"),
        ({"codings__rans__levels": [4, 0, 257]}, "impossible number of levels; got 257"),
        ({"codings__rans__step": [0.1, 0.1, -0.1]}, "impossible step"),
        ({"codings__rans__step": [0.1, 0.1, 3e38]}, "impossible step"),
        ({"codings__rans__low": [0.0, 0.0, 1e39]}, "no float32"),
        ({"codings__rans__order": [2, 2]}, "does not order"),
        ({"codings__rans__order": [2, 1]}, "does not order"),
        ({"codings__rans__layers": [1]}, "layers that do not hold"),
        ({"codings__rans__layers": [2, 0]}, "layers that do not hold"),
        ({"codings__rans__layers": [3, -1]}, "layers that do not hold"),
        ({"codings__rans__most": -1}, "most"),
        ({"codings__rans__seed": 1}, "seed"),
    ],
)
def test_a_contradiction_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        parse(altered(**changes))


def test_other_tables_are_another_address() -> None:
    other = replace(WHOLE, codings={"rans": replace(CODING, tables=b"others")})
    assert parse(other.canonical).address != WHOLE.address
