"""The swap falls between two inferences, and what does not run never answers."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgewise.core.artifact import Bottleneck, Grid, Picture
from edgewise.core.errors import ModelError
from edgewise.runtime.bundle import Bundle, write_bundle
from edgewise.runtime.slots import Slots, gently, swap_delays


def made(folder: Path, scale: float, kind: str = "Mul") -> Bundle:
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 4]) for n in ("x", "y")]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4], np.full(4, scale, np.float32).tobytes(), raw=True)
    graph = helper.make_graph([helper.make_node(kind, ["x", "w"], ["y"])], "g", tensors[:1], tensors[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    write_bundle(
        folder,
        name="tiny",
        labels=("car",),
        parts={"local": model},
        pictures={"local": Picture(4, 1)},
        bottleneck=Bottleneck((1, 1, 1), (0.0,), (1.0,)),
        decoding=Grid(0.5, 0.5, 0.5, 1, 1),
        points=(),
        provenance={},
    )
    return Bundle.open(folder)


def infer(bundle: Bundle) -> float:
    return float(bundle.session("local").run({"x": np.ones((1, 4), np.float32)})["y"][0, 0])


def test_the_prepared_bundle_answers_after_the_swap_and_can_be_taken_back(tmp_path: Path) -> None:
    old, new = made(tmp_path / "a", 2.0), made(tmp_path / "b", 3.0)
    slots = Slots(old)
    with pytest.raises(ModelError, match="empty slot"):
        slots.swap()
    slots.prepare(new)
    assert slots.current is old and infer(slots.current) == 2.0
    assert slots.swap() is old
    assert infer(slots.current) == 3.0 and slots.standby is None
    slots.prepare(old)
    slots.swap()
    assert infer(slots.current) == 2.0


def test_what_does_not_run_is_refused_and_the_current_one_goes_on(tmp_path: Path) -> None:
    slots = Slots(made(tmp_path / "a", 2.0))
    broken = made(tmp_path / "b", 3.0)
    broken._models["local"] = broken._models["local"].replace(b"Mul", b"Mol")
    with pytest.raises(ModelError, match="does not know"):
        slots.prepare(broken)
    assert slots.standby is None and infer(slots.current) == 2.0


def test_every_inference_sees_one_whole_version_while_they_change(tmp_path: Path) -> None:
    bundles = [made(tmp_path / str(n), float(n)) for n in range(1, 8)]
    slots, seen, end = Slots(bundles[0]), [], threading.Event()

    def answer() -> None:
        while not end.is_set():
            current = slots.current
            seen.append((float(current.address == bundles[0].address), infer(current), infer(current)))

    thread = threading.Thread(target=answer)
    thread.start()
    for bundle in bundles[1:]:
        slots.prepare(bundle)
        slots.swap()
    end.set()
    thread.join(timeout=30)
    assert seen and all(a == b for _, a, b in seen)
    assert [b for _, b, _ in seen] == sorted(b for _, b, _ in seen), "never back to an older one"


def test_delays_are_told_for_frames_before_and_during_a_swap(tmp_path: Path) -> None:
    old, new = made(tmp_path / "a", 2.0), made(tmp_path / "b", 3.0)
    slots = Slots(old)
    found = swap_delays(slots, new, infer, rate=200, alone=0.1, after=0.05)
    assert slots.current is new
    assert len(found.alone) >= 15 and len(found.during) >= 5 and found.seconds > 0
    assert all(d > 0 for d in (*found.alone, *found.during))


def test_work_done_gently_returns_and_raises_as_if_it_were_done_here() -> None:
    assert gently(lambda: threading.current_thread().name) == "edgewise-prepare"
    with pytest.raises(ZeroDivisionError):
        gently(lambda: 1 // 0)
