"""Weights for `bench.zoo` that look at the picture: a few minutes of training by a seed, then a last layer in closed form.

Random weights will not do: their outputs hardly depend on the picture, and any quantiser agrees with them. Classifiers learn on
crops of 64 px for some hundred steps (AdamW, one cycle), then their batch norms see whole pictures of 128 px, and the last
layer is the ridge solution on 1,200 of them. The detector and the segmentation net learn on rendered junctions (seeds from 1000
on), the audio net on synthetic tones and chirps in noise.

`made(folder)` writes, once, for each network an ONNX file, and the samples that a person would calibrate with: photographs of
Imagenette's validation part (no network has seen them), junctions of test seeds, log-mel arrays. Nothing of it is committed: the
pictures are for research only. The weights depend on the machine's floating point, the figures measured on them hardly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bench import zoo
from bench.zoo_samples import BANDS, HIGH, MOMENTS, SIDE, WIDE, photographs, scaled, sounds, streets
from edgewise.graph.picture import Look
from edgewise.training.export import exported

CROP = 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PHOTOGRAPH = Look(SIDE, SIDE, mean=MEAN, std=STD)
STREET = Look(HIGH, WIDE)
SOLVED = 1200


class Made(Struct, frozen=True):
    """A network of the zoo on disk: its model, the samples for it, what it is for, its look (None: arrays), accuracy where
    known."""

    name: str
    model: Path
    samples: Path
    task: str
    look: Look | None
    outputs: tuple[str, ...]
    note: str = ""


Say = Callable[[str], None]


def made(folder: Path, packs: Path, names: tuple[str, ...] = (), say: Say = lambda _: None) -> dict[str, Made]:
    """The seven networks (those of `names`, or all) in `folder`, made where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Made] = {}
    for name, make in MAKERS.items():
        if names and name not in names:
            continue
        file, note = folder / f"{name}.onnx", folder / f"{name}.txt"
        task, samples, look, outputs = KINDS[name]
        if not note.is_file():
            say(f"training {name}")
            torch.manual_seed(7)
            net, example, told = make(folder, packs)
            source = "x"
            file.write_bytes(exported(fused(net), example, source, list(outputs)))
            note.write_text(told)
            say(f"{name}: {told}")
        found[name] = Made(name, file, folder / samples, task, look, outputs, note.read_text())
    return found


# --- training
# ----------------------------------------------------------------------------------------------------------------------


def train(
    net: nn.Module,
    batch: Callable[[np.random.Generator], tuple[Tensor, object]],
    loss: Callable[..., Tensor],
    steps: int,
    rate: float = 2e-3,
) -> nn.Module:
    """`steps` of AdamW in one cycle; bfloat16 where it helps."""
    net.train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.02)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    generator = np.random.default_rng(3)
    for _ in range(steps):
        x, truth = batch(generator)
        with torch.autocast("cpu", torch.bfloat16):
            said = net(x.to(memory_format=torch.channels_last) if x.ndim == 4 else x)
        value = loss(said, truth)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        cycle.step()
    return net.eval()


def normal(pictures: NDArray[np.uint8]) -> Tensor:
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def classifier(
    build: Callable[[], nn.Module], steps: int, size: int = CROP
) -> Callable[[Path, Path], tuple[nn.Module, Tensor, str]]:
    """A maker of an Imagenette classifier."""

    def make(folder: Path, packs: Path) -> tuple[nn.Module, Tensor, str]:
        pictures, truth = photographs(folder, packs)

        def batch(generator: np.random.Generator) -> tuple[Tensor, Tensor]:
            rows = generator.integers(0, len(pictures), 32)
            top, left = generator.integers(0, SIDE - size + 1, 2)
            cut = pictures[rows, top : top + size, left : left + size]
            return normal(cut[:, :, ::-1] if generator.random() < 0.5 else cut), torch.from_numpy(truth[rows])

        net = train(build(), batch, lambda said, t: functional.cross_entropy(said.float(), t, label_smoothing=0.1), steps)
        settle(net, [normal(pictures[i : i + 50]) for i in range(0, 300, 50)])
        ridge(net, (normal(pictures[i : i + 50]) for i in range(0, SOLVED, 50)), truth[:SOLVED])
        return net, torch.zeros(2, 3, SIDE, SIDE), _accuracy(net, folder)

    return make


