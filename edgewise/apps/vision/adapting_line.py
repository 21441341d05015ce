"""The line of versions that one adaptation makes: a coded delta becomes the files of a version, and shorter ways to them.

The version is made of the delta *as it is decoded*, so its rounding is in what is signed, and the coded delta itself is what
travels from its parent. From the source there is a way too (an exact one, longer), for devices that were away. Where the head of
a cut changes, what crosses the link changes with it: tables of its codings are then fitted again on the newest pictures that came
up, and go along in the manifest; quantisers stay.

The newest versions are held as files, so that a recall names bytes and not only an address. It does not know signatures or
rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.adapt.shipment import Shipment
from edgewise.apps.vision.adapting_words import Recall, Version
from edgewise.codec.fitted import refitted
from edgewise.core.artifact import Manifest
from edgewise.core.coherent import EARLY
from edgewise.core.errors import ModelError, TensorError
from edgewise.node.parts import Parts
from edgewise.runtime.bundle import Bundle
from edgewise.runtime.parcel import parcel
from edgewise.runtime.update import manifest_of, updated

Files = Mapping[str, bytes]
Pictures = Sequence[NDArray[np.uint8]]
HELD = 8  # versions that are held beside the source
FITTED_ON = 32  # pictures on which tables are fitted again; with fewer the old ones stay


class Line:
    """Versions by address, from the `source` on; `current` is what devices have now. `recent()` gives the newest pictures."""

    def __init__(self, source: Files, current: Files, recent: Callable[[], Pictures] = tuple) -> None:
        self.source = manifest_of(source).address
        self.current = manifest_of(current).address
        self._held: dict[str, Files] = {self.source: source, self.current: current}
        self.recent = recent

    def made(self, shipment: Shipment) -> Version | Recall:
        """What is to be published for a shipment; ModelError where it is of another version than those that are held."""
        if shipment.recall:
            return Recall(shipment.number, shipment.recall, self._files(shipment.recall), shipment.why)
        parent = self._files(shipment.parent)
        files, data = updated(parent, shipment.data), shipment.data
        described = manifest_of(files)
        if self._crosses_anew(parent, described) and (features := self._features(files)):
            files = updated(parent, data, codings=refitted(described, features).codings)
        address = manifest_of(files).address
        routes = {shipment.parent: parcel(parent, files, data)}
        if self.source != shipment.parent:
            routes[self.source] = parcel(self._held[self.source], files)
        self._keep(address, files)
        return Version(shipment.number, address, shipment.parent, files, routes, shipment.why)

    def homeward(self, number: int) -> Recall:
        """Back to the source, whatever devices have."""
        return Recall(number, self.source, self._held[self.source], "adapting begins at the source")

    def _files(self, address: str) -> Files:
        if address not in self._held:
            known = ", ".join(a[:12] for a in self._held)
            raise ModelError("a shipment is of a version that is no longer held", got=address[:12], allowed=known)
        return self._held[address]

    def _keep(self, address: str, files: Files) -> None:
        self._held[address] = files
        old = [a for a in self._held if a not in (self.source, self.current)]
        for gone in old[: max(0, len(old) - HELD)]:
            del self._held[gone]

    @staticmethod
    def _crosses_anew(parent: Files, new: Manifest) -> bool:
        """Whether what stands before the link is another than in the parent, and codings have tables that were fitted to it."""
        old = manifest_of(parent)
        before = {"head", new.first} & new.parts.keys()
        return bool(new.codings) and any(new.parts[name].sha256 != old.parts[name].sha256 for name in before)

    def _features(self, files: Files) -> list[NDArray[Any]]:
        """What crosses for the newest pictures, by the new head; nothing where there are too few to count on."""
        pictures = list(self.recent())[-FITTED_ON:]
        if len(pictures) < FITTED_ON:
            return []
        parts = Parts(Bundle.of(files))
        return [crossing(parts, picture) for picture in pictures]


def crossing(parts: Parts, picture: NDArray[np.uint8]) -> NDArray[Any]:
    """The features (1, *shape) that cross the link for a picture, whatever the filter or an exit says of it."""
    first = parts.manifest.first
    here = parts.sample(first, picture)
    if first != "head":
        here = parts.run(first, here)[EARLY]
    found = parts.run("head", here)[parts.manifest.parts["head"].outputs[0].name]
    if not np.isfinite(found).all():
        raise TensorError("a head gives features that are no numbers", got="NaN or infinity", allowed="finite values")
    return found
