"""A student learns, nobody else does, and a training that is killed ends as if it had not been."""

import hashlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.core.errors import ConfigError, ModelError  # noqa: E402
from edgewise.graph.picture import Look  # noqa: E402
from edgewise.split.training.learn import Training, looked  # noqa: E402
from edgewise.split.training.recipe import Recipe  # noqa: E402
from edgewise.split.training.student import geometry, student  # noqa: E402
from edgewise.training.course import CHECKPOINT  # noqa: E402
from edgewise.training.distil import Distil  # noqa: E402
from tests.split.tiny import Blobs, Tiny, build  # noqa: E402

LOOK = Look(29, 30)
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pupil(teacher: Tiny, cut: str = "layer1", seed: int = 0) -> torch.nn.Module:
    return student(teacher, cut, geometry(teacher, cut, looked(Blobs().of([0, 1]), LOOK)), 6, seed)


def away(teacher: Tiny, net: torch.nn.Module, *paths: str) -> float:
    pictures = looked(Blobs(16, seed=9).pictures, LOOK)  # others than those of the training
    return Distil(teacher, net.eval(), dict.fromkeys(paths, 1.0), relative=True)(pictures)[0].item()


def digest(net: torch.nn.Module) -> str:
    values = b"".join(k.encode() + v.numpy().tobytes() for k, v in net.state_dict().items())
    return hashlib.sha256(values).hexdigest()


@pytest.mark.parametrize("name", ["hnd", "ghnd"])
def test_the_gap_falls_and_only_the_bottleneck_has_changed(name: str, tmp_path: Path) -> None:
    teacher = build()
    net, before = pupil(teacher), {k: v.clone() for k, v in pupil(teacher).state_dict().items()}
    untrained = away(teacher, pupil(teacher), "layer1", "layer2")
    learnt = Training(teacher, net, "layer1", Blobs(), LOOK, Recipe(name, epochs=15, rate=1e-2), 1, tmp_path).learn()
    assert learnt.steps == 180 and away(teacher, net, "layer1", "layer2") < 0.5 * untrained
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(k.startswith(("layer1.encoder.", "layer1.decoder.")) for k in changed)
    assert all(torch.equal(v, build().state_dict()[k]) for k, v in teacher.state_dict().items())


class Coded(torch.nn.Module):
    """Codes of two bits."""

    def __init__(self, low: torch.Tensor, high: torch.Tensor) -> None:
        super().__init__()
        self.low, self.step = low[None, :, None, None], (high - low)[None, :, None, None] / 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.round((x - self.low) / self.step).clamp(0, 3) * self.step + self.low


def test_disturbed_codes_of_two_bits_lose_less(tmp_path: Path) -> None:
    teacher, lost = build(), {}
    for noise in ("none", "round"):
        net, recipe = pupil(teacher), Recipe("ghnd", epochs=15, noise=noise, late=0.75, bits=(4, 2), rate=1e-2)
        learnt = Training(teacher, net, "layer1", Blobs(), LOOK, recipe, 1, tmp_path / noise).learn()
        features = net.layer1.encoder(teacher.stem(looked(Blobs().pictures, LOOK)))
        low, high = features.amin((0, 2, 3)), features.amax((0, 2, 3))
        if learnt.low:
            low, high = torch.tensor(learnt.low), torch.tensor(learnt.high)
        clean = away(teacher, net, "layer1", "layer2")
        net.layer1.between = Coded(low, high)
        lost[noise] = away(teacher, net, "layer1", "layer2") - clean
    assert lost["round"] < 0.5 * lost["none"]


def test_a_price_on_bits_is_paid(tmp_path: Path) -> None:
    teacher = build()
    entropy = {}
    for price in (0.0, 5.0):
        net = pupil(teacher)
        recipe = Recipe("ghnd", epochs=12, noise="round", late=0.75, bits=(4,), relative=True, price=price, rate=3e-3)
        learnt = Training(teacher, net, "layer1", Blobs(), LOOK, recipe, 1, tmp_path / str(price)).learn()
        features = net.layer1.encoder(teacher.stem(looked(Blobs(16, seed=9).pictures, LOOK))).detach().numpy()
        low, high = (np.array(v)[None, :, None, None] for v in (learnt.low, learnt.high))
        codes = np.round((np.clip(features, low, high) - low) / (high - low) * 15).astype(int)
        shares = [np.bincount(codes[:, c].ravel(), minlength=16) / codes[:, c].size for c in range(6)]
        entropy[price] = float(np.mean([-(s[s > 0] * np.log2(s[s > 0])).sum() for s in shares]))
    assert entropy[5.0] < 0.8 * entropy[0.0]


RUN = """
import sys, time, torch
from pathlib import Path
sys.path.insert(0, {root!r})
torch.set_num_threads(1)
from tests.split.training.test_learn import *
net = pupil(build())
recipe = Recipe("ghnd", {bound}, noise="round", relative=True, price=1.0)
class Slow(Blobs):
    def of(self, indices):
        time.sleep({pause})
        return super().of(indices)
Training(build(), net, "layer1", Slow(), LOOK, recipe, 1, Path(sys.argv[1])).learn(keep={keep})
print(digest(net))
"""


