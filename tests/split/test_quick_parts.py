"""The parts of `split quick`: cuts, the allocation over channels, sensitivity, samples that are arrays, and agreement."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from edgewise.codec.features import FeatureCodec
from edgewise.core.artifact import Bottleneck
from edgewise.core.errors import SourceError
from edgewise.graph.count import graph_of
from edgewise.graph.cut import split
from edgewise.graph.load import load
from edgewise.graph.reference import evaluate
from edgewise.graph.sketch import Sketch
from edgewise.split.boxes import Blended, Columns, Maps, Rows, form_of
from edgewise.split.calibrate import channels, coding, grid, through
from edgewise.split.cuts import candidates
from edgewise.split.measure import Boxes, Classes, Values, measure_for
from edgewise.split.samples import has_arrays, of_arrays
from edgewise.split.sensitivity import sensitivities
from edgewise.split.turn import turn_for
from tests.zoo import ZOO

RNG = np.random.default_rng(8)


def features(n: int = 12) -> np.ndarray:
    """Four channels: a ReLU's, a wide one, a narrow one off zero, and one that is constant."""
    x = RNG.standard_normal((n, 4, 8, 8)).astype(np.float32)
    x[:, 0] = np.maximum(x[:, 0], 0)
    x[:, 1] *= 10
    x[:, 2] = 5 + 0.1 * x[:, 2]
    x[:, 3] = 2
    return x


@pytest.mark.parametrize("axis", [0, 2])
def test_what_crosses_is_what_the_search_tried(axis: int) -> None:
    """`through` is the codec to the bit, whatever axis the channels are on."""
    x = np.ascontiguousarray(np.moveaxis(features(), 1, axis + 1))
    seen = channels(x, axis)
    sensitivity = np.array([1.0, 0.01, 100.0, 1.0])
    how = grid(seen, sensitivity, 0.05)
    made = coding(seen, how, sensitivity, layers=2)
    codec = FeatureCodec(Bottleneck(x.shape[1:], tuple(seen.low), tuple(seen.high), axis), made)
    far = through(x, axis, how)
    for one, want in zip(x, far, strict=True):
        np.testing.assert_allclose(codec.decode(codec.encode(one[None]))[0], want, rtol=1e-6, atol=1e-6)
    assert how.levels[3] == 0 and np.allclose(np.take(far, 3, axis + 1), 2)


def test_an_allocation_by_sensitivity_loses_less_for_the_same_bits() -> None:
    """Against equal steps at (at least) as many bits: the weighted error is smaller."""
    x = features()
    seen, sensitivity = channels(x, 0), np.array([1.0, 0.01, 100.0, 1.0])
    ours = grid(seen, sensitivity, 0.4)
    fine = next(g for g in (grid(seen, np.ones(4), 2.0**-k) for k in range(40)) if g.bits.sum() >= ours.bits.sum())
    assert (sensitivity * ours.error).sum() < 0.5 * (sensitivity * fine.error).sum()


def test_bits_fall_and_errors_grow_along_the_ladder() -> None:
    seen = channels(features(), 0)
    found = [grid(seen, np.ones(4), 0.05 * 2**k) for k in range(8)]
    bits, errors = [g.bits.sum() for g in found], [g.error.sum() for g in found]
    assert bits == sorted(bits, reverse=True) and errors == sorted(errors)
    assert found[-1].levels.max() < found[0].levels.max() <= 256


def test_sensitivity_of_a_linear_tail_is_its_gain() -> None:
    """For answer = Σ g_c · mean of channel c, M is in the ratio of g_c g_c'."""
    gains = np.array([1.0, 0.0, 3.0])
    x = RNG.standard_normal((16, 3, 6, 6)).astype(np.float32)

    def tail(f: np.ndarray) -> list[np.ndarray]:
        return [(f.mean((2, 3)) @ gains[:, None]).astype(np.float64)]

    found = sensitivities(tail, x, 0, x.std((0, 2, 3)).astype(np.float64), seed=1, each=16)
    assert found.shape == (3, 3) and np.allclose(found, found.T)
    assert abs(found[1]).max() == 0
    assert found[2, 2] / found[0, 0] == pytest.approx(9, rel=0.01)  # the same noise for each
    assert found[0, 2] / found[0, 0] == pytest.approx(3, rel=0.01)


