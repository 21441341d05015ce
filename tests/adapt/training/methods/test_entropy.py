"""Methods that learn from their own answers: what they lower, what they leave alone, what holds them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgewise.adapt.step import entropies  # noqa: E402
from edgewise.adapt.training.methods.cotta import Cotta, varied  # noqa: E402
from edgewise.adapt.training.methods.entropy import Eata, Sar, Tent  # noqa: E402
from edgewise.adapt.training.methods.still import BatchStatistics  # noqa: E402
from tests.adapt.training.methods import colours  # noqa: E402


@pytest.fixture(scope="module")
def net() -> colours.Net:
    return colours.trained()


@pytest.fixture(scope="module")
def dusk() -> np.ndarray:
    return colours.dark(colours.drawn(40, 7)[0])


def test_tent_lowers_the_entropy_of_its_answers_by_its_affine_values_alone(net, dusk):
    method = Tent(colours.of(net), rate=1e-2)
    frozen = {n: p.clone() for n, p in method.net.named_parameters() if n not in method.affine}
    before = method.answer(dusk)
    for _ in range(20):
        method.answer(dusk)
    after = method.answer(dusk)
    assert entropies(after).mean() < 0.9 * entropies(before).mean()
    now = dict(method.net.named_parameters())
    assert frozen and all(torch.equal(now[n], p) for n, p in frozen.items())
    assert method.tally().steps == 22 and method.tally().backward == 22 * 40 and method.tally().bytes_up == 0


def test_an_answer_is_given_before_it_is_learned_from(net, dusk):
    plain = BatchStatistics(colours.of(net)).answer(dusk)
    for method in (Tent(colours.of(net), 1.0), Eata(colours.of(net), [], 1.0), Sar(colours.of(net), 1.0)):
        np.testing.assert_allclose(method.answer(dusk), plain, rtol=1e-5, atol=1e-6)
        assert np.abs(method.answer(dusk) - plain).max() > 1e-3, f"{method.name} learned nothing at a rate of 1"


def test_one_method_does_not_touch_the_source_that_others_begin_from(net, dusk):
    source = {n: v.clone() for n, v in net.state_dict().items()}
    subject = colours.of(net)
    Tent(subject, 1.0).answer(dusk)
    Cotta(subject, 0).answer(dusk)
    assert all(torch.equal(v, source[n]) for n, v in net.state_dict().items())
    np.testing.assert_array_equal(BatchStatistics(subject).answer(dusk), BatchStatistics(colours.of(net)).answer(dusk))


def test_a_batch_that_is_no_number_changes_nothing(net):
    pictures = np.full((4, 8, 8, 3), np.nan, np.float32)
    for method in (Tent(colours.of(net)), Eata(colours.of(net), []), Sar(colours.of(net)), Cotta(colours.of(net))):
        before = [p.clone() for p in method.net.parameters()]
        method.answer(pictures)
        assert method.tally().steps == 0 and method.tally().seen == 4
        assert all(torch.equal(a, b) for a, b in zip(before, method.net.parameters()))


def moved(method: Tent, dusk: np.ndarray) -> float:
    began = {n: p.detach().clone() for n, p in method.affine.items()}
    for _ in range(20):
        method.answer(dusk)
    return sum(float((p.detach() - began[n]).norm()) for n, p in method.affine.items())


def test_fisher_information_holds_the_parameters(net, dusk):
    home = [colours.drawn(64, 90 + i)[0] for i in range(3)]
    free = moved(Eata(colours.of(net), home, rate=1e-2, held=0.0, margin=1.1), dusk)
    held = moved(Eata(colours.of(net), home, rate=1e-2, held=2000.0, margin=1.1), dusk)
    assert 0 < held < 0.8 * free
    assert all(bool((f >= 0).all()) for f in Eata(colours.of(net), home).fisher.values())
    assert Eata(colours.of(net), []).fisher == {}


def test_eata_leaves_out_what_is_unsure_and_what_is_like_the_rest(net, dusk):
    assert moved(Eata(colours.of(net), [], margin=0.0), dusk) > 0  # the first batch has nothing before it
    repeated = Eata(colours.of(net), [], margin=0.0)
    repeated.answer(dusk)
    assert repeated.tally().steps == 1
    repeated.answer(dusk)
    assert repeated.tally().steps == 1  # everything is like the mean where the margin is nothing
    with torch.no_grad():
        blank = colours.Net().eval()
        blank.fc.weight.zero_()
        blank.fc.bias.zero_()
    unsure = Eata(colours.of(blank), [])
    unsure.answer(dusk)
    assert unsure.tally().steps == 0


def test_sar_leaves_the_last_layers_and_begins_anew_where_it_collapsed(net, dusk):
    subject = colours.of(net)
    method = Sar(subject, rate=0.1)
    assert len(method.affine) == len(subject.affine) - len(subject.affine) // 4
    source = {n: p.detach().clone() for n, p in method.affine.items()}
    method.answer(dusk)
    assert any(not torch.equal(p, source[n]) for n, p in method.affine.items())
    collapsed = Sar(subject, rate=0.1, collapsed=1.0)
    collapsed.answer(dusk)
    assert collapsed.tally().reverts == 1
    assert all(torch.equal(p, source[n]) for n, p in collapsed.affine.items())


def test_a_mean_teacher_moves_slowly_and_weights_are_put_back(net, dusk):
    method = Cotta(colours.of(net), seed=3, rate=1e-2, restored=0.0, keep=0.9)
    source = [p.clone() for p in method.teacher.parameters()]
    method.answer(dusk)
    for was, slow, quick in zip(source, method.teacher.parameters(), method.net.parameters()):
        torch.testing.assert_close(slow, 0.9 * was + 0.1 * quick, rtol=1e-4, atol=1e-6)
    back = Cotta(colours.of(net), seed=3, rate=1e-2, restored=1.0)
    back.answer(dusk)
    assert all(torch.equal(a, b) for a, b in zip(source, back.net.parameters()))


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (2, 3, 8, 8), (2, 7)])
def test_augmented_inputs_keep_form_and_dtype(shape):
    draw = torch.Generator().manual_seed(1)
    kinds = (torch.uint8, torch.float32) if shape[-1] == 3 else (torch.float32,)
    for kind in kinds:
        x = (torch.rand(shape) * 200).to(kind)
        other = varied(x, draw)
        assert other.shape == x.shape and other.dtype == kind and not torch.equal(other, x)
