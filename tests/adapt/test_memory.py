"""Domains are told apart by how their pictures look, and known again when they come back."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.adapt.memory import Memory, apart, domain_of, look, looks
from edgewise.data.corruptions import corrupt

PHI = {"n.weight": np.ones(3, np.float32)}


def scenes(count: int, seed: int = 0) -> list[np.ndarray]:
    """Pictures with a sky, a ground and some things, 32 × 32."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        picture = np.empty((32, 32, 3))
        horizon = int(random.integers(10, 22))
        picture[:horizon], picture[horizon:] = random.uniform(120, 230, 3), random.uniform(40, 150, 3)
        for _ in range(4):
            x, y, w = random.integers(0, 24, 3)
            picture[y : y + 8, x : x + w // 3 + 2] = random.uniform(0, 255, 3)
        found.append(np.clip(picture + random.normal(0, 3, picture.shape), 0, 255).astype(np.uint8))
    return found


def shifted(kind: str, count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return looks([corrupt(p, kind, 5, random) if kind else p for p in scenes(count, seed)])


def entered(memory: Memory, kind: str, count: int, seed: int) -> list[int]:
    """Numbers of the domains that were entered while `count` pictures of a kind came, four at a time."""
    found = [memory.seen(part) for part in np.split(shifted(kind, count, seed), count // 4)]
    return [d.number for d in found if d is not None]


@pytest.mark.parametrize("kind", ["fog", "night", "gaussian_noise", "blur", "contrast", "brightness"])
def test_a_shift_looks_like_another_domain_and_more_of_the_same_does_not(kind: str) -> None:
    home = domain_of(0, shifted("", 100))
    assert apart(shifted("", 60, 1).mean(axis=0), home) < 0.5
    assert apart(shifted(kind, 60, 2).mean(axis=0), home) > 0.85


def test_every_picture_has_a_look_whatever_it_is() -> None:
    for picture in (
        np.zeros((1, 1, 3), np.uint8),
        np.full((300, 5, 3), 255, np.uint8),
        np.eye(9, dtype=np.uint8)[..., None].repeat(3, 2),
    ):
        assert np.isfinite(look(picture)).all()


def test_a_recurring_shift_is_known_again_with_what_was_stored() -> None:
    memory = Memory(source=shifted("", 100))
    assert entered(memory, "", 60, 1) == [0]
    assert entered(memory, "night", 60, 2) == [1]
    memory.remember(PHI, "v1")
    assert entered(memory, "fog", 60, 3) == [2]
    assert entered(memory, "", 60, 4) == [0]
    assert memory.current is not None and memory.current.phi is None
    assert entered(memory, "night", 40, 5) == [1], "within forty pictures"
    assert memory.current.version == "v1" and memory.current.visits == 2 and memory.current.phi == PHI
    memory.forget()
    assert memory.current.phi is None


def test_a_shift_is_known_from_few_pictures() -> None:
    memory = Memory(source=shifted("", 100))
    entered(memory, "", 60, 1)
    after = next(n for n in range(4, 80, 4) if memory.seen(shifted("night", 4, n)) is not None)
    assert after <= 24


def test_a_shift_is_suspected_at_once_and_the_usual_is_not() -> None:
    memory = Memory(source=shifted("", 100))
    usual = []
    for part in np.split(shifted("", 200, 1), 50):
        memory.seen(part)
        usual.append(memory.suspects)
    assert np.mean(usual[4:]) < 0.05
    memory.seen(shifted("night", 4, 2))
    assert memory.suspects


def test_slow_drift_moves_a_domain_along() -> None:
    memory = Memory(source=shifted("", 100))
    entered(memory, "", 60, 1)
    steps = 1200
    drift = shifted("", 100, 2)[np.arange(steps) % 100] - np.linspace(0, 0.25, steps)[:, None] * np.eye(9)[0]
    assert all(memory.seen(part) is None for part in np.split(drift, steps // 4))


def test_only_so_many_are_remembered_and_never_without_the_source() -> None:
    memory = Memory(capacity=2, source=shifted("", 100))
    for seed, kind in enumerate(["", "night", "fog", "contrast", "brightness", "blur"]):
        entered(memory, kind, 60, seed)
        assert len(memory) <= 3
    assert entered(memory, "", 60, 9)[-1] == 0
