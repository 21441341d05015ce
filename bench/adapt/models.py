"""Students and teachers of the benchmark: trained once into the build folder, gone on with where a kill stopped them.

| data | role | network | trained |
|---|---|---|---|
| cifar10, 32 px | student | ResNet-20, published weights | 300 steps of 100 on the JPEG copies, mirrored and shifted alone |
| | teacher | ResNet-56, published weights | 1,500 steps of 100, nine in ten through a family, severities 3 to 5 |
| imagenette, 128 px | student | ResNet-10 | the course of bench/rates |
| | teacher | ResNet-18 | the same course, one in two through a family |

The student never saw a shift (that is what it is to be adapted to), the teacher saw every family, on other pictures: its
head-room is there **by construction** and is no zero-shot figure (long runs, "Set-up"). Its own statistics stay as they were
trained. The published weights of CIFAR had these training pictures too, the 2,000 for choosing among them: that record's clean
share is too good, and only the test pictures say what the network is worth.

What is left is `models/DATA-ROLE-SEED.safetensors` and a record beside it: right answers on the pictures for choosing, clean and
through each family at severity 5. Pictures of these packs are for research alone, and so are the weights. It does not
know what the head-room will be.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from bench.adapt import data
from bench.adapt.nets import CifarResNet, published
from bench.kept import document
from bench.rates.imagenette import TEACHING
from edgewise.core.errors import ConfigError
from edgewise.data.album import Album
from edgewise.data.corruptions import KINDS
from edgewise.data.streams import Domain, seen
from edgewise.graph.picture import Look
from edgewise.training.classes import MEAN, SMOOTHED, STD, lasting, tensor
from edgewise.training.course import Advance, Course, Pictures, follow
from edgewise.training.fingerprint import fingerprint
from edgewise.training.nets.resnet import resnet10, resnet18

Data = Literal["cifar10", "imagenette"]
Role = Literal["student", "teacher"]
LOOKS: dict[Data, Look] = {"cifar10": Look(32, 32, mean=MEAN, std=STD), "imagenette": Look(128, 128, mean=MEAN, std=STD)}
MARGIN = 4  # pixels around a picture of CIFAR, within which a crop is shifted
SEVERITIES = (3, 4, 5)  # that a teacher is shown
JUDGED = 5  # severity of the record
BATCH = 250
CLEAR = Domain()


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """How one network is trained: `net`, its `course`, the share of pictures `through` a family, and pixels of `margin`."""

    net: str
    course: Course
    through: float = 0.0
    kinds: tuple[str, ...] = KINDS
    margin: int = 0


def _epochs(steps: int, batch: int = 100, pictures: int = 18_000) -> float:
    return steps * batch / pictures


PLANS: dict[tuple[Data, Role], Plan] = {
    ("cifar10", "student"): Plan("cifar-20", Course(_epochs(300), 0.02, 100, crop=32), margin=MARGIN),
    ("cifar10", "teacher"): Plan("cifar-56", Course(_epochs(1500), 0.02, 100, crop=32), 0.9, margin=MARGIN),
    ("imagenette", "student"): Plan("resnet10", TEACHING),
    ("imagenette", "teacher"): Plan("resnet18", TEACHING, 0.5),
}


class Fitted(Struct, frozen=True, forbid_unknown_fields=True):
    """The record: `clean` and `through` (by family, severity JUDGED) are shares of right answers on `n` pictures for choosing."""

    data: str
    role: str
    seed: int
    net: str
    steps: int
    n: int
    clean: float
    through: dict[str, float]
    saw: tuple[str, ...]


class Framed(Struct, frozen=True):
    """An Album as a course takes it, `margin` pixels of grey (the pictures' own mean) around each picture."""

    album: Album
    margin: int

    def __len__(self) -> int:
        return len(self.album)

    def of(self, indices: list[int]) -> Pictures:
        """(n, height + 2·margin, width + 2·margin, 3)."""
        stacked = self.album.stack(indices)
        if not self.margin:
            return stacked
        n, high, wide, _ = stacked.shape
        framed = np.empty((n, high + 2 * self.margin, wide + 2 * self.margin, 3), np.uint8)
        framed[:] = stacked.mean((1, 2), keepdims=True)
        framed[:, self.margin : -self.margin, self.margin : -self.margin] = stacked
        return framed


class Lesson:
    """Cross-entropy with smoothed labels of pictures, a share of them `through` a family drawn by the seed and the step."""

    def __init__(self, net: nn.Module, labels: NDArray[np.int64], look: Look, plan: Plan) -> None:
        self._net, self._labels, self._look, self._plan = net, torch.from_numpy(labels), look, plan
        self._number = 0

    def prepare(self, number: int, steps: int) -> None:
        self._number = number

    def __call__(self, pictures: Pictures, indices: list[int]) -> Tensor:
        logits = self._net(tensor(self.shown(pictures), self._look)).float()
        return functional.cross_entropy(logits, self._labels[indices], label_smoothing=SMOOTHED)

    def shown(self, pictures: Pictures) -> Pictures:
        """The batch of this step as it is seen."""
        plan = self._plan
        if not plan.through:
            return pictures
        generator = np.random.default_rng([plan.course.seed, self._number, 41])
        out = pictures.copy()
        for i in np.flatnonzero(generator.random(len(pictures)) < plan.through).tolist():
            domain = Domain(plan.kinds[int(generator.integers(len(plan.kinds)))], int(generator.choice(SEVERITIES)))
            out[i] = seen(pictures[i], domain, [plan.course.seed, self._number, i])
        return out


def fit(
    work: Path,
    advance: Advance = lambda what, share: None,
    data_set: Data = "cifar10",
    role: Role = "student",
    seed: int = 0,
    limit: int = 0,
    epochs: float = 0.0,
) -> Fitted:
    """Train the network of that role in `work`, or take up what is there; a job. `limit` pictures; `epochs` if not the plan's.

    About 150 s of one processor for the student of CIFAR, 10 minutes for its teacher (notes); Imagenette was not timed.
    ConfigError where the folder holds another training.
    """
    plan = planned(data_set, role, seed, epochs)
    kept = record_file(work, data_set, role, seed)
    if kept.exists() and weights_file(work, data_set, role, seed).exists():
        return msgspec.json.decode(kept.read_bytes(), type=Fitted)
    album = pictures(data_set, "teach", work, limit, advance)
    source = Framed(album, plan.margin)
    net = lasting(begun(plan)).train()
    lesson = Lesson(net, album.labels, LOOKS[data_set], plan)
    about = fingerprint(msgspec.json.encode(plan), source, [net])
    steps = follow(
        net, net.parameters(), source, lesson, plan.course, work / "training" / f"{data_set}-{role}-{seed}", advance,
        prepare=lesson.prepare, about=about,
    )  # fmt: skip
    judged = pictures(data_set, "choose", work, limit, advance)
    net = net.eval().requires_grad_(False)
    clean, through = judge(net, judged, LOOKS[data_set], seed, advance)
    done = Fitted(data_set, role, seed, plan.net, steps, len(judged), clean, through, plan.kinds if plan.through else ())
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, _ready(weights_file(work, data_set, role, seed)))
    document(kept, done)
    return done


