"""What checks let through, which the table of bad calls does not see; and how long things are shown.

Broken on purpose and seen to fail: numpy's integers refused; the ends of a range let in or out; a tensor
shown whole.
"""

import numpy as np
import pytest
import torch

from ebmlearn import check


def test_numbers_of_numpy_and_torch_are_numbers():
    assert check.count("n", np.int64(3)) == 3 and type(check.count("n", np.int64(3))) is int
    assert check.counts("shape", torch.zeros(3, 2).shape) == (3, 2)
    assert check.counts("widths", [np.int32(4)]) == (4,) and check.counts("widths", (), some=False) == ()
    assert check.number("s", np.float32(0.5)) == check.number("s", torch.tensor(0.5)) == 0.5
    assert check.interval("box", (0, np.float64(1))) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [
        ("> 0", (1e-30, 1e30), (0.0, -1.0)),
        (">= 0", (0.0, 1e30), (-1e-30,)),
        ("in (0, 1)", (1e-30, 0.999), (0.0, 1.0)),
        ("in [0, 1)", (0.0, 0.999), (-1e-30, 1.0)),
        ("in [0, 1]", (0.0, 1.0), (-1e-30, 1.0001)),
        ("", (-1e30, 1e30), ()),
    ],
)
def test_a_range_has_the_ends_that_it_says(span, inside, outside):
    for v in inside:
        assert check.number("v", v, span) == v
    for v in outside:
        with pytest.raises(ValueError, match=r"v is .*; expected a number (>|in)"):
            check.number("v", v, span)
    for v in (float("nan"), float("inf"), -float("inf"), True, "1"):
        with pytest.raises(ValueError, match=r"v is .*; expected a"):
            check.number("v", v, span)


def test_long_values_are_shown_in_short():
    assert check.shown(torch.zeros(3, 2)) == "a float32 tensor of shape (3, 2)"
    assert check.shown(np.zeros((3, 2))) == "a numpy array of shape (3, 2)"
    assert check.shown([0.0] * 100).endswith("...") and len(check.shown([0.0] * 100)) == 80
    assert check.shown("a") == "'a'"


def test_a_batch_is_checked_as_far_as_was_asked():
    check.batch("x", torch.zeros(0, 2))
    check.batch("x", torch.zeros(1, 2) / 0)
    check.batch("x", torch.zeros(3), event=())
    with pytest.raises(ValueError, match=r"x has shape \(3, 2\); expected \(B, 1, 2\)"):
        check.batch("x", torch.zeros(3, 2), event=(1, 2))
    with pytest.raises(ValueError, match="1 of 2 rows of x are NaN or infinite"):
        check.batch("x", torch.tensor([[0.0, torch.nan], [0.0, 0.0]]), finite=True)


def test_labels_are_whole_numbers_of_their_classes():
    check.labels("y", torch.tensor([0, 2, 1]), 3)
    check.labels("y", torch.zeros(0).long(), 3)
    for bad in (torch.tensor([0, 3]), torch.tensor([-1, 0])):
        with pytest.raises(ValueError, match=r"y has classes from -?\d to \d; expected 0 to 2"):
            check.labels("y", bad, 3)
    for bad in (torch.zeros(3), torch.zeros(3).int(), torch.zeros(3, 1).long()):
        with pytest.raises(ValueError, match=r"y is a torch\.\w+ tensor of .*; expected torch.int64"):
            check.labels("y", bad, 3)
