"""A split model as a bundle: parts, codings, operating points, and where its figures are from.

`head` and `tail` are the two sides of the cut, `local` the uncut model on the device, which answers when the link does not. A
server answers pictures with head and tail, which together are the uncut model. It measures nothing.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from edgewise.core.artifact import Bottleneck, Coding, Decoding, Manifest, PartName, Picture, Task
from edgewise.core.placement import OperatingPoint
from edgewise.runtime.bundle import write_bundle

PACKAGES = ("numpy", "onnx", "onnxruntime", "pillow")


def package(
    folder: Path,
    *,
    name: str,
    task: Task,
    labels: Sequence[str],
    models: Mapping[PartName, bytes],
    picture: Picture | None,
    bottleneck: Bottleneck,
    decoding: Decoding,
    points: Sequence[OperatingPoint],
    codings: Mapping[str, Coding],
    provenance: Mapping[str, str],
) -> Manifest:
    """Write the bundle; ModelError where its parts contradict each other. `picture` is None for models that take none."""
    return write_bundle(
        folder,
        name=name,
        task=task,
        labels=tuple(labels),
        parts=models,
        pictures={} if picture is None else {part: picture for part in models if part in ("head", "local", "full")},
        bottleneck=bottleneck,
        decoding=decoding,
        points=tuple(points),
        codings=codings,
        provenance={**provenance, "versions": versions()},
    )


def versions() -> str:
    return ", ".join([f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)])
