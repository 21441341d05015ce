"""The borders that are fuzzed: everything of ours that reads what others wrote.

    frame      a frame's header and check sum
    messages   payloads of control frames, items, rows, news, reports                                    bench/wire_targets.py
    sessions   whole messages into a device's and an edge's session
    manifest   a bundle's manifest, the bundle that it describes, the initialisers of an ONNX file
    release    envelopes, signed documents, a node's verifier                                            bench/document_targets.py
    delta      a coded delta, and a bundle made anew from it
    config     budgets, guards, profiles of devices and links, traces                                    bench/text_targets.py
    features   features in layers, coder tables, a manifest's coding, what an answer holds               bench/feature_targets.py
    http       requests to a server's routes, through its real parser                                    bench/requests.py

A target draws cases from valid bytes of its own (`bench.mutation`). Where a check sum or a signature stands in front of a parser,
some cases are sealed again after they were changed: else hardly one would ever get there.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from edgewise.core.errors import ConfigError

# Parts of all cases, by what a case costs and how near to the wire it is.
SHARES = {
    "frame": 0.22,
    "messages": 0.16,
    "sessions": 0.16,
    "manifest": 0.08,
    "release": 0.12,
    "delta": 0.08,
    "config": 0.09,
    "features": 0.06,
    "http": 0.03,
}


class Target(Protocol):
    """`begin` makes it as new. `draw` gives a case: which of the target's readers, and the bytes for it.

    `feed` gives it to the reader: True where it was taken; False, or an EdgewiseError, where it was refused.
    """

    def begin(self) -> None: ...
    def draw(self, random: Random) -> tuple[int, bytes]: ...
    def feed(self, which: int, data: bytes) -> bool: ...
    def close(self) -> None: ...


def made(name: str) -> Target:
    """The target of this name, ready."""
    if name not in SHARES:
        raise ConfigError("there is no such target", got=name, allowed=", ".join(SHARES))
    from bench import document_targets, feature_targets, requests, text_targets, wire_targets

    targets: dict[str, Callable[[], Target]] = {
        "frame": wire_targets.Frames,
        "messages": wire_targets.Messages,
        "sessions": wire_targets.Sessions,
        "manifest": document_targets.Manifests,
        "release": document_targets.Releases,
        "delta": document_targets.Deltas,
        "config": text_targets.Configs,
        "features": feature_targets.Features,
        "http": requests.Requests,
    }
    return targets[name]()


class Plain:
    """The words of a target that it need not say."""

    def begin(self) -> None: ...
    def close(self) -> None: ...
