"""A ladder learns, ends the same wherever it was killed, is what its codec says, and says when a β is too large."""

import copy
import functools
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.codec.features import FeatureCodec  # noqa: E402
from edgewise.core.errors import ConfigError, ModelError  # noqa: E402
from edgewise.core.wire import FRAME_HEADER  # noqa: E402
from edgewise.graph.picture import Look  # noqa: E402
from edgewise.runtime.session import Session  # noqa: E402
from edgewise.split.training import ladder as climbing  # noqa: E402
from edgewise.split.training import tune  # noqa: E402
from edgewise.split.training.frozen import Coded, features, frozen  # noqa: E402
from edgewise.split.training.ladder import Climb, ladder  # noqa: E402
from edgewise.split.training.prior import Noisy  # noqa: E402
from edgewise.split.training.rung import Plan, Rung  # noqa: E402
from edgewise.split.training.stretch import split_of  # noqa: E402
from edgewise.training.course import follow  # noqa: E402
from edgewise.training.distil import Distil  # noqa: E402
from tests.split.tiny import Blobs, Tiny, build  # noqa: E402

LOOK, CUT = Look(28, 28), "stem..layer1"
SOURCE = Blobs(48, 28, 28)
PLAN = Plan((0.02, 0.3), first=16, further=6, tuned=6, channels=4, batch=8, tuned_batch=8, rate=1e-2, further_rate=5e-3)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Rung], Path]:
    torch.set_num_threads(1)
    work = tmp_path_factory.mktemp("ladder")
    return ladder(build(), CUT, "entropic-narrow", SOURCE, None, LOOK, PLAN, work), work


def logits(teacher: Tiny, source: Blobs) -> NDArray[np.float32]:
    found: NDArray[np.float32] = teacher(torch.from_numpy(source.pictures).permute(0, 3, 1, 2) / 255).detach().numpy()
    return found


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def away(rung: Rung, *paths: str) -> float:
    """Of pictures that taught nothing, rounded as the codec does."""
    pictures = torch.from_numpy(Blobs(64, 28, 28, seed=9).pictures).permute(0, 3, 1, 2) / 255
    return Distil(build(), rung.net, dict.fromkeys(paths, 1.0), relative=True)(pictures)[0].item()


def test_features_come_near_the_teachers_and_a_larger_beta_takes_fewer_bytes(climbed: tuple[list[Rung], Path]) -> None:
    others = Blobs(64, 28, 28, seed=9)
    fine, coarse = climbed[0]
    sizes = [rung.judged(others, score=lambda outputs, indices: np.zeros(len(indices))).bytes for rung in climbed[0]]
    assert sizes[1].mean() < 0.8 * sizes[0].mean() and sizes[1].min() >= FRAME_HEADER
    assert away(fine, "layer1") < 0.7 and away(coarse, "layer1") < 0.7  # the teacher's mean alone would have 1
    assert coarse.frozen.predictable and 0 < coarse.history["coded"] <= 1.05 * coarse.history["estimated"]


def test_an_estimate_that_promises_too_little_is_said_whatever_contexts_save(climbed: tuple[list[Rung], Path]) -> None:
    (fine, _), _ = climbed
    noisy = Noisy(4)
    plain, known = (frozen(fine.net, fine.stretch, noisy, SOURCE, LOOK, 1.0, context=c) for c in (False, True))
    assert plain.static == known.static and 0.9 < (plain.coded - FRAME_HEADER) / (plain.static - FRAME_HEADER) < 1.3
    promised = known.static / 1.06
    assert (
        not replace(known, estimated=promised, coded=promised).predictable and replace(known, estimated=known.static).predictable
    )
    noisy.prior.bits = lambda y, rate=0: torch.tensor(8 * 0.9 * (known.static - FRAME_HEADER))  # type: ignore[method-assign]
    assert not frozen(fine.net, fine.stretch, noisy, SOURCE, LOOK, 1.0).predictable


def test_the_student_rounds_as_the_codec_does(climbed: tuple[list[Rung], Path]) -> None:
    (fine, _), _ = climbed
    values = next(features(fine.net, fine.stretch, Blobs(8, 28, 28, seed=9), LOOK, range(8)))
    codec = FeatureCodec(fine.bottleneck, fine.coding)
    decoded = np.concatenate([codec.decode(codec.encode(one[None])) for one in values])
    between = split_of(fine.net, fine.stretch).between
    assert np.allclose(between(torch.from_numpy(values)).numpy(), decoded, atol=1e-5)
    step = np.asarray(fine.coding.step, np.float32)[:, None, None]
    inside = np.abs(decoded - values) <= step / 2 + 1e-5
    assert inside.mean() > 0.9  # what calibration never saw is held to its range


