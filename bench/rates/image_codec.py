"""A picture codec of our own with a factorised prior: what a learned codec needs that knows nothing of the task.

Trained as the students are (`edgewise.split.training.ladder`: the same pictures, crops, optimiser, noise, prior, epochs), but to
give back the picture: D is the squared error relative to the pictures' variance, R bits for each pixel. It is frozen to the same
integer tables and coded by the same coder, so that what it costs beside a student is what knowing the task saves.

    image-codec         pictures decoded, rounded to bytes, before the teacher as it is
    image-codec-tuned   before the whole teacher tuned on what its rates give back, as for every other codec

    epochs            here
    stage 1, first β    10      every further β, warm-started from the one before: 5
    tail                 4

`LearnedCodec` codes any RGB picture, of one size a stream: `encode(picture)` to bytes and `decode(bytes)` to a picture again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import nn

from bench.jobs import Advance, Job, Size
from bench.rates.decoded import TUNING, Decoded, answered, files, tuned
from bench.rates.entropic import point
from bench.rates.ground import Ground, ground
from bench.rates.jobs import DATA, record_file
from bench.rates.record import About, Record, keep
from edgewise.codec.features import FeatureCodec
from edgewise.core.errors import ImageError
from edgewise.core.wire import FRAME_HEADER
from edgewise.graph.picture import Look
from edgewise.split.training.factorised import halvings
from edgewise.split.training.ladder import Climb
from edgewise.split.training.rung import Plan, Rung
from edgewise.split.training.stretch import split_of
from edgewise.training.classes import tensor
from edgewise.training.course import Pictures, Source

METHOD, DESIGN, CUT = "image-codec", "factorised", "picture"
BETAS: dict[Size, tuple[float, ...]] = {"quick": (0.2,), "medium": (0.01, 0.03), "full": (0.01, 0.03, 0.1)}
EPOCHS: dict[Size, tuple[float, float]] = {"quick": (2, 1), "medium": (3, 2), "full": (10, 5)}
ROUNDED = 0.3  # of stage 1: the codec's own rounding before the decoder, as ours


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """A job for each β after that of the one before, and one for the tuned tail behind all of them."""
    found: list[Job] = []
    priority, betas = 3 if seed == 0 else 6, BETAS[size]
    for index, beta in enumerate(betas):
        leaves: tuple[str, ...] = (record_file(METHOD, point(beta), seed, data=DATA[size]),)
        arguments = {"index": index, "seed": seed, "size": size}
        after = (found[-1].name,) if found else ()
        found.append(Job(f"{METHOD}-{point(beta)}.{seed}", "bench.rates.image_codec:as_is", leaves, arguments, priority, after))
    leaves = tuple(record_file(f"{METHOD}-tuned", point(beta), seed, data=DATA[size]) for beta in betas)
    arguments = {"seed": seed, "size": size}
    name, run = f"{METHOD}-tuned.{seed}", "bench.rates.image_codec:with_tuned_tail"
    return [*found, Job(name, run, leaves, arguments, priority, (found[-1].name,))]


def as_is(work: Path, advance: Advance, index: int, size: Size = "full", seed: int = 0) -> None:
    """The codec of one β, and its record with the teacher as it is."""
    found = ground(work, size, advance)
    done = rung(work, found, index, size, seed, advance)
    _judge(work, found, found.teacher, done, size, seed, advance, {})


def with_tuned_tail(work: Path, advance: Advance, size: Size = "full", seed: int = 0) -> None:
    """The teacher tuned on what all rates give back, and a record for each."""
    found = ground(work, size, advance)
    rungs = [rung(work, found, index, size, seed, advance) for index in range(len(BETAS[size]))]
    ways = [LearnedCodec(done, (found.look.height, found.look.width)).again for done in rungs]
    net = tuned(found, ways, TUNING[size], seed, work / "tuned" / f"{METHOD}.{seed}", advance)
    for done in rungs:
        _judge(work, found, net, done, size, seed, advance, {"tail": TUNING[size].epochs})


def rung(
    work: Path, found: Ground, index: int, size: Size = "full", seed: int = 0, advance: Advance = lambda what, share: None
) -> Rung:
    """The codec of BETAS[size][index], trained in `work`; what is there is taken up."""
    first, further = EPOCHS[size]
    asked = Plan(BETAS[size], first=first, further=further, tuned=0, losses=(CUT,), rounded=ROUNDED, crop=found.crop, seed=seed)
    teacher = nn.Sequential(OrderedDict({CUT: nn.Identity()}))  # the picture itself is what is to be given back
    return Climb(teacher, CUT, DESIGN, found.train, None, found.look, asked, work / METHOD / f"seed-{seed}", advance).rung(index)


class LearnedCodec:
    """uint8 RGB (height, width, 3) of one `size` both ways: encoder, rounding, rANS and back. Sides that the encoder's stride
    does not divide are padded by their border, and cut again.

    >>> LearnedCodec(rung(work, ground(work), 1), (360, 640)).encode(picture)  # doctest: +SKIP
    """

    def __init__(self, done: Rung, size: tuple[int, int]) -> None:
        split, self.look, self.size = split_of(done.net, done.stretch), done.look, size
        self.encoder, self.between, self.decoder = split.encoder.eval(), split.between.eval(), split.decoder.eval()
        self.stride = 1 << halvings(done.stretch.geometry.inside[1:])
        rows, columns = (-(-side // self.stride) for side in size)
        shape = (done.bottleneck.channels, rows, columns)
        self.codec = FeatureCodec(replace(done.bottleneck, shape=shape), done.coding)

    def encode(self, image: NDArray[np.uint8]) -> bytes:
        """The picture's bytes; ImageError where it has another size."""
        if image.shape != (*self.size, 3) or image.dtype != np.uint8:
            raise ImageError(
                "not a picture of this stream", got=f"{image.dtype} {image.shape}", allowed=f"uint8 {(*self.size, 3)}"
            )
        with torch.no_grad():
            features = self.encoder(self._seen(image[None]))
        return self.codec.encode(np.ascontiguousarray(features.numpy()))

    def decode(self, data: bytes | memoryview) -> NDArray[np.uint8]:
        """The picture again; TensorError for other bytes."""
        picture: NDArray[np.uint8] = self._pictures(torch.from_numpy(self.codec.decode(data)))[0]
        return picture

    def again(self, pictures: Pictures) -> Pictures:
        """Pictures (n, height, width, 3) as they come back: what decode(encode(·)) gives but for the last bit of a float, without
        writing bytes."""
        with torch.no_grad():
            return self._pictures(self.between(self.encoder(self._seen(pictures))))

    def _seen(self, pictures: Pictures) -> torch.Tensor:
        """(n, 3, rows, columns) normalised, padded to the stride."""
        more = [(0, -side % self.stride) for side in self.size]
        return tensor(np.pad(pictures, ((0, 0), *more, (0, 0)), mode="edge"), self.look)

    @torch.no_grad()
    def _pictures(self, features: torch.Tensor) -> Pictures:
        height, width = self.size
        found: Pictures = bytes_of(self.decoder(features), self.look)[:, :height, :width]
        return found


