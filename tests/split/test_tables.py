"""`split tables`: a person's own frames take fewer bytes, decode to the same values, and the manifest alone is new."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from edgewise.codec.features import FeatureCodec
from edgewise.core.errors import ConfigError, ModelError
from edgewise.runtime.bundle import Bundle, bundle_files
from edgewise.runtime.parcel import parcel, unpacked
from edgewise.split.quick import Quick, quick
from edgewise.split.tables import Retabled, Tables, retabled
from tests.split.quick_subject import classifier, folder, pictures

VEHICLES = Path(__file__).parents[2] / "edgewise" / "bundles" / "vehicles"


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose tables were fitted by day, and pictures of the night."""
    root = tmp_path_factory.mktemp("tables")
    (root / "stripes.onnx").write_bytes(classifier().SerializeToString())
    folder(root / "day", 90)
    quick(Quick(model=root / "stripes.onnx", calibrate=root / "day", out=root / "old", samples=48, judged=40, rates=2))
    (root / "night").mkdir()
    for i, picture in enumerate(night(120, 5)):
        Image.fromarray(picture).save(root / "night" / f"{i:03}.png")
    return root


def night(count: int, seed: int) -> np.ndarray:
    return (pictures(count, seed)[0] * 0.3).astype(np.uint8)


@pytest.fixture(scope="module")
def found(ground: Path) -> Retabled:
    (ground / "night" / "broken.png").write_bytes(b"no picture")
    return retabled(Tables(bundle=ground / "old", data=ground / "night", out=ground / "new", fitted=80, judged=40))


def test_frames_that_fitted_nothing_take_fewer_bytes_and_decode_alike(ground: Path, found: Retabled) -> None:
    assert found.rows and all(row.after < 0.95 * row.before for row in found.rows if row.taken)
    old, new = Bundle.open(ground / "old"), Bundle.open(ground / "new")
    features = next(iter(old.session("head").run({"picture": night(30, 99)}).values()))
    for row in (r for r in found.rows if r.taken):
        codecs = [FeatureCodec(b.manifest.crossing, replace(b.manifest.codings[row.point], most=0)) for b in (old, new)]
        frames = [[c.encode(f[None]) for f in features] for c in codecs]
        values = [np.concatenate([c.decode(p) for p in some]) for c, some in zip(codecs, frames, strict=True)]
        assert values[0].tobytes() == values[1].tobytes()
        sizes = [np.mean([len(p) for p in some]) for some in frames]
        assert sizes[1] < sizes[0]
        assert row.cut_after <= row.cut_before, "smaller frames lose fewer layers"
        assert abs(sizes[1] - new.manifest.point(row.point).bytes_up) < 0.1 * sizes[1]


def test_the_manifest_alone_is_new_and_travels_alone(ground: Path, found: Retabled) -> None:
    old, new = bundle_files(ground / "old"), bundle_files(ground / "new")
    assert [name for name in old if old[name] != new[name]] == ["manifest.json"]
    data = parcel(old, new)
    assert unpacked(old, data) == new
    assert len(data) < 0.25 * sum(map(len, new.values()))
    assert new["manifest.json"] == found.manifest.canonical
    assert found.manifest.provenance["method"] == "tables" and "night" in found.manifest.provenance["tables"]


def test_what_could_not_be_read_is_named(found: Retabled) -> None:
    assert list(found.left) == ["broken.png"] and found.dropped == 0


def test_no_bundle_where_nothing_is_gained(ground: Path, found: Retabled) -> None:
    """Tables of these frames, fitted to the same frames, are the same tables."""
    assert found.manifest.codings
    again = Tables(bundle=ground / "new", data=ground / "night", out=ground / "third", fitted=80, judged=40)
    with pytest.raises(ModelError, match="no table gets smaller"):
        retabled(again)
    assert not (ground / "third").exists()


def test_what_cannot_be_is_a_sentence(ground: Path) -> None:
    with pytest.raises(ConfigError, match="would replace"):
        retabled(Tables(bundle=ground / "old", data=ground / "night", out=ground / "old"))
    with pytest.raises(ModelError, match="has no tables"):
        retabled(Tables(bundle=VEHICLES, data=ground / "night", out=ground / "x"))
