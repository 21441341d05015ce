"""One digest of everything that decides what a training comes to: facts, pictures, and the networks that it begins from.

A work folder that holds another training is recognised by it, and refused rather than mixed. Of the pictures it knows up to
KNOWN, evenly chosen: that one of the others was exchanged it does not notice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from torch import nn

from edgewise.training.course import Source

KNOWN = 2048


def fingerprint(facts: bytes, source: Source, values: Sequence[nn.Module], shapes: Sequence[nn.Module] = ()) -> str:
    """`facts` in bytes, the pictures of `source`, the values of some networks and the shapes alone of others."""
    digest = hashlib.sha256(facts + str(len(source)).encode())
    for i in np.linspace(0, len(source) - 1, min(KNOWN, len(source))).round().astype(int).tolist():
        digest.update(source.of([i]).tobytes())
    for net in values:
        for name, value in net.state_dict().items():
            digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
    for net in shapes:
        for name, value in net.state_dict().items():
            digest.update(f"{name} {tuple(value.shape)}".encode())
    return digest.hexdigest()
