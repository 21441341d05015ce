"""The line of versions that a group of devices goes along: φ becomes coded deltas of the version that they hold, to the bit.

    Line.ship(φ) ──► bytes ──► rollout ──► acknowledged(bytes, version)      there = φ of the version, as decoded
                                       └─► refused                           there stays; the next delta holds this one too
    Line.back(version)                                                       there = φ of that version, no bytes

A delta says what the group lacks of what is wanted, in int8 with a step for each vector (`edgewise.codec.feedback`): its
rounding is part of the next. Of versions the newest `held` and the first are known; only to those can the group be taken back
bit by bit (adapt notes 2.5, 2.8). After that a new line of feedback begins.

It does not know who is in the group, nor which φ is good.
"""

from __future__ import annotations

import numpy as np

from edgewise.adapt.step import Phi, Values
from edgewise.codec.delta import Precision, decode
from edgewise.codec.feedback import ErrorFeedback
from edgewise.core.delta import FLOAT, Full, apply
from edgewise.core.errors import ModelError

METHOD = "adapt"
HELD = 8  # versions that a group can be taken back to, beside the first


class Line:
    """Begins with the source's φ, which the group holds as the version `base`."""

    def __init__(self, source: Phi, base: str, precision: Precision = "int8", held: int = HELD) -> None:
        self.base, self.version, self._precision, self._held = base, base, precision, held
        self._versions: dict[str, dict[str, Values]] = {base: _checked(source)}
        self._feedback = self._begin()

    @property
    def there(self) -> dict[str, Values]:
        """φ of the version that the group holds, to the bit."""
        return dict(self._versions[self.version])

    @property
    def versions(self) -> tuple[str, ...]:
        """Addresses that the group can be taken back to, the oldest first."""
        return tuple(self._versions)

    def holds(self, version: str) -> bool:
        return version in self._versions

    def phi(self, version: str) -> dict[str, Values]:
        """φ of a version that is still known."""
        if version not in self._versions:
            raise ModelError("a version is not remembered", got=version[:12], allowed=", ".join(v[:12] for v in self._versions))
        return dict(self._versions[version])

    def ship(self, wanted: Phi) -> bytes:
        """The coded Delta from what the group holds to `wanted`; empty where there is nothing to send."""
        self._feedback.want({path: Full(value) for path, value in _checked(wanted).items()})
        return self._feedback.code() if self._feedback.residual else b""

    def acknowledged(self, data: bytes, version: str) -> None:
        """The group has what `data` makes, under the address `version`; ModelError where `data` is not on its way."""
        after = apply(self.there, decode(data))
        self._feedback.acknowledged(data, version)
        self._keep(version, {path: np.asarray(value, np.float32) for path, value in after.items()})

    def back(self, version: str) -> dict[str, Values]:
        """The group was taken to a version that it had before; ModelError where that is not known any more."""
        phi = self.phi(version)
        self._keep(version, phi)
        self._feedback = self._begin()
        return phi

    def _begin(self) -> ErrorFeedback:
        return ErrorFeedback(self._versions[self.version], self.base, self.version, METHOD, self._precision)

    def _keep(self, version: str, phi: dict[str, Values]) -> None:
        if version != self.base:
            self._versions.pop(version, None)
        self._versions[version] = phi
        self.version = version
        while len(self._versions) > self._held + 1:
            del self._versions[next(v for v in self._versions if v not in (self.base, version))]


def _checked(phi: Phi) -> dict[str, Values]:
    for path, value in phi.items():
        if value.dtype != FLOAT or value.ndim != 1 or not np.isfinite(value).all():
            raise ModelError(
                f"φ has no usable values at {path!r}",
                got=f"{value.dtype} {value.shape}",
                allowed="finite float32 (channels,)",
            )
    return dict(phi)