def run(work: Path, pause: float = 0.0, bound: str = "epochs=15") -> subprocess.Popen[str]:
    keep = 30.0 if "seconds" in bound else 0.05
    program = RUN.format(root=str(ROOT), pause=pause, bound=bound, keep=keep)
    return subprocess.Popen([sys.executable, "-c", program, str(work)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_killed_and_resumed_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    """Killed while the bottleneck is disturbed, densities and all."""
    with run(tmp_path / "broken", pause=0.004) as broken:
        record, deadline = tmp_path / "broken" / "record.jsonl", time.monotonic() + 60
        while time.monotonic() < deadline and (not record.exists() or '"bits"' not in record.read_text()):
            time.sleep(0.02)
        os.kill(broken.pid, signal.SIGKILL)
        assert broken.wait() == -signal.SIGKILL
    state = torch.load(tmp_path / "broken" / CHECKPOINT, weights_only=True)
    assert 0 < state["step"] < state["steps"] == 180
    with run(tmp_path / "broken") as again:
        said = again.communicate(timeout=60)[0].strip()
    net, recipe = pupil(build()), Recipe("ghnd", epochs=15, noise="round", relative=True, price=1.0)
    Training(build(), net, "layer1", Blobs(), LOOK, recipe, 1, tmp_path / "whole").learn()
    assert said == digest(net)


class Stop(Exception):
    pass


def test_stopped_before_its_last_checkpoint_it_goes_back_there(tmp_path: Path) -> None:
    teacher, recipe = build(), Recipe("ghnd", epochs=10, noise="uniform")
    ends = []
    for name, stops in (("whole", ()), ("broken", (0.3, 0.8))):
        for stop in (*stops, 2.0):
            net = pupil(teacher)

            def heard(what: str, share: float, stop: float = stop) -> None:
                if share >= stop:
                    raise Stop

            training = Training(teacher, net, "layer1", Blobs(), LOOK, recipe, 1, tmp_path / name)
            try:
                training.learn(heard, keep=0.1)
            except Stop:
                continue
        ends.append(digest(net))
    assert ends[0] == ends[1]


def test_a_run_bounded_by_seconds_counts_its_steps_once(tmp_path: Path) -> None:
    teacher, recipe = build(), Recipe("hnd", seconds=1.5)
    learnt = Training(teacher, pupil(teacher), "layer1", Blobs(), LOOK, recipe, 1, tmp_path).learn()
    assert learnt.steps > 20
    again = Training(teacher, pupil(teacher), "layer1", Blobs(), LOOK, recipe, 1, tmp_path).learn()
    assert again == learnt  # nothing is left to do


def test_a_busy_machine_learns_as_many_steps(tmp_path: Path) -> None:
    """Waiting is not training: the steps are counted by processor time."""
    teacher, passed = build(), itertools.count()

    class Waiting(Blobs):
        def of(self, indices: list[int]) -> NDArray[np.uint8]:
            time.sleep(0.002)
            return super().of(indices)

    training = Training(teacher, pupil(teacher), "layer1", Waiting(), LOOK, Recipe("hnd", seconds=0.5), 1, tmp_path)
    assert training.learn(processor=lambda: 0.02 * next(passed)).steps == 25


@pytest.mark.parametrize("schedule", ["steps", "cosine"])
def test_killed_right_after_its_steps_were_counted_it_is_the_run_of_that_many(schedule: str, tmp_path: Path) -> None:
    with run(tmp_path / "broken", pause=0.004, bound=f"seconds=1.0, schedule={schedule!r}") as broken:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (tmp_path / "broken" / CHECKPOINT).exists():
            time.sleep(0.002)
        os.kill(broken.pid, signal.SIGKILL)
        assert broken.wait() == -signal.SIGKILL
    state = torch.load(tmp_path / "broken" / CHECKPOINT, weights_only=True)
    assert state["step"] == 0 and state["steps"] > 8  # the count is the first thing that it keeps
    with run(tmp_path / "broken", bound=f"seconds=1.0, schedule={schedule!r}") as again:
        said = again.communicate(timeout=60)[0].strip()
    net, teacher = pupil(build()), build()
    recipe = Recipe("ghnd", epochs=(state["steps"] - 0.5) / 12, noise="round", relative=True, price=1.0, schedule=schedule)
    learnt = Training(teacher, net, "layer1", Blobs(), LOOK, recipe, 1, tmp_path / "whole").learn()
    assert learnt.steps == state["steps"] and said == digest(net)


def test_a_picture_in_the_middle_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    teacher, recipe, other = build(), Recipe("hnd", epochs=1), Blobs()
    Training(teacher, pupil(teacher), "layer1", Blobs(), LOOK, recipe, 1, tmp_path).learn()
    other.pictures = other.pictures.copy()
    other.pictures[17, 3, 3, 0] ^= 1
    with pytest.raises(ConfigError, match="another training"):
        Training(teacher, pupil(teacher), "layer1", other, LOOK, recipe, 1, tmp_path)


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    teacher, recipe = build(), Recipe("hnd", epochs=1)
    Training(teacher, pupil(teacher), "layer1", Blobs(), LOOK, recipe, 1, tmp_path).learn()
    with pytest.raises(ConfigError, match="another training"):
        Training(teacher, pupil(teacher), "layer1", Blobs(), LOOK, recipe, 2, tmp_path)


def test_what_cannot_be_a_student_says_so(tmp_path: Path) -> None:
    teacher, pictures = build(), looked(Blobs().of([0]), LOOK)
    with pytest.raises(ModelError, match="one map"):
        geometry(teacher, "head", pictures)
    with pytest.raises(ModelError, match=r"layer1"):
        geometry(teacher, "layer_1", pictures)
    with pytest.raises(ConfigError, match="HND has one loss"):
        Training(teacher, pupil(teacher), "layer1", Blobs(), LOOK, Recipe("hnd", ("layer2",)), 1, tmp_path)
    with pytest.raises(ConfigError, match="relative"):
        Training(teacher, pupil(teacher), "layer1", Blobs(), LOOK, Recipe("ghnd", price=1.0), 1, tmp_path)
