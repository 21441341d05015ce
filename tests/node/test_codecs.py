"""Codecs are kept while there is room for them, made again when they are asked for, and forgotten with their bundle."""

from __future__ import annotations

import numpy as np

from edgewise.codec import tables
from edgewise.codec.features import FeatureCodec
from edgewise.codec.image import ImageCodec
from edgewise.codec.select import Codec
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.node.codecs import Codecs

HUGE = tables.pack(tables.fit([np.array([9, 4, 2, 1])], precision=16))  # 20 bytes that hold 2.5 MiB of a decoder
CODING = Coding((0.0,), (1.0,), (4,), (0,), (1,), HUGE)


def feature() -> Codec:
    return FeatureCodec(Bottleneck((1, 4, 4), (0.0,), (3.0,)), CODING)


def test_what_codecs_say_that_they_hold_is_what_they_hold() -> None:
    codec = feature()
    assert isinstance(codec, FeatureCodec)
    codec.decode(codec.encode(np.ones((1, 1, 4, 4), np.float32)))
    slots = codec._layers[0].coder.tables.slots
    held = slots.row.nbytes + slots.symbol.nbytes
    assert held <= codec.held < held + 1_000


def test_many_codings_take_no_more_than_they_may() -> None:
    """The one in use always stays; the one that was asked for last is not made again."""
    held = 20 << 17
    codecs = Codecs(most=4 * held)
    kept = {name: codecs.of("a", name, feature) for name in map(str, range(64))}
    assert 2 <= len(codecs) <= 4
    assert codecs.of("a", "63", feature) is kept["63"]
    assert codecs.of("a", "0", feature) is not kept["0"]
    tiny = Codecs(most=1)
    assert tiny.of("a", "0", feature) is tiny.of("a", "0", feature)


def test_codecs_without_tables_all_stay_until_their_bundle_goes() -> None:
    codecs = Codecs(most=1)
    for name in "abc":
        codecs.of(name, "jpeg-75", lambda: ImageCodec("jpeg", 75))
    assert len(codecs) == 3
    codecs.drop("b")
    assert len(codecs) == 2