def bytes_of(values: torch.Tensor, look: Look) -> Pictures:
    """Pictures (n, height, width, 3) uint8 of what a network sees (n, 3, height, width): a Look undone."""
    mean, std = (torch.tensor(v, dtype=torch.float32).reshape(1, -1, 1, 1) for v in (look.mean, look.std))
    bytes_ = ((values.float() * std + mean) / look.scale).round().clamp(0, 255).to(torch.uint8)
    found: Pictures = np.ascontiguousarray(bytes_.permute(0, 2, 3, 1).numpy())
    return found


def _judge(
    work: Path, found: Ground, net: nn.Module, done: Rung, size: Size, seed: int, advance: Advance, epochs: dict[str, float]
) -> None:
    name, codec = point(done.beta), LearnedCodec(done, (found.look.height, found.look.width))
    tables = hashlib.sha256(msgspec.json.encode(done.coding)).hexdigest()[:12]  # another training of this β has others
    kept = files(found.held, codec, work / "coded" / f"{found.data}-{METHOD}-{name}-{seed}-{tables}.npz", advance)
    source: Source = Decoded(kept, codec)
    parameters = sum(p.numel() for p in codec.encoder.parameters())
    about = About(
        METHOD + "-tuned" * bool(epochs),
        name,
        seed,
        data=found.data,
        epochs={"stage 1": done.history["stage 1"], **epochs},
        parameters=parameters,
        more={"beta": done.beta, "estimated": done.history["estimated"], "psnr": psnr(found.held, source)},
    )
    keep(Record(about, answered(net, source, found), kept.sizes + FRAME_HEADER), work)


def psnr(was: Source, came: Source, most: int = 512) -> float:
    """dB of the mean squared error over the first `most` pictures."""
    indices = list(range(min(most, len(was))))
    error = np.mean([np.square(came.of([i]).astype(np.float64) - was.of([i])).mean() for i in indices])
    return float(10 * np.log10(255**2 / error))
