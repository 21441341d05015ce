"""Error feedback: nothing that was wanted is lost, by rounding or on the way, and the error does not grow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgewise.codec.delta import Precision, decode
from edgewise.codec.feedback import ErrorFeedback
from edgewise.core.delta import Affine, Change, Delta, Full, LowRank, Rows, apply
from edgewise.core.errors import ModelError

F = np.float32


class Receiver:
    """What a device does with deltas: applies those for the version that it has."""

    def __init__(self, parameters: dict[str, np.ndarray]) -> None:
        self.has, self.version = dict(parameters), "v0"

    def take(self, data: bytes, version: str) -> str:
        delta = decode(data)
        assert delta.parent == self.version
        self.has, self.version = apply(self.has, delta), version
        return version


def parameters(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {"w": random.normal(size=(16, 24)).astype(F), "b": random.normal(size=16).astype(F), "t": np.arange(4)}


def rows(random: np.random.Generator) -> dict[str, Change]:
    change = (1e-2 * random.normal(size=(16, 24))).astype(F)
    return {"w": Rows(np.arange(16), change), "b": Affine(np.ones(16, F), (1e-3 * random.normal(size=16)).astype(F))}


def ranks(random: np.random.Generator) -> dict[str, Change]:
    return {"w": LowRank((0.1 * random.normal(size=(16, 2))).astype(F), (0.1 * random.normal(size=(2, 24))).astype(F))}


def apart(x: dict[str, np.ndarray], y: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(x[k].astype(np.float64) - y[k]).max()) for k in x)


@pytest.mark.parametrize("make", [rows, ranks])
@pytest.mark.parametrize("precision", ["int8", "float16"])
@pytest.mark.parametrize("lost", [0.0, 0.4])
def test_what_arrived_and_the_residual_are_what_was_wanted(make: Callable[..., dict], precision: Precision, lost: float) -> None:
    random = np.random.default_rng(1)
    begin = parameters()
    sender, receiver = ErrorFeedback(begin, "v0", "v0", "test", precision), Receiver(begin)
    wanted = {k: v.astype(np.float64) for k, v in begin.items()}
    errors = []
    for n in range(100):
        change = make(random)
        sender.want(change)
        for path, one in change.items():
            zero = np.zeros(begin[path].shape, F)
            wanted[path] += apply({path: zero}, alone(path, one))[path]
        data = sender.code()
        if random.random() >= lost:
            sender.acknowledged(data, receiver.take(data, f"v{n + 1}"))
        residual = sender.residual
        total = {k: receiver.has[k] + residual.get(k, np.zeros_like(begin[k])) for k in begin}
        assert apart(total, wanted) < 2e-5, "arrived + residual = wanted"
        errors.append(apart(receiver.has, sender.wanted))
    if make is rows and not lost:
        assert max(errors[50:]) <= 1.5 * max(errors[:50])
        assert max(errors) < {"int8": 4e-4, "float16": 4e-5}[precision], "one rounding of one change, not a hundred"
    elif make is rows:
        sender.acknowledged(data := sender.code(), receiver.take(data, "end"))
        sender.acknowledged(data := sender.code(), receiver.take(data, "end2"))
        assert apart(receiver.has, sender.wanted) < 1e-5, "what was lost came with what arrived"


def alone(path: str, change: Change) -> Delta:
    return Delta("v0", "v0", "test", {path: change})


def test_without_feedback_the_error_grows() -> None:
    """The control of the law above: sent alone, a hundred roundings add up."""
    random, begin = np.random.default_rng(1), parameters()
    fed, plain = ErrorFeedback(begin, "v0", "v0", "t"), dict(begin)
    for n in range(100):
        change = rows(random)
        fed.want(change)
        fed.acknowledged(fed.code(), f"v{n}")
        forgetful = ErrorFeedback(plain, "v0", "v0", "t")
        forgetful.want(change)
        plain = apply(plain, decode(forgetful.code()))
    error = max(float(np.abs(v).max()) for v in fed.residual.values())
    assert apart({"w": plain["w"]}, {"w": fed.wanted["w"]}) > 3 * error


def test_low_rank_stays_low_rank_on_the_way_and_catches_up() -> None:
    random, begin = np.random.default_rng(2), parameters()
    sender = ErrorFeedback(begin, "v0", "v0", "federate", "int8")
    for _ in range(4):
        sender.want(ranks(random))
    sizes = []
    for n in range(40):
        data = sender.code()
        assert all(isinstance(change, LowRank) for change in decode(data).changes.values())
        sender.acknowledged(data, f"v{n}")
        sizes.append(max((float(np.abs(v).max()) for v in sender.residual.values()), default=0.0))
    assert sizes[-1] < 1e-4 * sizes[0]


def test_integers_and_numbers_go_whole() -> None:
    begin = parameters() | {"s": np.array(1, F)}
    sender, receiver = ErrorFeedback(begin, "v0", "v0", "t"), Receiver(begin)
    sender.want({"t": Full(np.array([9, 8, 7, 6])), "s": Full(np.array(0.3, F))})
    receiver.take(sender.code(), "v1")
    assert receiver.has["t"].tolist() == [9, 8, 7, 6] and abs(receiver.has["s"] - 0.3) < 1e-6


def test_an_acknowledgement_of_something_else_is_a_sentence() -> None:
    sender = ErrorFeedback(parameters(), "v0", "v0", "t")
    sender.want(rows(np.random.default_rng(3)))
    first = sender.code()
    sender.acknowledged(first, "v1")
    with pytest.raises(ModelError, match="not on its way"):
        sender.acknowledged(first, "v1")
    assert decode(sender.code()).parent == "v1"


def test_a_late_acknowledgement_counts() -> None:
    random = np.random.default_rng(4)
    sender, receiver = ErrorFeedback(parameters(), "v0", "v0", "t"), Receiver(parameters())
    sender.want(rows(random))
    first = sender.code()
    sender.want(rows(random))
    sender.code()  # never arrives
    sender.acknowledged(first, receiver.take(first, "v1"))
    receiver.take(sender.code(), "v2")
    assert apart(receiver.has, sender.wanted) < 1e-3
