"""The byte guard of an operating point: how large a frame may be, whatever is in the picture.

Noise and attack make features that no table expects, and a coder then spends bits as if it were paid for them (EntropyR, ECCV
2024: +65 % by shot noise, +47 % by gradient ascent on the rate at 8/255). A frame that breaks its budget breaks its deadline,
and with it the device's airtime. `edgewise.codec.features` sends as many layers as fit into `Coding.most`; here is what `most`
should be.

Set too low it cuts clean frames, too high it guards nothing. `budget` takes the k-th largest of n clean frames, k = ⌊(n +
1)·share⌋: a further clean frame, drawn alike, is larger with a probability of `share` at most (order statistics; exact, no
shape of a distribution is supposed). So at most that share of clean frames loses its least important layers, and quality with
it, at worst, that share. With fewer than 1/share − 1 frames nothing so rare is known, and the largest is taken.

It does not know what a lost layer costs in quality: measure it (`bench/split_guard.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgewise.codec.features import FeatureCodec
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.core.errors import ConfigError

SHARE = 0.01  # of clean frames may lose a layer
ENOUGH = 99  # frames, from which on something so rare is known


def budget(sizes: Sequence[int], share: float = SHARE) -> int:
    """The size (bytes) that at most `share` of clean frames like those of `sizes` exceeds.

    >>> budget(range(1, 200))  # the second largest of 199
    198
    """
    if not len(sizes) or not 0 < share < 1:
        raise ConfigError(
            "a byte budget needs clean frames", got=f"{len(sizes)} sizes, a share of {share:g}", allowed="a share in 0..1"
        )
    place = max(1, int((len(sizes) + 1) * share + 1e-9))
    return int(sorted(sizes)[-place])


def guarded(bottleneck: Bottleneck, coding: Coding, features: Iterable[NDArray[np.float32]], share: float = SHARE) -> Coding:
    """The coding with `most` set from clean features (each batch, *shape) that its tables were not fitted to."""
    free = msgspec.structs.replace(coding, most=0)
    codec = FeatureCodec(bottleneck, free)
    sizes = [len(codec.encode(one[None])) for batch in features for one in batch]
    return msgspec.structs.replace(free, most=budget(sizes, share))
