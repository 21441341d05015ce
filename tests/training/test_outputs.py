"""Outputs of a network have names, whatever they come in."""

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.core.errors import ModelError  # noqa: E402
from edgewise.training.outputs import classed, named  # noqa: E402


def test_every_container_has_names() -> None:
    one = torch.zeros(2, 3)
    assert [n for n, _ in named(one)] == ["output"] and [n for n, _ in named([one, one])] == ["output0", "output1"]
    assert [n for n, _ in named({"score": one, "box": one})] == ["score", "box"]
    with pytest.raises(ModelError, match=r"no tensors; got dict, meta: int"):
        named({"score": one, "meta": 1})
    with pytest.raises(ModelError, match="no tensors; got str"):
        named("nothing")


def test_a_model_output_is_a_dictionary_without_what_is_none() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs", reason="pip install 'edgewise[hf]'")
    given = outputs.ImageClassifierOutputWithNoAttention(logits=torch.ones(2, 4))
    assert [n for n, _ in named(given)] == ["logits"] and torch.equal(classed(given), torch.ones(2, 4))


def test_what_does_not_classify_is_refused() -> None:
    for wrong in (torch.zeros(2, 4, 5, 5), torch.zeros(2, 1), {"a": torch.zeros(2, 3), "b": torch.zeros(2, 3)}):
        with pytest.raises(ModelError, match="does not classify"):
            classed(wrong)
