"""The loop: it stops by the clock, carries on where it was, survives a step that explodes, and leaves a record."""

import json

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.training.loop import Run, averaged, rate, train  # noqa: E402


class Clock:
    """A second passes at every look."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def step(net, number):
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(number))
    loss = ((net(x) - x.sum(1, keepdim=True)) ** 2).mean()
    return loss, {"error": float(loss.detach())}


def fresh():
    torch.manual_seed(0)
    return torch.nn.Linear(3, 1)


RUN = Run(seconds=400, rate=0.05, warm=5, average=0.9, report=50, half_precision=False)


def test_it_learns_within_its_time_and_records_what_it_did(tmp_path):
    net = fresh()
    outcome = train(net, step, RUN, tmp_path, Clock())
    assert outcome.seconds <= RUN.seconds + 3 and outcome.steps > 100
    assert float(step(net, 9999)[0].detach()) < 0.05
    lines = [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]
    assert len(lines) >= 5 and lines[-1]["loss"] < lines[0]["loss"] and lines[0]["step"] < lines[-1]["step"]


def test_a_run_that_was_cut_goes_on_and_does_not_start_again(tmp_path):
    class Cut(Exception):
        pass

    def cut_step(net, number):
        if number == 150:
            raise Cut
        return step(net, number)

    with pytest.raises(Cut):
        train(fresh(), cut_step, RUN, tmp_path, Clock())
    first = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert 0 < first["steps"] <= 150
    seen = []
    outcome = train(fresh(), lambda net, n: (seen.append(n), step(net, n))[1], RUN, tmp_path, Clock())
    assert seen[0] == first["steps"] and outcome.steps == seen[-1] + 1
    again = train(fresh(), step, RUN, tmp_path, Clock())
    assert again.steps == outcome.steps  # its time is spent
    assert torch.equal(averaged(tmp_path, fresh()).weight, torch.load(tmp_path / "checkpoint.pt")["averaged"]["weight"])


def test_a_step_that_is_no_number_is_skipped_and_the_weights_stay_sound(tmp_path):
    def sometimes(net, number):
        loss, parts = step(net, number)
        return (loss * float("nan"), parts) if number % 7 == 0 else (loss, parts)

    net = fresh()
    train(net, sometimes, RUN, tmp_path, Clock())
    assert torch.isfinite(net.weight).all()


def test_the_rate_rises_then_falls_with_the_time_that_is_spent():
    assert rate(RUN, 0, 0) < rate(RUN, 4, 0) == RUN.rate
    falling = [rate(RUN, 100, t) for t in range(0, 401, 40)]
    assert falling == sorted(falling, reverse=True) and falling[-1] < 0.02 * RUN.rate
