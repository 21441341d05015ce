"""A student becomes head, tail and full: the same numbers as in torch, weights by their paths, the batch free."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from torch import Tensor, nn  # noqa: E402

from edgewise.core.errors import ModelError  # noqa: E402
from edgewise.graph.picture import Look  # noqa: E402
from edgewise.runtime.initialisers import values  # noqa: E402
from edgewise.runtime.session import Session  # noqa: E402
from edgewise.split.training.learn import looked  # noqa: E402
from edgewise.split.training.parts import named, parts  # noqa: E402
from edgewise.split.training.student import geometry, student  # noqa: E402
from tests.split.tiny import Blobs, build  # noqa: E402

LOOK = Look(29, 30, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


class Two(nn.Module):
    """Two outputs, one of them a map, in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.body = build()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        deep = self.body.layer2(self.body.layer1(self.body.stem(x)))
        return {"map": torch.sigmoid(deep), "bottleneck": self.body.head(deep.mean((2, 3)))}


def test_head_and_tail_are_the_student_and_full_is_the_teacher() -> None:
    teacher, pictures = Two().eval(), Blobs(5).pictures
    x = looked(pictures, LOOK)
    net = student(teacher, "body.layer1", geometry(teacher, "body.layer1", x), 3, 1).eval()
    made = parts(teacher, net, "body.layer1", LOOK)
    head, tail, full = (Session.load(made.models[p]) for p in ("head", "tail", "full"))
    assert made.outputs == ("map", "bottleneck_") and made.shape == (3, 19, 19)
    assert head.inputs[0].dtype == "uint8" and head.inputs[0].shape == (None, 29, 30, 3)
    crossing = head.run({"picture": pictures})["bottleneck"]
    assert np.abs(crossing - net.body.layer1.encoder(net.body.stem(x)).detach().numpy()).max() < 1e-4
    for session, feeds, source in ((tail, {"bottleneck": crossing}, net), (full, {"picture": pictures}, teacher)):
        said = session.run(feeds)
        for name, want in source(x).items():
            got = said["bottleneck_" if name == "bottleneck" else name]
            assert np.abs(got - want.detach().numpy()).max() < 1e-4


def test_parameters_keep_their_paths() -> None:
    teacher = build()
    net = student(teacher, "layer1", geometry(teacher, "layer1", looked(Blobs(2).pictures, LOOK)), 3, 1)
    made = parts(teacher, net, "layer1", LOOK)
    state = net.state_dict()
    for path, place in made.parameters.items():
        want = (teacher.state_dict() if place.part == "full" else state)[place.initialiser].numpy()
        assert np.array_equal(values(made.models[place.part], [place.initialiser])[place.initialiser], want), path
    found = {p.split(".", 1)[1] for p in made.parameters if p.startswith(("head.", "tail."))}
    assert found == {n for n in state if not n.endswith("num_batches_tracked")}


def test_outputs_that_are_no_tensors_are_refused() -> None:
    assert [n for n, _ in named((torch.zeros(1), torch.zeros(1)))] == ["output0", "output1"]
    with pytest.raises(ModelError, match="no tensors"):
        named({"a": "text"})
