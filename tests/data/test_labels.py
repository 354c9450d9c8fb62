"""Labelled subsets: the same everywhere, by a stated rule.

Mutants tried, each red: torch's generator, or NumPy's newer one, in place of the frozen one; a choice that is
not nested; the largest numbers in place of the smallest; indices in another order than that of the data.
"""

import numpy as np
import pytest
import torch

from ebmlearn import data

TEN = torch.arange(200) % 10  # 0, 1, ..., 9, 0, 1, ...


def test_the_choice_is_the_one_that_is_stored():
    """Computed once; a machine or a release that chooses otherwise turns this red."""
    stored = [14, 15, 34, 43, 60, 61, 75, 82, 87, 92, 97, 99, 108, 126, 150, 166, 171, 173, 179, 198]
    assert data.labelled(TEN, 2, seed=0).tolist() == stored
    assert data.labelled(TEN, 1, seed=7).tolist() == [7, 19, 55, 108, 111, 142, 146, 154, 160, 173]


def test_the_rule_by_hand():
    """The first numbers of the generator with seed 0, as NumPy has given them since 2006."""
    numbers = [0.5488135, 0.71518937, 0.60276338, 0.54488318, 0.4236548, 0.64589411]
    y = [0, 1, 0, 1, 1, 0]
    by_class = [sorted((u, i) for i, u in enumerate(numbers) if y[i] == label) for label in (0, 1)]
    wanted = sorted(i for members in by_class for _, i in members[:2])
    assert data.labelled(y, 2).tolist() == wanted == [0, 2, 3, 4]


def test_classes_are_balanced_nested_and_in_the_order_of_the_data():
    y = np.random.default_rng(0).integers(0, 4, 500)
    smaller: set[int] = set()
    for per_class in (1, 2, 5, 20):
        chosen = data.labelled(y, per_class, seed=3)
        assert chosen.dtype == torch.int64 and chosen.tolist() == sorted(chosen.tolist())
        assert np.bincount(y[chosen.numpy()]).tolist() == [per_class] * 4
        assert smaller <= (smaller := set(chosen.tolist()))
    assert smaller != set(data.labelled(y, 20, seed=4).tolist())


def test_nothing_but_seed_and_classes_count():
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    assert torch.equal(data.labelled(TEN.tolist(), 3), data.labelled(TEN.to(torch.uint8), 3))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()


@pytest.mark.parametrize(
    ("y", "settings", "message"),
    [
        ([0, 2], {}, "per_class is 1, but class 1 has none of the 2 examples of y; .* without a gap"),
        ([0, 1], {"n_classes": 3}, "class 2 has none"),
        ([0, 1, 1, 1], {"per_class": 3}, "per_class is 3, but class 0 has 1 of the 4 examples of y; ask for"),
        ([0, 1], {"per_class": 0}, "per_class is 0; expected a whole number >= 1"),
        ([0, 3], {"n_classes": 2}, "y: number 1 is 3; expected a whole number from 0 to 1"),
        ([[0, 1]], {}, r"y has shape \(1, 2\); expected \(N,\), one class for each example"),
        ([0], {"seed": 2**32}, r"seed is 4294967296; expected a whole number < 2\*\*32"),
    ],
)
def test_what_cannot_be_chosen_is_refused(y, settings, message):
    with pytest.raises(ValueError, match=message):
        data.labelled(y, **{"per_class": 1, **settings})
