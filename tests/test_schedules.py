"""Schedules: their values, where they end, and what a checkpoint says of them."""

import pickle

import pytest
import torch
from torch import nn

from ebmlearn.schedules import describe_schedule, inverse, linear
from ebmlearn.train import Method, fit


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (linear(0.4, 4), {0: 0.4, 1: 0.3, 2: 0.2, 4: 0.0}),
        (linear(0.4, 4, 0.2), {0: 0.4, 1: 0.35, 4: 0.2}),
        (linear(0.1, 2, 0.5), {0: 0.1, 1: 0.3, 2: 0.5}),
        (linear(1.0, 1), {0: 1.0, 1: 0.0}),
        (inverse(0.4, 10), {0: 0.4, 5: 0.4 / 1.5, 10: 0.2, 30: 0.1, 10**6: 0.4 / (1 + 10**5)}),
        (inverse(0.4, 0.5), {0: 0.4, 1: 0.4 / 3}),
    ],
)
def test_the_values_are_those_of_the_formula(schedule, values):
    assert {t: schedule(t) for t in values} == pytest.approx(values)
    again = pickle.loads(pickle.dumps(schedule))  # a process of several gets its method this way
    assert {t: again(t) for t in values} == {t: schedule(t) for t in values}


def test_a_line_has_no_value_past_its_end():
    with pytest.raises(
        ValueError, match=r"schedule of 4 steps was asked for .* step 5; give it more steps\."
    ):
        linear(0.4, 4)(5)


def test_an_optimiser_that_makes_several_updates_in_a_step_is_told_so():
    class Twice(Method):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(()))
            self.add_optimizer("w", [self.w], linear(0.1, 3), torch.optim.SGD)

        def step(self, batch):
            for _ in range(2):
                self.update("w", self.w.square())
            return {"w": self.w.detach().clone()}

    with pytest.raises(ValueError, match=r"of 3 steps was asked .* step 4.*updates of its own optimiser"):
        fit(Twice(), torch.zeros(4, 1), steps=3, batch_size=4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear(0.1, 0), "steps is 0; expected a whole number >= 1"),
        (lambda: linear(0.1, float("nan")), "steps is nan; expected a whole number >= 1"),
        (lambda: inverse(0.1, 0), "steps is 0; expected a number > 0"),
        (lambda: inverse(0.1, -1.0), r"steps is -1\.0; expected a number > 0"),
        (lambda: inverse(0.1, float("nan")), "steps is nan"),
    ],
)
def test_bad_lengths_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_schedules_are_told_apart_by_their_values():
    assert describe_schedule(lambda t: 1.0) == describe_schedule(lambda t: 1.0 + 0 * t)
    assert describe_schedule(lambda t: 1.0) != describe_schedule(lambda t: 1.0 if t < 10_000 else 0.5)
    # early, at a step that is not shown; late; very late
    assert describe_schedule(lambda t: t == 12) != describe_schedule(lambda t: t == 13)
    for change in (7, 999, 15_000, 5_000_000):
        texts = {describe_schedule(lambda t, c=c: 1.0 if t < c else 0.5) for c in (change, 2 * change)}
        assert len(texts) == 2


def test_where_a_schedule_has_ended_its_description_says_so():
    shown, _, rest = describe_schedule(linear(1.0, 100)).rpartition(", ... ")
    assert shown == "0: 1, 1: 0.99, 10: 0.9, 100: 0, 1000: undefined, 10000: undefined" and len(rest) == 8
    table = [0.5, 0.25]
    assert describe_schedule(table.__getitem__).startswith("0: 0.5, 1: 0.25, 10: undefined")
    assert describe_schedule(lambda t: 1 / (1 - t)).startswith("0: 1, 1: undefined, 10: -0.111111")
    with pytest.raises(TypeError):
        describe_schedule(lambda t: "fast" + t)