def test_candidates_leave_out_what_a_later_cut_makes_pointless() -> None:
    graph = graph_of(load(ZOO["resnet"](size=32, width=8).SerializeToString()))
    found = candidates(graph)
    assert all(c.cut.full and len(c.cut.tensors) == 1 for c in found)
    assert [c.share for c in found] == sorted(c.share for c in found)
    assert not any("conv" in c.tensor for c in found), "a ReLU follows each at no cost"
    assert len({c.stage for c in found}) >= 2
    assert all(c.cut.tail_flops > 0.01 * graph.flops for c in found), "behind the last map there is nothing to split"


def test_channels_of_tokens_are_the_last_axis() -> None:
    found = candidates(graph_of(load(ZOO["transformer"](size=32).SerializeToString())))
    tokens = [c for c in found if len(c.shape) == 2]
    assert tokens and all(c.axis == 1 and c.channels == c.shape[1] for c in tokens)


def test_arrays_are_samples_and_bad_ones_are_named(tmp_path: Path) -> None:
    for i in range(40):
        np.save(tmp_path / f"{i:02}.npy", RNG.standard_normal((1, 2, 4, 4)).astype(np.float32))
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY")
    assert has_arrays(tmp_path)
    found = of_arrays(tmp_path, (2, 4, 4), 20, 20, 0.1, 0, lambda what, share: None)
    assert found.values.shape[1:] == (2, 4, 4) and [x.name for x in found.left] in ([], ["bad.npy"])
    assert not set(found.calibrate) & set(found.judge)
    with pytest.raises(SourceError, match="too many arrays"):
        of_arrays(tmp_path, (3, 4, 4), 20, 20, 0.1, 0, lambda what, share: None)
    with pytest.raises(SourceError, match="no array"):
        of_arrays(Path(__file__).parent, (3, 4, 4), 20, 20, 0.1, 0, lambda what, share: None)


def test_agreement_counts_what_differs() -> None:
    whole = {"y": np.eye(10, dtype=np.float32)}
    said = {"y": np.roll(whole["y"], 1, axis=1)}
    said["y"][:9] = whole["y"][:9]
    found = Classes("y").between(said, whole)
    assert found.value == 0.9 and found.low < 0.9 < found.high and found.n == 10
    cells = measure_for("segmentation", None, {"m": (2, 4, 4)}, (4, 4))  # type: ignore[arg-type]
    a = np.zeros((3, 2, 4, 4), np.float32)
    a[:, 0] = 1
    b = a.copy()
    b[0, :, 0] = b[0, ::-1, 0]
    assert cells.between({"m": b}, {"m": a}).value == pytest.approx(1 - 4 / 48)
    assert Values().between({"v": a + 1e-6}, {"v": a}).value == 1.0
    assert Values().between({"v": a + 1.0}, {"v": a}).value == 0.0