@pytest.mark.parametrize("context", [False, True])
def test_a_channel_that_never_moves_is_not_sent_and_decodes_as_its_code(climbed: tuple[list[Rung], Path], context: bool) -> None:
    (fine, _), _ = climbed
    net = copy.deepcopy(fine.net)
    split = split_of(net, fine.stretch)
    with torch.no_grad():
        split.encoder[-1].weight[1] = 0  # its values are 0, its median is not
        noisy = Noisy(4)
        noisy.prior.middle[:, 1] += 0.4
    found = frozen(net, fine.stretch, noisy, SOURCE, LOOK, 1.0, context=context)
    assert found.coding.levels[1] == 0 and 1 not in found.coding.order
    values = next(features(net, fine.stretch, SOURCE, LOOK, range(4)))
    codec = FeatureCodec(found.bottleneck, found.coding)
    decoded = np.concatenate([codec.decode(codec.encode(one[None])) for one in values])
    assert np.allclose(Coded(found.coding)(torch.from_numpy(values)).numpy(), decoded, atol=1e-5)
    assert np.allclose(decoded[:, 1], 0.4 / 3, atol=1e-4)  # the median, by a gain of 3


def test_its_bytes_are_those_of_the_exported_head(climbed: tuple[list[Rung], Path], tmp_path: Path) -> None:
    (fine, _), _ = climbed
    parts = fine.parts()
    head, tail = Session.load(parts.models["head"]), Session.load(parts.models["tail"])
    true = logits(build(), SOURCE).argmax(1).tolist()
    judged = fine.judged(SOURCE, true)
    codec = FeatureCodec(fine.bottleneck, fine.coding)
    for i in (0, 5):
        crossing = head.run({head.inputs[0].name: SOURCE.of([i])})[head.outputs[0].name]
        frame = codec.encode(crossing)
        assert abs(FRAME_HEADER + len(frame) - judged.bytes[i]) <= 2  # a value on a border may fall either way
        answer = tail.run({tail.inputs[0].name: codec.decode(frame)})["output"]
        assert (answer.argmax() == true[i]) == bool(judged.right[i])


class Stop(Exception):
    pass


@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, several=True)])
def test_killed_anywhere_it_ends_with_the_same_weights(
    plan: Plan, climbed: tuple[list[Rung], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rungs = climbed[0] if plan is PLAN else ladder(build(), CUT, "entropic-narrow", SOURCE, None, LOOK, plan, tmp_path / "whole")
    for room in (climbing, tune):
        monkeypatch.setattr(room, "follow", functools.partial(follow, keep=0.0))
    stages = ["stage 1, β 0.02", "stage 2, β 0.02", "stage 1, β 0.3", "stage 2, β 0.3"]
    for stage in stages if plan is PLAN else ["stage 1, β 0.02, 0.3", "stage 2, β 0.02, 0.3"]:

        def heard(what: str, share: float, stage: str = stage) -> None:
            if what == stage and 0.4 < share < 0.6:
                raise Stop

        with pytest.raises(Stop):
            ladder(build(), CUT, "entropic-narrow", SOURCE, None, LOOK, plan, tmp_path / "broken", heard)
        for path in (tmp_path / "broken").rglob("checkpoint.pt"):  # as if the last steps before the kill had not been
            assert torch.load(path, weights_only=True)["step"] > 0
        monkeypatch.setattr(climbing, "follow", functools.partial(follow, keep=1e9))
    again = ladder(build(), CUT, "entropic-narrow", SOURCE, None, LOOK, plan, tmp_path / "broken")
    assert all(same(a.net, b.net) and a.coding == b.coding for a, b in zip(again, rungs, strict=True))
    if plan.several:
        assert again[0].net is again[1].net and again[0].coding.step != again[1].coding.step
        assert again[1].history["coded"] < again[0].history["coded"]


def test_a_rung_alone_is_the_one_of_the_ladder(climbed: tuple[list[Rung], Path]) -> None:
    rungs, work = climbed
    alone = Climb(build(), CUT, "entropic-narrow", SOURCE, None, LOOK, PLAN, work).rung(1)
    assert same(alone.net, rungs[1].net)
    with pytest.raises(ConfigError, match="another course"):
        other = replace(PLAN, betas=(0.02, 0.3, 4.0), wide=2.0)
        Climb(build(), CUT, "entropic-narrow", SOURCE, None, LOOK, other, work).rung(0)


def test_only_what_stands_behind_the_encoder_changes_in_stage_2(climbed: tuple[list[Rung], Path], tmp_path: Path) -> None:
    rungs, _ = climbed
    untuned = replace(PLAN, betas=(0.02,), tuned=0)
    (before,) = ladder(build(), CUT, "entropic-narrow", SOURCE, None, LOOK, untuned, tmp_path)
    split, tuned = split_of(before.net, before.stretch), split_of(rungs[0].net, rungs[0].stretch)
    assert same(split.encoder, tuned.encoder) and not same(split.decoder, tuned.decoder)
    assert torch.equal(before.net.head.weight, build().head.weight) and not torch.equal(
        rungs[0].net.head.weight, build().head.weight
    )


def test_a_beta_that_collapses_the_rate_is_said(tmp_path: Path) -> None:
    plan = Plan((1e5,), first=20, tuned=0, channels=4, batch=8, rate=2e-2)
    with pytest.raises(ModelError, match=r"β of 100000 collapses the rate.*lower β"):
        ladder(build(), CUT, "entropic-narrow", SOURCE, None, LOOK, plan, tmp_path)
