"""The shadow: what a device computes, to the bit in φ; learns what it is taught; changes normalisation and nothing else."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from torch import nn  # noqa: E402

from edgewise.adapt.step import Batch, Step, Values, confidence, likelihood  # noqa: E402
from edgewise.adapt.training.step import AffineStep  # noqa: E402
from edgewise.adapt.training.student import of_bundle, of_net, of_parts  # noqa: E402
from edgewise.codec.delta import decode, encode  # noqa: E402
from edgewise.codec.feedback import ErrorFeedback  # noqa: E402
from edgewise.core.artifact import Parameter  # noqa: E402
from edgewise.core.decoding import Classes  # noqa: E402
from edgewise.core.delta import Delta, Full, apply  # noqa: E402
from edgewise.core.errors import ModelError, TensorError  # noqa: E402
from edgewise.core.moments import Moments  # noqa: E402
from edgewise.runtime.initialisers import patched, values  # noqa: E402
from tests.adapt.training.small_parts import Norm, answered, cut, part, pictures, weights  # noqa: E402

NORMS: tuple[Norm, ...] = ("batch", "group", "layer")
VEHICLES = Path(__file__).parents[3] / "edgewise" / "bundles" / "vehicles"


def shadow(norm: Norm = "batch", rate: float = 0.05, seed: int = 0) -> tuple[AffineStep, bytes, dict[str, Parameter]]:
    model, parameters = part(norm, seed)
    return AffineStep(of_parts({"local": model}, parameters, Classes("logits")), rate), model, parameters


def lesson(inputs: Values, seed: int = 3) -> Batch:
    """What another model says of the same pictures."""
    soft = likelihood(answered(part("batch", seed)[0], inputs) * 4)
    return Batch(inputs, soft, confidence(soft))


def inside(model: bytes, parameters: dict[str, Parameter], phi: dict[str, Values]) -> bytes:
    """The part as a device holds it after its values were overwritten."""
    return patched(model, {parameters[path].initialiser: value for path, value in phi.items()})


@pytest.mark.parametrize("norm", NORMS)
def test_it_gives_what_the_device_gives_and_learns(norm: Norm) -> None:
    step, model, parameters = shadow(norm)
    x = pictures(24)
    assert isinstance(step, Step)
    assert np.allclose(step.logits(x), answered(model, x), atol=1e-5)
    losses = [step.step(lesson(x)) for _ in range(40)]
    assert losses[-1] < 0.9 * losses[0]
    held = values(model, [p.initialiser for p in parameters.values()])
    assert {p: v.shape for p, v in step.affine().items()} == {p: held[p.removeprefix("local.")].shape for p in step.affine()}
    assert sorted(step.affine()) == ["local.norm.bias", "local.norm.weight"]
    assert np.allclose(answered(inside(model, parameters, step.affine()), x), step.logits(x), atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_are_finite_differences(norm: Norm) -> None:
    """The one normalisation layer has no other above it, so its own gradients are plain ones."""
    step, x = shadow(norm, rate=1.0)[0], pictures(8)
    batch = lesson(x)
    before = step.affine()

    def loss(phi: dict[str, Values]) -> float:
        step.restore(phi)
        p, q = batch.soft.astype(np.float64), step.logits(x).astype(np.float64)
        own = q - q.max(1, keepdims=True)
        own = own - np.log(np.exp(own).sum(1, keepdims=True))
        return float((3 * batch.weight * (p * (np.log(np.maximum(p, 1e-30)) - own)).sum(1)).mean())

    assert step.step(batch) == pytest.approx(loss(before), rel=1e-4)
    step.restore(before)
    step.step(batch)
    after = step.affine()
    for path, value in before.items():
        ends = []
        for sign in (1, -1):
            moved = value.copy()
            moved.flat[1] += sign * 1e-2
            ends.append(loss(before | {path: moved}))
        assert value.flat[1] - after[path].flat[1] == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=0.03, abs=2e-3)


@pytest.mark.parametrize("precision", ["int8", "float16", "float32"])
@pytest.mark.parametrize("norm", NORMS)
def test_a_delta_makes_the_shadow_of_the_device_to_the_bit(norm: Norm, precision: str) -> None:
    step, model, parameters = shadow(norm)
    source = step.affine()
    x = pictures(16)
    for _ in range(5):
        step.step(lesson(x))
    exact = step.delta("base", "base")
    assert all(np.array_equal(apply(source, exact)[p], v) for p, v in step.affine().items())  # exact as it is
    sender = ErrorFeedback(source, "base", "base", "adapt", precision)  # type: ignore[arg-type]
    sender.want({path: Full(value) for path, value in step.affine().items()})
    device = apply(source, decode(sender.code()))
    step.restore(device)
    assert all(step.affine()[path].tobytes() == value.tobytes() for path, value in device.items())
    assert np.allclose(answered(inside(model, parameters, device), x), step.logits(x), atol=1e-5)
    again = decode(encode(step.delta("base", "base"), "float32"))
    assert all(apply(source, again)[path].tobytes() == value.tobytes() for path, value in device.items())


def test_what_is_taught_by_itself_changes_nothing() -> None:
    step, x = shadow()[0], pictures(12)
    soft = likelihood(step.logits(x))
    before = step.affine()
    assert abs(step.step(Batch(x, soft, np.ones(12, np.float32)))) < 1e-5
    assert all(np.abs(step.affine()[path] - value).max() < 1e-6 for path, value in before.items())


def test_statistics_are_followed_and_the_source_is_kept() -> None:
    step, model, _ = shadow()
    x, home = pictures(10), shadow()[0].logits(pictures(10))
    moved = Moments(np.full(4, 0.5, np.float32), np.full(4, 3.0, np.float32))
    step.follow({"local.norm": moved})
    there = patched(model, {"norm.running_mean": moved.mean, "norm.running_var": moved.variance})
    assert np.allclose(step.logits(x), answered(there, x), atol=1e-5)
    assert np.array_equal(step.logits(x, source=True), home)
    assert np.allclose(step.logits(x), answered(there, x), atol=1e-5)  # the look home changed nothing
    with pytest.raises(TensorError, match="another model"):
        step.follow({"elsewhere": moved})
    with pytest.raises(TensorError, match="another model"):
        step.follow({"local.norm": Moments(np.zeros(9, np.float32), np.ones(9, np.float32))})


def test_another_phi_for_one_question() -> None:
    step, x = shadow()[0], pictures(6)
    source, before = step.affine(), step.logits(x)
    for _ in range(10):
        step.step(lesson(x))
    learned = step.logits(x)
    assert np.array_equal(step.logits(x, affine=source), before)
    assert np.array_equal(step.logits(x), learned)
    assert not np.array_equal(before, learned)
    step.restore(source)
    assert np.array_equal(step.logits(x), before)
    with pytest.raises(TensorError, match="another model"):
        step.restore({"local.norm.weight": np.zeros(9, np.float32)})


def test_garbage_changes_nothing_and_is_counted() -> None:
    step, x = shadow()[0], pictures(4)
    before = step.affine()
    bad = np.full_like(x, np.nan)
    good = lesson(x)
    assert math.isnan(step.step(Batch(bad, good.soft, good.weight)))
    assert math.isnan(step.step(Batch(x, np.full_like(good.soft, np.nan), good.weight)))
    assert step.astray == 2
    assert all(step.affine()[path].tobytes() == value.tobytes() for path, value in before.items())
    mixed = good.soft.copy()
    mixed[0] = np.nan
    assert math.isfinite(step.step(Batch(x, mixed, good.weight)))  # the other rows teach
    with pytest.raises(TensorError, match="answer differently"):
        step.step(Batch(x, np.full((4, 7), 1 / 7, np.float32), good.weight))


def test_a_cut_model_is_one_shadow() -> None:
    parts, parameters = cut()
    step = AffineStep(of_parts(parts, parameters, Classes("logits")), 0.05)
    x = pictures(16)
    assert np.allclose(step.logits(x), answered(parts["tail"], answered(parts["head"], x)), atol=1e-5)
    assert {path.partition(".")[0] for path in step.affine()} == {"head", "tail"} and len(step.affine()) == 4
    assert sorted(step.student.layers) == ["head.norm", "tail.norm"]
    before = step.affine()
    losses = [step.step(lesson(x)) for _ in range(30)]
    assert losses[-1] < losses[0]
    assert all((step.affine()[path] != value).any() for path, value in before.items())


def test_only_normalisation_learns() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(36, 3))
    step = AffineStep(of_net(net, "local"), 0.05)
    assert sorted(step.affine()) == ["local.1.bias", "local.1.weight", "local.3.bias", "local.3.weight"]
    old = {name: value.clone() for name, value in step.student.net.state_dict().items()}
    for _ in range(3):
        step.step(lesson(pictures(8)))
    changed = {name for name, value in step.student.net.state_dict().items() if not torch.equal(value, old[name])}
    assert changed == {"1.weight", "1.bias", "3.weight", "3.bias"}
    with pytest.raises(ModelError, match="no normalisation"):
        of_net(nn.Linear(2, 2))


def test_a_folded_model_says_how_to_export_it() -> None:
    model, parameters = part("batch")
    parts = {"local": _folded(model)}
    with pytest.raises(ModelError, match="unfold"):
        of_parts(parts, parameters)


def test_the_cells_of_a_detector_are_taught() -> None:
    files = {f.name: f.read_bytes() for f in VEHICLES.iterdir()}
    step = AffineStep(of_bundle(files, ("local",)), 1e-3)
    x = np.random.default_rng(0).integers(0, 256, (2, 90, 160, 3)).astype(np.uint8)
    logits = step.logits(x)
    assert step.student.kind == "cells" and logits.shape == (2, 2 * 23 * 40) and not step.student.fixed
    soft = likelihood(logits, "cells")
    soft[:, 920:] = np.clip(soft[:, 920:] + 0.3, 0, 1)  # the map of occupied cells, which nothing suppresses
    losses = [step.step(Batch(x, soft, np.ones(2, np.float32))) for _ in range(5)]
    assert losses[-1] < losses[0]
    assert isinstance(step.delta("a", "a"), Delta)


def test_scales_without_a_path_are_told() -> None:
    model, parameters = part("batch")
    student = of_parts({"local": model}, {p: v for p, v in parameters.items() if not p.endswith("bias")})
    assert student.fixed == ("local.norm.bias",) and sorted(student.affine) == ["local.norm.weight"]
    with pytest.raises(ModelError, match="no path"):
        of_parts({"local": model}, {"local.fc.bias": parameters["local.fc.bias"]})


def _folded(model: bytes) -> bytes:
    """The same without its normalisation."""
    import onnx

    graph = onnx.load_model_from_string(model)
    (norm,) = [n for n in graph.graph.node if n.op_type == "BatchNormalization"]
    graph.graph.node.remove(norm)
    for node in graph.graph.node:
        for i, name in enumerate(node.input):
            if name == norm.output[0]:
                node.input[i] = norm.input[0]
    assert "norm.weight" in weights()
    return bytes(graph.SerializeToString())
