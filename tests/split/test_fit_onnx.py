"""`split fit` of a model of which only the ONNX file is there: a bundle comes of it, and wrong words are answered."""

import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.core.errors import ConfigError, ModelError  # noqa: E402
from edgewise.graph.load import load  # noqa: E402
from edgewise.graph.reference import evaluate  # noqa: E402
from edgewise.runtime.bundle import Bundle  # noqa: E402
from edgewise.split.fit import Fit, fit  # noqa: E402
from edgewise.split.training.teacher import teacher  # noqa: E402
from tests.split import tiny  # noqa: E402


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A file with a batch of one, and pictures of another size than it takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecation
        torch.onnx.export(tiny.build(), (torch.zeros(1, 3, 32, 40),), tmp_path / "model.onnx", dynamo=False)
    tiny.folder(tmp_path / "data", 24, height=33, width=41)
    return tmp_path


def test_a_bundle_comes_of_a_file_and_its_full_part_gives_what_the_file_gives(place: Path) -> None:
    done = fit(Fit(str(place / "model.onnx"), "layer1", place / "data", out=place / "out", epochs=1.0, rate=1e-2, bits=(8, 2)))
    bundle = Bundle.open(place / "out")
    picture = bundle.manifest.pictures["head"]
    assert (picture.height, picture.width) == (32, 40)  # the file's own
    assert [p.name for p in bundle.manifest.points if p.mode == "split"] == ["split-8", "split-2"] and done.steps > 0
    assert str(place) not in bundle.manifest.canonical.decode()
    pictures = np.random.default_rng(2).integers(0, 256, (1, 32, 40, 3)).astype(np.uint8)
    given = next(iter(bundle.session("full").run({"picture": pictures}).values()))
    own = load(place / "model.onnx")
    x = (pictures.transpose(0, 3, 1, 2) / 255).astype(np.float32)
    wanted = next(iter(evaluate(own, {own.graph.input[0].name: x}, optimise=True).values()))
    np.testing.assert_allclose(given, wanted, atol=1e-4)


def test_what_does_not_fit_a_file_is_answered(place: Path) -> None:
    model = str(place / "model.onnx")
    with pytest.raises(ModelError, match=r"no such module; got 'layr1'; allowed: layer1"):
        teacher(model, None, "layr1")
    with pytest.raises(ConfigError, match="has its weights inside"):
        teacher(model, place / "w.safetensors")
    with pytest.raises(ModelError, match="no such model file"):
        teacher(str(place / "other.onnx"), None)
    with pytest.raises(ConfigError, match="another size; got 64 × 64; allowed: 40 × 32"):
        fit(Fit(model, "layer1", place / "data", out=place / "out", width=64, height=64))