def test_boxes_of_a_detector_agree_with_themselves_and_less_when_they_move() -> None:
    maps = {f"o{s}": RNG.normal(-4, 2, (6, 7, 64 // s, 64 // s)).astype(np.float32) for s in (8, 16, 32)}
    for raw in maps.values():
        raw[:, 5:] += 6
        raw[:, :4] *= 0.2
    form = form_of({n: v.shape[1:] for n, v in maps.items()}, (64, 64))
    assert isinstance(form, Maps)
    measure = Boxes(form)
    assert measure.between(maps, maps).value == pytest.approx(1.0)
    moved = {n: v + RNG.normal(0, 0.3, v.shape).astype(np.float32) for n, v in maps.items()}
    further = {n: v + RNG.normal(0, 2.0, v.shape).astype(np.float32) for n, v in maps.items()}
    assert 1 > measure.between(moved, maps).value > measure.between(further, maps).value


def test_forms_of_detectors_are_told_by_their_shapes() -> None:
    cells = 8 * 8 + 4 * 4 + 2 * 2
    assert isinstance(form_of({"o": (cells, 85)}, (64, 64)), Rows)
    assert isinstance(form_of({"o": (20, cells)}, (64, 64)), Columns)
    assert isinstance(form_of({"o": (85, 22, 22)}, (352, 352)), Blended)
    assert form_of({"o": (10,)}, (64, 64)) is None


@pytest.mark.parametrize(("shape", "axis"), [((6, 5, 4), 0), ((5, 6), 1), ((6,), 0)])
def test_a_turn_is_undone_and_gathers_what_is_alike(shape: tuple[int, ...], axis: int) -> None:
    """Six channels that are mixtures of two: turned, two of them hold nearly all, and head and tail still are the whole."""
    s = Sketch("mixed", seed=5)
    x = s.input("x", *shape)
    model = load(s.model(s.activate(s.activate(s.activate(x, "Tanh"), "Sigmoid"), "Tanh")).SerializeToString())
    graph = graph_of(model)
    head, tail = split(model, graph.operators[0].outputs[0], graph)
    mixture = RNG.standard_normal((6, 2))
    sources = RNG.standard_normal((400, 2, *[n for a, n in enumerate(shape) if a != axis]))
    values = np.einsum("cs,ns...->nc...", mixture, sources) + 0.01 * RNG.standard_normal((400, 6, *sources.shape[2:]))
    values = np.ascontiguousarray(np.moveaxis(0.2 * values, 1, axis + 1).astype(np.float32))
    tensor = head.graph.output[0].name
    made = evaluate(head, {"x": values}, optimise=False)[tensor]
    turn = turn_for(made, axis, np.eye(6), 0.3 * float(made.std()))
    assert turn is not None
    front, back, name = turn.models(head, tail, tensor, axis, shape)
    crossed = evaluate(front, {"x": values}, optimise=True)[name]
    np.testing.assert_allclose(crossed, turn.features(made, axis), atol=1e-5)
    variances = np.sort(np.moveaxis(crossed, axis + 1, 0).reshape(crossed.shape[axis + 1], -1).var(1))
    assert variances[-2:].sum() > 0.95 * variances.sum()
    whole = evaluate(model, {"x": values}, optimise=True)
    parts = evaluate(back, {name: crossed}, optimise=True)
    assert all(np.allclose(whole[k], parts[k], atol=1e-4) for k in whole)
    halved = replace(turn, halved=(0, 2), lattice=(0.25, 0.125))
    front, back, name = halved.models(head, tail, tensor, axis, shape)
    crossed = evaluate(front, {"x": values}, optimise=True)[name]
    assert crossed.shape[1:] == halved.shape(shape, axis)
    first = np.take(crossed, 0, axis + 1)
    np.testing.assert_allclose(first, np.round(first / 0.25) * 0.25, atol=1e-6)
    parts = evaluate(back, {name: crossed}, optimise=True)
    assert all(np.allclose(whole[k], parts[k], atol=1e-4) for k in whole)


@pytest.mark.parametrize("size", [(8, 10), (9, 11)])
def test_blocks_of_positions_are_turned_and_put_back(size: tuple[int, int]) -> None:
    """Smooth maps: blocks of 2 × 2 hold one value four times. An odd edge is filled and cut off again."""
    s = Sketch("smooth", seed=5)
    x = s.input("x", 3, *size)
    model = load(s.model(s.activate(s.activate(x, "Relu"), "Tanh")).SerializeToString())
    graph = graph_of(model)
    tensor = graph.operators[0].outputs[0]
    head, tail = split(model, tensor, graph)
    coarse = RNG.standard_normal((60, 3, -(-size[0] // 2), -(-size[1] // 2)))
    values = np.kron(coarse, np.ones((1, 1, 2, 2)))[:, :, : size[0], : size[1]].astype(np.float32)
    made = evaluate(head, {"x": values}, optimise=False)[tensor]
    turn = turn_for(made, 0, np.eye(3), 0.3 * float(made.std()))
    assert turn is not None and turn.block == 2 and turn.positive
    front, back, name = turn.models(head, tail, tensor, 0, (3, *size))
    crossed = evaluate(front, {"x": values}, optimise=True)[name]
    assert crossed.shape[1:] == turn.shape((3, *size), 0)
    np.testing.assert_allclose(crossed, turn.features(made, 0), atol=1e-5)
    whole = evaluate(model, {"x": values}, optimise=True)
    parts = evaluate(back, {name: crossed}, optimise=True)
    assert all(np.allclose(whole[k], parts[k], atol=1e-4) for k in whole)


def test_what_the_answer_does_not_hear_is_not_sent() -> None:
    """Six independent channels, of which the answer hears one sum: turned, they cost fewer bits at the same error in it."""
    heard = np.array([1.0, -1.0, 2.0, 0.5, 1.0, -2.0])
    x = RNG.standard_normal((40, 6, 8, 8)).astype(np.float32)
    turn = turn_for(x, 0, np.outer(heard, heard), 0.2)
    assert turn is not None
    seen = channels(turn.features(x, 0), 0)
    bits = np.sort(grid(seen, np.ones(len(turn.matrix)), 0.8).bits)
    plain = grid(channels(x, 0), heard**2, 0.8)
    assert bits.sum() / turn.block**2 < 0.75 * plain.bits.sum()


def test_what_a_relu_left_sparse_is_not_turned() -> None:
    sparse = np.maximum(RNG.standard_normal((30, 8, 6, 6)) - 1, 0).astype(np.float32)
    assert turn_for(sparse, 0, np.eye(8), 0.3 * float(sparse.std())) is None
