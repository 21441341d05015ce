"""torch → ONNX: what onnxruntime says of an exported part is what torch says, for any batch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")
pytest.importorskip("onnxscript", reason="export needs onnxscript: pip install 'edgewise[train]'")

from edgewise.core.errors import ModelError  # noqa: E402
from edgewise.runtime.initialisers import patched, values  # noqa: E402
from edgewise.runtime.session import Session  # noqa: E402
from edgewise.training import export  # noqa: E402
from edgewise.training.nets.detector import Head, Local, Tail  # noqa: E402


def lived_in(net):
    """Statistics that are not those of a fresh net, so that folding has something to get wrong."""
    generator = torch.Generator().manual_seed(5)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return net.eval()


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(5)
    return lived_in(Head(4)), lived_in(Tail(4, wide=8)), lived_in(Local(wide=8))


def agree(model, feed, net, name):
    session = Session.load(model)
    said = session.run({name: feed})
    with torch.no_grad():
        told = net(torch.from_numpy(feed))
    told = told if isinstance(told, tuple) else (told,)
    assert len(said) == len(told)
    for out, expected in zip(said.values(), told):
        assert out.shape == tuple(expected.shape)
        # A peak that ties with its neighbour to the last bit may fall either way; nothing else may differ.
        close = np.isclose(out, expected.numpy(), atol=1e-5)
        assert close.mean() > 0.999 and (close | (out == 0) | (expected.numpy() == 0)).all()
    return said


@pytest.mark.parametrize("batch", [1, 3])
def test_head_then_tail_say_what_torch_says(parts, batch):
    head, tail, _ = parts
    picture = np.random.default_rng(batch).integers(0, 256, (batch, 180, 320, 3), np.uint8)
    bottleneck = agree(models(parts)["head"], picture, head, "picture")["bottleneck"]
    said = agree(models(parts)["tail"], bottleneck, tail, "bottleneck")
    assert list(said) == ["score", "box", "occupied"]


def test_local_says_what_torch_says(parts):
    picture = np.random.default_rng(9).integers(0, 256, (2, 90, 160, 3), np.uint8)
    agree(models(parts)["local"], picture, parts[2], "picture")


_MODELS = {}


def models(parts):
    if not _MODELS:
        head, tail, local = parts
        _MODELS.update(head=export.head(head), tail=export.tail(tail, 4), local=export.local(local))
    return _MODELS


def test_equal_weights_give_equal_bytes_without_traces_of_the_machine(parts):
    again = export.local(parts[2])
    assert again == models(parts)["local"]
    assert b".py" not in again and b"site-packages" not in again


def test_unfolded_parts_keep_every_parameter_by_its_path_and_say_the_same(parts):
    head, tail, local = parts
    unfolded = {
        "head": export.head(head, unfold=True),
        "tail": export.tail(tail, 4, unfold=True),
        "local": export.local(local, unfold=True),
    }
    picture = np.random.default_rng(4).integers(0, 256, (2, 180, 320, 3), np.uint8)
    bottleneck = agree(unfolded["head"], picture, head, "picture")["bottleneck"]
    agree(unfolded["tail"], bottleneck, tail, "bottleneck")
    agree(unfolded["local"], picture[:, :90, :160], local, "picture")
    for name, net in zip(unfolded, parts):
        kept = export.parameters(name, net, unfolded[name])
        lying = values(unfolded[name], [p.initialiser for p in kept.values()])
        state = net.state_dict()
        assert all(np.array_equal(value, state[path].numpy()) for path, value in lying.items())
        assert any(path.endswith("running_var") for path in lying) and len(kept) == len(lying)
        with pytest.raises(ModelError, match="unfolded"):
            export.parameters(name, net, models(parts)[name])


def test_equal_parameters_stay_apart_so_that_one_can_change_alone():
    net = Local(wide=8).eval()  # every scale is 1, every shift 0
    model = export.local(net, unfold=True)
    assert model == export.local(net, unfold=True)
    assert len(export.parameters("local", net, model)) == len(list(net.parameters())) + 2 * 7
    with torch.no_grad():
        net.body[0][1].bias.fill_(0.5)
    told = patched(model, {"body.0.1.bias": np.full(8, 0.5, np.float32)})
    picture = np.random.default_rng(9).integers(0, 256, (1, 90, 160, 3), np.uint8)
    agree(told, picture, net, "picture")


def test_onnxruntime_folds_what_was_left_unfolded(parts, tmp_path):
    """Equal speed, seen without a clock: the graph that really runs has no normalisation left."""
    import onnx

    for unfold in (True, False):
        Session.load(export.local(parts[2], unfold=unfold), optimised_path=tmp_path / f"{unfold}.onnx")
    ran = [sorted(n.op_type for n in onnx.load(tmp_path / f"{unfold}.onnx").graph.node) for unfold in (True, False)]
    assert "BatchNormalization" not in ran[0]
    assert ran[0].count("Conv") == ran[1].count("Conv") and len(ran[0]) == len(ran[1])


def test_group_normalisation_keeps_scale_and_shift_by_their_paths():
    """The exporter writes it in pieces and gives its scales another shape; a delta still finds them, each by itself."""
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.GroupNorm(2, 4), torch.nn.GroupNorm(4, 4)).eval()
    model = export.exported(net, torch.zeros(2, 3, 4, 4), "x", ["y"], unfold=True)
    assert set(export.parameters("full", net, model)) == {f"full.{name}" for name, _ in net.named_parameters()}
    bias = values(model, ["2.bias"])["2.bias"]
    assert bias.shape[0] == bias.size == 4
    with torch.no_grad():
        net[2].bias.fill_(0.5)
    agree(
        patched(model, {"2.bias": np.full_like(bias, 0.5)}), np.random.default_rng(1).random((3, 3, 4, 4), np.float32), net, "x"
    )
