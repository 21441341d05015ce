"""The shipped vehicles bundle with `rans` codings, for the benchmarks of split that need a trained head and something to send.

Tables are fitted on scenes for choosing (seeds from 200), the byte guard on others of them, and figures come from scenes for
testing (seeds from 100). Quality is cell F1 against exact truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.report import ROOT
from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.data.metrics import counts, f1
from edgewise.runtime.bundle import Bundle
from edgewise.runtime.session import Session
from edgewise.split.guard import guarded
from edgewise.split.order import order
from edgewise.training import validate
from edgewise.training.frames import Frames, rendered

SHIPPED = ROOT / "edgewise" / "bundles" / "vehicles"
CHOOSING, TESTING = 200, 100  # first seeds
Floats = NDArray[np.float32]


class Subject(Struct, frozen=True):
    """Head and tail, the bottleneck, and a coding by the number of its levels, each with its byte guard."""

    bundle: Bundle
    head: Session
    tail: Session
    bottleneck: Bottleneck
    codings: dict[int, Coding]


@lru_cache(maxsize=2)
def subject(levels: tuple[int, ...], scenes: int, times: int = 2) -> Subject:
    """The bundle with a coding of each number of levels: half of `scenes` for the tables, half for the guard."""
    bundle = Bundle.open(SHIPPED)
    bottleneck = bundle.manifest.bottleneck
    assert bottleneck is not None
    head, tail = bundle.session("head"), bundle.session("tail")
    frames = rendered(range(CHOOSING, CHOOSING + scenes), times)
    half = len(frames) // 2
    features = features_of(head, frames.pictures)
    first = order(lambda x: tail.run({"bottleneck": x}), features[: half : max(1, half // 24)])
    codings = {}
    for n in levels:
        coding = coding_for(bottleneck, [features[:half]], [n] * bottleneck.channels, first, bottleneck.channels)
        codings[n] = guarded(bottleneck, coding, [features[half:]])
    return Subject(bundle, head, tail, bottleneck, codings)


def testing(scenes: int, times: int = 1) -> Frames:
    """Frames of test scenes at the head's size, in all conditions."""
    return rendered(range(TESTING, TESTING + scenes), times)


def features_of(head: Session, pictures: NDArray[np.uint8]) -> Floats:
    return np.concatenate([head.run({"picture": p[None]})["bottleneck"] for p in pictures])


def answered(subject: Subject, codec: FeatureCodec, payloads: Sequence[bytes], true: NDArray[np.bool_]) -> float:
    """Cell F1 of what the tail says of decoded frames."""
    threshold = subject.bundle.manifest.decoding.cell_threshold  # type: ignore[union-attr]
    said = [subject.tail.run({"bottleneck": codec.decode(p)})["occupied"][0, 0] >= threshold for p in payloads]
    return f1(counts(np.stack(said), true))


def truth(frames: Frames) -> NDArray[np.bool_]:
    return validate.truth(frames)
