"""What frames are worth with their first layers alone: measured, layer by layer, as the conditions of a point's quality.

A device whose link lets no more pass in time sends as many layers as promise most (`edgewise.plan.online.layers`); without these
figures it can only send what is sure. Every payload is cut behind each layer, decoded as a server does it, and answered by the
tail; all rows of a point are of the same samples, so that they can be compared.

It does not know what a worth is: who asks brings the tail and the measure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgewise.codec.features import FeatureCodec
from edgewise.core.placement import Quality, layered

Said = TypeVar("Said")
BATCH = 8


def by_layers(
    codec: object,
    payloads: Sequence[bytes],
    says: Callable[[NDArray[np.float32]], Said],
    worth: Callable[[list[Said]], Quality],
) -> dict[str, Quality]:
    """The conditions `layers=1`, `layers=2` … of a point with these payloads; none where frames have one layer, or no layers.

    `says` is the tail on features (n, *shape) with n ≤ BATCH, `worth` what all of its outputs are worth, in the order of the
    payloads. One with fewer layers, because the byte guard held, is taken with all that it has. TensorError for payloads of
    another codec.
    """
    if not isinstance(codec, FeatureCodec) or codec.total < 2:
        return {}
    ends = [codec.prefixes(payload) or (len(payload),) for payload in payloads]
    found = []
    for layers in range(1, codec.total + 1):
        cut = [payload[: end[min(layers, len(end)) - 1]] for payload, end in zip(payloads, ends, strict=True)]
        found.append(worth([says(_decoded(codec, cut[i : i + BATCH])) for i in range(0, len(cut), BATCH)]))
    return layered(found)


def _decoded(codec: FeatureCodec, payloads: Sequence[bytes]) -> NDArray[np.float32]:
    back = np.empty((len(payloads), *codec.shape[1:]), np.float32)
    wrong = [error for error in codec.decode_many(payloads, back) if error is not None]
    if wrong:
        raise wrong[0]
    return back
