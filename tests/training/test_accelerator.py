"""A device that is not there, and one that goes away, are sentences; what is wrong otherwise stays what it is."""

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.core.errors import DeviceError  # noqa: E402
from edgewise.training.accelerator import device, watched  # noqa: E402

GPU = "cuda:0"
GONE = "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported at some other API call"


def test_a_device_that_is_not_there_is_said_before_anything_begins() -> None:
    assert device("cpu").type == "cpu"
    with pytest.raises(DeviceError, match="no such kind"):
        device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match=r"not there; got cuda \(.+\).*--device cpu"):
            device("cuda")


@pytest.mark.parametrize("error", [RuntimeError(GONE), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")])
def test_one_that_goes_away_is_one_sentence(error: Exception) -> None:
    with (
        pytest.raises(DeviceError, match=r"(went away|no memory left); got cuda:0 \(CUDA .*Carry on\.") as caught,
        watched(GPU, "Carry on."),
    ):
        raise error
    assert "\n" not in str(caught.value) and caught.value.__cause__ is error


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes"), watched(GPU, ""):
        raise RuntimeError("shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="CUDA error"), watched("cpu", ""):
        raise RuntimeError(GONE)
