"""Error feedback: a sender of coarse deltas remembers what a receiver still lacks, and sends that with the next.

Rounding to int8 loses a little each time. The sender keeps two versions of the parameters: the `wanted`, and the one that the
receiver last acknowledged, known to the bit because decoding and applying are exact (`edgewise.core.delta`). Their difference is
the residual; a delta is always the coded residual. So what was rounded away comes with the next delta, a delta that was lost is
part of the next one too, and after any number of rounds the error is that of one rounding:

    acknowledged deltas, decoded and added up, + residual = everything that was wanted

As 1-bit SGD (Seide et al. 2014) and EF21 (Richtárik et al. 2021) do it, with the receiver's state in place of a sum of errors.

It does not know how deltas travel, or which version is good; a receiver that is taken back to another version needs a new sender.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from edgewise.codec.delta import Precision, decode, encode
from edgewise.core.delta import FLOAT, Array, Change, Delta, Full, LowRank, Parameters, Rows, apply
from edgewise.core.errors import ModelError

MOST_SENT = 8  # deltas on their way to one receiver; an acknowledgement of an older one is refused


class ErrorFeedback:
    """The sender's side for one receiver, which has `parameters`, the version `parent` of the line that began with `base`."""

    def __init__(self, parameters: Parameters, base: str, parent: str, method: str, precision: Precision = "int8") -> None:
        self._base, self._parent, self._method, self._precision = base, parent, method, precision
        self._there = dict(parameters)
        self._wanted = dict(parameters)
        self._ranks: dict[str, int] = {}
        self._sent: dict[str, dict[str, Array]] = {}

    def want(self, changes: Mapping[str, Change]) -> None:
        """Change what the receiver is to have, in any way that a delta can; where it was low rank, it is sent as low rank."""
        self._wanted = apply(self._wanted, Delta(self._base, self._parent, self._method, dict(changes)))
        for path, change in changes.items():
            if isinstance(change, LowRank):
                self._ranks[path] = change.a.shape[1]
            else:
                self._ranks.pop(path, None)

    @property
    def wanted(self) -> dict[str, Array]:
        return dict(self._wanted)

    @property
    def residual(self) -> dict[str, Array]:
        """Wanted less acknowledged, of the float parameters that differ."""
        pairs = ((path, value, self._there[path]) for path, value in self._wanted.items())
        return {path: value - there for path, value, there in pairs if value.dtype == FLOAT and (value != there).any()}

    def code(self) -> bytes:
        """The delta that takes the receiver from what it acknowledged to what is wanted, as near as the coding comes."""
        changes: dict[str, Change] = {path: self._shaped(path, lacking) for path, lacking in self.residual.items()}
        for path, value in self._wanted.items():
            if value.dtype != FLOAT and (value != self._there[path]).any():
                changes[path] = Full(value)
        data = encode(Delta(self._base, self._parent, self._method, changes), self._precision)
        self._sent[_digest(data)] = apply(self._there, decode(data))
        while len(self._sent) > MOST_SENT:
            del self._sent[next(iter(self._sent))]
        return data

    def acknowledged(self, data: bytes, result: str) -> None:
        """The receiver applied `data`, and has the version `result` now; ModelError where `data` is not on its way."""
        after = self._sent.get(_digest(data))
        if after is None:
            raise ModelError(
                "a delta was acknowledged that is not on its way",
                got=_digest(data)[:12],
                allowed=", ".join(d[:12] for d in self._sent) or "none",
                hint="Begin anew from the version that the receiver has.",
            )
        self._there, self._parent, self._sent = after, result, {}

    def _shaped(self, path: str, lacking: Array) -> Change:
        """A residual as rows that are not zero; as the ranks that hold most of it where the last change was low rank."""
        if not lacking.ndim:
            return Full(self._wanted[path])
        rows = lacking.reshape(len(lacking), -1)
        rank = self._ranks.get(path, 0)
        if rank > 0 and rank * sum(rows.shape) < rows.size:
            u, s, v = np.linalg.svd(rows, full_matrices=False)
            root = np.sqrt(s[:rank])
            return LowRank((u[:, :rank] * root).astype(np.float32), (root[:, None] * v[:rank]).astype(np.float32))
        indices = np.flatnonzero(rows.any(axis=1))
        return Rows(indices, lacking[indices])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
