"""The job that trains the detector of things: `python -m edgewise.training.things_job --work DIR --seconds 1800`.

Frames are rendered into shards under `work/frames` where they are missing, batches drawn from them by number; a training
that was killed and is started again with the same configuration carries on at its last checkpoint (weights, optimiser,
averages; the draw is a function of the step's number, how many steps fit into the seconds is the machine's). At the end the
averaged weights lie in `work/NAME.safetensors`, with what they are in the header, for `load`. With `bccd` the same network
learns boxes of three kinds of blood cells.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import msgspec
import torch
from msgspec import Struct
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from edgewise.core.errors import ModelError
from edgewise.training import bccd, things_frames
from edgewise.training.loop import Run, train
from edgewise.training.nets import fpn
from edgewise.training.things_draw import Draw, ThingsStep

log = logging.getLogger(__name__)


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole job. `seconds` of wall time at `threads`; `scenes` rendered scenes with `times` frames in six weathers."""

    work: Path = Path("build/things")
    seconds: float = 1800.0
    bccd: Path | None = None
    scenes: int = 800
    times: int = 2
    compressed: float = 0.35
    batch: int = 16
    rate: float = 2.5e-3
    seed: int = 5
    threads: int = 1

    @property
    def name(self) -> str:
        return "bccd" if self.bccd else "things"


def teach(config: Config) -> Path:
    """Do the whole job; gives the file of weights."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    if config.bccd:
        net, parts = bccd.build(), [bccd.frames(config.bccd, "train")]
    else:
        frames = config.work / "frames"
        net, parts = (
            fpn.build(),
            things_frames.shards(frames, config.scenes, config.times, fpn.PICTURE, config.compressed, heard=log.info),
        )
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    draw = Draw(parts, config.batch, config.seed, upside=config.bccd is not None)
    log.info("training %s on %d frames", config.name, sum(len(part) for part in parts))
    outcome = train(net, ThingsStep(draw), Run(config.seconds, config.rate), config.work / config.name)
    path = config.work / f"{config.name}.safetensors"
    save(net, path, f"{outcome.steps} steps in {outcome.seconds:.0f} s; {shown(config)}")
    log.info("wrote %s", path.name)
    return path


def shown(config: Config) -> str:
    """The configuration without the machine's paths."""
    places = {"work": Path(), "bccd": Path(config.bccd.name) if config.bccd else None}
    return msgspec.json.encode(msgspec.structs.replace(config, **places), enc_hook=str).decode()


def save(net: fpn.Detector, path: Path, how: str = "") -> None:
    """The weights of `net` with its sizes in the header."""
    shape = {"classes": net.classes, "keypoints": net.keypoints, "prototypes": net.prototypes}
    weights = {name: value.detach().contiguous() for name, value in net.state_dict().items()}
    save_file(weights, path, {"detector": json.dumps(shape), "trained": how})


def load(path: Path) -> fpn.Detector:
    """The detector whose weights `save` wrote, in evaluation mode."""
    with safe_open(path, "pt") as file:
        facts = file.metadata() or {}
    if "detector" not in facts:
        raise ModelError("the weights are not of this detector", got=path.name, allowed="a file of edgewise.training.things_job")
    net = fpn.build(**json.loads(facts["detector"]))
    net.load_state_dict(load_file(path))
    return net.eval()


def main() -> None:
    import tyro

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    teach(tyro.cli(Config, description=__doc__))


if __name__ == "__main__":
    main()