def planned(data_set: Data, role: Role, seed: int = 0, epochs: float = 0.0) -> Plan:
    """The plan with that seed, and other epochs where they are given."""
    plan = PLANS[data_set, role]
    course = msgspec.structs.replace(plan.course, seed=seed, epochs=epochs or plan.course.epochs)
    return msgspec.structs.replace(plan, course=course)


def begun(plan: Plan) -> nn.Module:
    """The network before its course: published weights, or drawn by the course's seed."""
    if plan.net.startswith("cifar-"):
        return published(int(plan.net.removeprefix("cifar-")))
    torch.manual_seed(plan.course.seed)
    return _blank(plan.net)


def _blank(name: str) -> nn.Module:
    """The network of a plan's name, its values drawn."""
    if name.startswith("cifar-"):
        return CifarResNet(int(name.removeprefix("cifar-")))
    return resnet10() if name == "resnet10" else resnet18()


def taken(work: Path, data_set: Data, role: Role, seed: int = 0) -> nn.Module:
    """The trained network, in evaluation mode and frozen; it takes pictures by LOOKS. ConfigError where `fit` was not run."""
    file = weights_file(work, data_set, role, seed)
    if not file.exists():
        raise ConfigError(
            f"the {role} of {data_set} is not trained", got=file, hint=f"bench.adapt.models.fit(work, {data_set=}, {role=}) does."
        )
    net = _blank(PLANS[data_set, role].net)
    net.load_state_dict(load_file(file), strict=False)
    return net.eval().requires_grad_(False)


def judge(
    net: nn.Module, album: Album, look: Look, seed: int = 0, advance: Advance = lambda what, share: None
) -> tuple[float, dict[str, float]]:
    """Shares of right answers: clean, and through each family at severity JUDGED."""
    domains = [CLEAR, *(Domain(kind, JUDGED) for kind in KINDS)]
    shares = []
    for i, domain in enumerate(domains):
        shares.append(float(right(net, album, look, domain, seed).mean()))
        advance("judging", (i + 1) / len(domains))
    return shares[0], dict(zip(KINDS, shares[1:], strict=True))


def right(net: nn.Module, album: Album, look: Look, domain: Domain = CLEAR, seed: int = 0) -> NDArray[np.bool_]:
    """Whether a network in evaluation mode, with its own statistics, is right, picture by picture (n,)."""
    found = []
    with torch.no_grad():
        for first in range(0, len(album), BATCH):
            indices = range(first, min(first + BATCH, len(album)))
            shown = np.stack([seen(album.of(i), domain, [seed, 0, i]) for i in indices])
            found.append(net(tensor(shown, look)).argmax(1).numpy())
    return np.asarray(np.concatenate(found) == album.labels)


def pictures(data_set: Data, part: data.Part, work: Path, limit: int = 0, advance: Advance = lambda what, share: None) -> Album:
    """The pictures of that part, decoded once into `work`."""
    return (data.cifar10 if data_set == "cifar10" else data.imagenette)(part, work / "pictures", limit, advance=advance)


def weights_file(work: Path, data_set: Data, role: Role, seed: int = 0) -> Path:
    return work / leaves(data_set, role, seed)[0]


def record_file(work: Path, data_set: Data, role: Role, seed: int = 0) -> Path:
    return work / leaves(data_set, role, seed)[1]


def leaves(data_set: Data, role: Role, seed: int = 0) -> Sequence[str]:
    """What `fit` leaves below the work folder, for the job that runs it."""
    return f"models/{data_set}-{role}-{seed}.safetensors", f"models/{data_set}-{role}-{seed}.json"


def _ready(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
