"""What a model must not forget: pictures of its own domain, on which a step is judged before it goes out.

From a folder that a user names, or rendered where the bundle brings a probe; without either, agreement with the teacher is all
that a step is judged by, and a teacher that is wrong is then believed. Labels are not needed: what counts is that the answers
stay those that the source gives.
"""

from __future__ import annotations

import logging
from pathlib import Path

from edgewise.adapt.teacher import Picture
from edgewise.adapt.upload import Calibration
from edgewise.apps.vision import probe
from edgewise.core.artifact import Manifest
from edgewise.core.errors import ConfigError, ImageError
from edgewise.data.picture import SUFFIXES, read_picture

log = logging.getLogger("edgewise.adapting")
MOST = 100  # pictures (adapt notes 2.5)


def calibration(folder: str, manifest: Manifest) -> Calibration | None:
    """Pictures of the home domain; None where nobody says which. ConfigError for a folder without any."""
    pictures = _lying(Path(folder)) if folder else _rendered(manifest)
    return Calibration(pictures) if pictures else None


def _lying(folder: Path) -> tuple[Picture, ...]:
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    found = []
    for file in files[:: max(1, len(files) // MOST)][:MOST]:
        try:
            found.append(read_picture(file.read_bytes(), file.name))
        except ImageError as error:
            log.warning("a picture of the model's own domain is left out: %s", error)
    if not found:
        raise ConfigError("there are no pictures of the model's own domain", got=folder, allowed="a folder with pictures")
    return tuple(found)


def _rendered(manifest: Manifest) -> tuple[Picture, ...]:
    return probe.scenes(manifest.probe)[0] if manifest.probe else ()