def settle(net: nn.Module, batches: list[Tensor]) -> None:
    """Statistics of batch normalisation anew, on whole pictures."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
    net.train()
    with torch.no_grad():
        for x in batches:
            net(x)
    net.eval()


@torch.no_grad()
def ridge(net: nn.Module, batches: Iterator[Tensor], truth: NDArray[np.int64], strength: float = 0.1) -> None:
    """The last layer in closed form: ridge regression of ±1 on the features, scaled to the spread of logits."""
    features = torch.cat([net.embed(x) for x in batches]).double()
    wanted = functional.one_hot(torch.from_numpy(truth)).double() * 2 - 1
    centre = features.mean(0)
    x = features - centre
    gram = x.T @ x + strength * x.square().sum(0).mean() * torch.eye(x.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, x.T @ (wanted - wanted.mean(0)))
    net.last.weight.copy_(8 * weights.T)
    net.last.bias.copy_(8 * (wanted.mean(0) - centre @ weights))


@torch.no_grad()
def _accuracy(net: nn.Module, folder: Path) -> str:
    files = sorted((folder / "pictures").iterdir())[::7]
    classes = sorted({f.name.split("_")[0] for f in files})
    x = np.stack([scaled(f.read_bytes(), SIDE) for f in files])
    said = torch.cat([net(normal(x[i : i + 50])).argmax(1) for i in range(0, len(x), 50)]).numpy()
    right = np.mean([said[i] == classes.index(f.name.split("_")[0]) for i, f in enumerate(files)])
    return f"top-1 {100 * right:.1f} % of {len(files)} validation pictures"


def make_yolo(folder: Path, packs: Path) -> tuple[nn.Module, Tensor, str]:
    data = streets(folder)

    def batch(generator: np.random.Generator) -> tuple[Tensor, object]:
        rows = generator.integers(0, len(data.pictures), 12)
        flip = generator.random() < 0.5
        x = torch.from_numpy(data.pictures[rows]).permute(0, 3, 1, 2).float() / 255
        boxes = [data.boxes[i] for i in rows]
        if flip:
            x, boxes = x.flip(3), [np.stack([1 - b[:, 2], b[:, 1], 1 - b[:, 0], b[:, 3]], 1) for b in boxes]
        return x, boxes

    net = train(zoo.Yolo(), batch, yolo_loss, 700)
    return net, torch.zeros(2, 3, HIGH, WIDE), "trained on 600 rendered junctions"


def yolo_loss(maps: tuple[Tensor, ...], boxes: list[NDArray[np.float64]]) -> Tensor:
    """Each vehicle belongs to the cell of its centre, on the level that its size asks for."""
    total = torch.zeros(())
    for level, raw in enumerate(maps):
        said = raw.float()
        stride = 8 << level
        object_ = torch.zeros_like(said[:, 4])
        places, wanted = [], []
        for row, found in enumerate(boxes):
            for x0, y0, x1, y1 in found * np.array([WIDE, HIGH, WIDE, HIGH]):
                longer = max(x1 - x0, y1 - y0)
                if level != (0 if longer < 24 else 1 if longer < 60 else 2):
                    continue
                x, y = (x0 + x1) / 2 / stride, (y0 + y1) / 2 / stride
                column, line = min(int(x), said.shape[3] - 1), min(int(y), said.shape[2] - 1)
                object_[row, line, column] = 1
                places.append((row, line, column))
                wanted.append((x - column, y - line, np.log((x1 - x0) / stride), np.log((y1 - y0) / stride)))
        total = total + functional.binary_cross_entropy_with_logits(
            said[:, 4], object_, pos_weight=torch.tensor(4.0), reduction="sum"
        ) / (20 * len(boxes))
        if places:
            row, line, column = (torch.tensor(p) for p in zip(*places, strict=True))
            at = said[row, :, line, column]
            total = total + functional.smooth_l1_loss(at[:, :4], torch.tensor(np.array(wanted)).float(), reduction="sum") / (
                4 * len(boxes)
            )
            total = total + functional.softplus(-at[:, 5]).sum() / (20 * len(boxes))
    return total


def make_segmenter(folder: Path, packs: Path) -> tuple[nn.Module, Tensor, str]:
    data = streets(folder)

    def batch(generator: np.random.Generator) -> tuple[Tensor, object]:
        rows = generator.integers(0, len(data.pictures), 12)
        x = torch.from_numpy(data.pictures[rows]).permute(0, 3, 1, 2).float() / 255
        truth = torch.from_numpy(data.masks[rows]).long()
        return (x.flip(3), truth.flip(2)) if generator.random() < 0.5 else (x, truth)

    weight = torch.tensor([1.0, 4.0])
    net = train(zoo.Segmenter(), batch, lambda said, t: functional.cross_entropy(said.float(), t, weight), 500)
    return net, torch.zeros(2, 3, HIGH, WIDE), "trained on 600 rendered junctions"


def make_audio(folder: Path, packs: Path) -> tuple[nn.Module, Tensor, str]:
    shown = folder / "sounds"
    shown.mkdir(exist_ok=True)
    arrays, truth = sounds(800, np.random.default_rng(12))
    for i, array in enumerate(arrays):
        np.save(shown / f"{i:04}.npy", array)
    pictures, kinds = sounds(2000, np.random.default_rng(11))

    def batch(generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        rows = generator.integers(0, len(pictures), 32)
        return torch.from_numpy(pictures[rows]), torch.from_numpy(kinds[rows])

    net = train(zoo.audio_cnn(), batch, lambda said, t: functional.cross_entropy(said.float(), t), 300)
    with torch.no_grad():
        said = torch.cat([net(torch.from_numpy(arrays[i : i + 50])).argmax(1) for i in range(0, len(arrays), 50)]).numpy()
    right = float(np.mean(said == truth))
    return net, torch.zeros(2, 1, BANDS, MOMENTS), f"top-1 {100 * right:.1f} % of {len(arrays)} sounds that it has not seen"


def fused(net: nn.Module) -> nn.Module:
    """The net with each batch normalisation that follows a convolution folded into it, as exporters do."""
    for module in net.modules():
        if isinstance(module, nn.Sequential):
            for i in range(len(module) - 1):
                if isinstance(module[i], nn.Conv2d) and isinstance(module[i + 1], nn.BatchNorm2d):
                    module[i], module[i + 1] = fuse_conv_bn_eval(module[i], module[i + 1]), nn.Identity()
    return net.eval().to(memory_format=torch.contiguous_format)


MAKERS: dict[str, Callable[[Path, Path], tuple[nn.Module, Tensor, str]]] = {
    "audio_cnn": make_audio,
    "segmenter": make_segmenter,
    "yolo": make_yolo,
    "vit": classifier(zoo.VisionTransformer, 700, SIDE),
    "mobilenet_v2": classifier(zoo.mobilenet_v2, 900),
    "densenet": classifier(zoo.densenet, 250),
    "resnet18": classifier(zoo.resnet18, 250),
}
KINDS: dict[str, tuple[str, str, Look | None, tuple[str, ...]]] = {
    "audio_cnn": ("classification", "sounds", None, ("logits",)),
    "segmenter": ("segmentation", "streets", STREET, ("logits",)),
    "yolo": ("detection", "streets", STREET, ("fine", "middle", "coarse")),
    "vit": ("classification", "pictures", PHOTOGRAPH, ("logits",)),
    "mobilenet_v2": ("classification", "pictures", PHOTOGRAPH, ("logits",)),
    "densenet": ("classification", "pictures", PHOTOGRAPH, ("logits",)),
    "resnet18": ("classification", "pictures", PHOTOGRAPH, ("logits",)),
}
