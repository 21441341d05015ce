"""The detector of things: its truth follows every change of a picture, its loss falls, its file says what it is."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from torch import nn  # noqa: E402

from edgewise.core.artifact import Picture  # noqa: E402
from edgewise.core.decoding import Things as Decoding  # noqa: E402
from edgewise.core.errors import ModelError  # noqa: E402
from edgewise.data.decoding import answers  # noqa: E402
from edgewise.data.junction.footage import LABEL, footage  # noqa: E402
from edgewise.data.junction.vehicles import CORNERS_MIRRORED  # noqa: E402
from edgewise.data.preprocess import fit  # noqa: E402
from edgewise.data.things import scores  # noqa: E402
from edgewise.runtime.session import Session  # noqa: E402
from edgewise.training import bccd, export, things, things_frames  # noqa: E402
from edgewise.training.nets import fpn  # noqa: E402
from edgewise.training.things_draw import Draw, moved, truth  # noqa: E402
from edgewise.training.things_job import Config, load, save, teach  # noqa: E402

PICTURE = Picture(192, 108)


@pytest.fixture(scope="module")
def frames():
    return things_frames.rendered([1000, 1001], 1, PICTURE)


def test_a_cut_at_any_layer_cuts_everything():
    net = fpn.build().eval()
    x = torch.rand(1, 3, 216, 384)
    assert sum(p.numel() for p in net.parameters()) < 480_000
    for path in ("layer1", "layer2", "layer3", "layer4"):
        seen = []
        handle = getattr(net, path).register_forward_hook(
            lambda module, inside, outside, seen=seen: seen.append((inside, outside))
        )
        net(x)
        handle.remove()
        (((inside,), outside),) = seen
        assert isinstance(inside, torch.Tensor) and isinstance(outside, torch.Tensor)
    dead = fpn.build().eval()
    dead.layer1 = nn.Sequential(dead.layer1, nn.Conv2d(fpn.WIDE, fpn.WIDE, 1, bias=False))
    nn.init.zeros_(dead.layer1[1].weight)
    with torch.no_grad():  # what does not go through layer1 does not arrive
        assert torch.equal(dead(x)["score"], dead(torch.rand(1, 3, 216, 384))["score"])


@pytest.mark.parametrize("size", [(216, 384), (240, 320), (100, 150)])
def test_any_size_of_picture_gives_maps_that_cover_it(size):
    with torch.no_grad():
        said = fpn.build().eval()(torch.rand(2, 3, *size))
    assert said["score"].shape[2] * fpn.STRIDE >= size[0] and said["score"].shape[3] * fpn.STRIDE >= size[1]
    assert said["prototypes"].shape[2:] == (-(-size[0] // 4), -(-size[1] // 4))
    assert said["box"].min() >= 0 and said["box"].max() <= 1


def test_truth_follows_mirrors_and_crops(frames):
    plain = truth(frames)
    kinds = set()
    for seed in range(12):
        x, said = moved(frames, np.random.default_rng(seed), upside=True)
        assert x.shape == (len(frames), 3, PICTURE.height, PICTURE.width)
        back = said.boxes[..., :2] * said.scale + said.shift  # a corner of each box, as a place in the frame
        other = said.boxes[..., 2:] * said.scale + said.shift
        low, high = torch.minimum(back, other), torch.maximum(back, other)
        there = ~said.boxes[..., 0].isnan()
        assert torch.all(low[there] >= plain.boxes[..., :2][there] - 1e-4)  # cut to the window, never larger
        assert torch.all(high[there] <= plain.boxes[..., 2:][there] + 1e-4)
        corner = (said.points * said.scale + said.shift)[there]
        swapped = list(CORNERS_MIRRORED) if said.scale[0] < 0 else list(range(8))
        assert torch.allclose(corner, plain.points[there][:, swapped], atol=1e-4)
        kinds.add((bool(said.scale[0] < 0), bool(said.scale[1] < 0), float(said.scale[0].abs()) != 1.0))
    assert len(kinds) > 4


def test_masks_are_looked_up_through_the_same_change(frames):
    plain = truth(frames)
    for seed in range(6):
        _, said = moved(frames, np.random.default_rng(seed))
        there = ~said.boxes[..., 0].isnan()
        steps = (torch.arange(40) + 0.5) / 40
        boxes = torch.nan_to_num(said.boxes)
        x = (boxes[..., 0:1] + (boxes[..., 2:3] - boxes[..., 0:1]) * steps)[..., None, :].expand(-1, -1, 40, -1)
        y = (boxes[..., 1:2] + (boxes[..., 3:4] - boxes[..., 1:2]) * steps)[..., None].expand(-1, -1, -1, 40)
        share = things._looked_up(said, x, y).mean((2, 3))[there]
        assert share.mean() > 0.55 and plain.masks.max() > 0  # a vehicle fills most of its box, wherever that went


def test_a_batch_is_a_function_of_its_number(frames):
    draw = Draw([frames, frames], 4, seed=3)
    first, again, other = draw(7), draw(7), draw(8)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1].masks, again[1].masks)
    assert not torch.equal(first[0], other[0])


def test_shards_are_kept_and_taken_from_by_number(frames, tmp_path):
    things_frames.store(tmp_path, "a", frames)
    kept = things_frames.stored(tmp_path, "a")
    assert kept is not None and things_frames.stored(tmp_path, "b") is None
    chosen = things_frames.taken([kept, frames], np.array([0, len(frames), 2 * len(frames) - 1]))
    assert np.array_equal(chosen.pictures[0], chosen.pictures[1]) and chosen.block == (frames.block[0],) * 2 + (frames.block[-1],)
    assert np.array_equal(chosen.boxes[2], frames.boxes[-1], equal_nan=True)


def test_the_loss_is_least_where_the_maps_say_the_truth(frames):
    """Score and box of the right cells, offsets of the right corners: each spoiled one raises its own part and no other."""
    said, size = truth(frames), (PICTURE.height, PICTURE.width)
    rows, columns = 16, 24
    each = things.gaussians(said.boxes, (rows, columns), size)
    strength, owner = each.max(1)
    boxes = said.boxes.gather(1, owner.flatten(1)[..., None].expand(-1, -1, 4)).nan_to_num().view(-1, rows, columns, 4)
    points = said.points.flatten(2).gather(1, owner.flatten(1)[..., None].expand(-1, -1, 16)).view(-1, rows, columns, 8, 2)
    middle, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
    offsets = ((points - middle[..., None, :]) / sides[..., None, :]).clamp(-things.FARTHEST, things.FARTHEST)
    score = torch.where(strength == 1, 9.0, -9.0)[:, None]
    none = torch.zeros(len(frames), 0, rows, columns)
    right = fpn.Maps(score, boxes.permute(0, 3, 1, 2), offsets.flatten(3).permute(0, 3, 1, 2), none, none)
    _, parts = things.loss(right, said, size)
    assert parts["box"] < 1e-3 and parts["points"] < 1e-3 and parts["score"] < 0.01
    for name, spoiled in (("score", -right.score), ("box", right.box * 0.8), ("points", right.points + 0.3)):
        _, worse = things.loss(
            fpn.Maps(**{f: spoiled if f == name else getattr(right, f) for f in right.__struct_fields__}), said, size
        )
        assert worse[name] > parts[name] + 0.05
        assert all(worse[other] == parts[other] for other in parts if other != name)


def test_roads_without_a_vehicle_have_a_loss_too(frames):
    nobody = truth(frames)
    nobody.boxes.fill_(torch.nan)
    net = fpn.build()
    loss, parts = things.loss(net.maps(torch.rand(len(frames), 3, PICTURE.height, PICTURE.width)), nobody, (108, 192))
    loss.backward()
    assert torch.isfinite(loss) and parts["box"] == parts["points"] == parts["mask"] == 0.0 and parts["score"] > 0


def test_it_learns_a_few_frames_by_heart(frames):
    """Forty steps on two frames: the file of it, run by onnxruntime and decoded, finds their vehicles."""
    torch.manual_seed(0)
    net = fpn.build().train()
    few = things_frames.taken([frames], np.array([0, 6]))
    x, said = torch.from_numpy(few.pictures).permute(0, 3, 1, 2).float() / 255, truth(few)
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    first = None
    for _ in range(40):
        loss, _ = things.loss(net.maps(x), said, (PICTURE.height, PICTURE.width))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        first = float(loss.detach()) if first is None else first
    assert float(loss.detach()) < first / 2
    names = ["score", "box", "points", "coefficients", "prototypes"]
    session = Session.load(export.exported(net, torch.zeros(2, 3, PICTURE.height, PICTURE.width), "picture", names))
    outputs = session.run({"picture": x.numpy()})
    with torch.no_grad():
        direct = net.eval()(x)
    for name in names:
        assert np.allclose(outputs[name], direct[name].numpy(), atol=1e-3)
    assert all(len(a.boxes) for a in answers(outputs, Decoding(0.05, 0.6, 8, 28), [LABEL]))


def test_weights_come_back_with_their_shape(tmp_path):
    net = bccd.build()
    save(net, tmp_path / "cells.safetensors", "not at all")
    again = load(tmp_path / "cells.safetensors")
    assert (again.classes, again.keypoints, again.prototypes) == (3, 0, 0)
    x = torch.rand(1, 3, 240, 320)
    with torch.no_grad():
        assert torch.equal(again(x)["score"], net.eval()(x)["score"]) and set(again(x)) == {"score", "box"}
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="not of this detector"):
        load(tmp_path / "other.safetensors")


def test_the_job_carries_on_where_it_was_and_names_no_place(tmp_path):
    config = Config(work=tmp_path, seconds=1.0, scenes=1, times=1, batch=2)
    path = teach(config)
    first = load(path).state_dict()
    assert load(path).classes == 1 and str(tmp_path).encode() not in path.read_bytes()
    path.unlink()
    again = load(teach(config)).state_dict()  # its seconds are spent: what was there is written again
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_blood_cells_are_read_with_their_three_classes(data_pack):
    pack = data_pack("bccd.tar")
    frames = bccd.frames(pack, "val")
    there = ~np.isnan(frames.boxes[..., 0])
    assert len(frames) == 87 and set(frames.label[there]) == {0, 1, 2}
    assert frames.pictures.shape[1:] == (240, 320, 3) and frames.points.shape[2] == 0
    _, said = moved(things_frames.taken([frames], np.arange(2)), np.random.default_rng(0), upside=True)
    _, parts = things.loss(bccd.build().maps(torch.rand(2, 3, 240, 320)), said, (240, 320))
    assert set(parts) == {"score", "box"}


def test_footage_is_judged_at_the_size_of_the_camera():
    (seen,) = footage([101], 1, ("clear",))
    assert fit(seen.image, fpn.PICTURE).shape == (1, 216, 384, 3)
    assert seen.truth.mask.shape == (360, 640) and seen.truth.points.shape[1:] == (8, 2)
    assert scores([answers(_silent(), Decoding(0.05, 0.6, 8, 28), [LABEL])[0]], [seen.truth])["box"] == 0.0


def _silent():
    shapes = {"score": 1, "box": 4, "points": 16, "coefficients": 12, "prototypes": 12}
    return {name: np.zeros((1, channels, 28, 48), np.float32) for name, channels in shapes.items()}
