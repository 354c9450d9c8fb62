"""Random numbers: seeds, the state of every generator, an order of data; and that nothing else is touched."""

import random

import numpy as np
import pytest
import torch

from ebmlearn import random as rng
from ebmlearn.random import ShuffledIndex, diversify, kept, seed
from ebmlearn.train import checkpoint


def drawn():
    """The next numbers of each generator, as a value."""
    return tuple(torch.randn(3).tolist()), tuple(np.random.randn(3)), random.random()


# seeds


def test_a_seed_is_that_of_every_generator():
    generator = seed(5)
    first = drawn()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    assert drawn() == first
    assert torch.equal(torch.randn(3, generator=generator), torch.tensor(first[0]))
    assert all(a != b for a, b in zip((seed(6), drawn())[1], first, strict=True))


def test_the_offset_is_added_to_every_seed(monkeypatch):
    seed(105)
    wanted = drawn()
    monkeypatch.setenv("EBMLEARN_SEED_OFFSET", "100")
    generator = seed(5)
    assert drawn() == wanted and generator.initial_seed() == 105
    with kept(5):
        assert drawn() == wanted
    monkeypatch.setenv("EBMLEARN_SEED_OFFSET", "-5")
    seed(110)
    assert drawn() == wanted


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        ("many", 0, "EBMLEARN_SEED_OFFSET is 'many'; expected an integer, or leave it unset"),
        ("1.5", 0, r"EBMLEARN_SEED_OFFSET is '1\.5'"),
        ("", 0, "EBMLEARN_SEED_OFFSET is ''"),
        ("-1", 0, "the seed is -1, EBMLEARN_SEED_OFFSET included; expected 0 to"),
        ("1", 2**32 - 1, "the seed is 4294967296"),
    ],
)
def test_a_bad_offset_is_refused_and_no_generator_touched(monkeypatch, offset, value, message):
    before = rng.state()
    monkeypatch.setenv("EBMLEARN_SEED_OFFSET", offset)
    with pytest.raises(ValueError, match=message):
        seed(value)
    after = drawn()
    rng.restore(before)
    assert drawn() == after


def test_the_largest_seed_is_a_seed():
    seed(2**32 - 1)


# states


def test_every_random_generator_is_restored():
    state = rng.state()
    first = drawn()
    rng.restore(state)
    assert drawn() == first


def test_the_random_state_survives_the_file(tmp_path):
    checkpoint.save(tmp_path / "c.pt", rng.state())
    first = drawn()
    rng.restore(checkpoint.load(tmp_path / "c.pt"))
    assert drawn() == first


@pytest.mark.parametrize("value", [None, 7])
def test_numbers_drawn_in_between_leave_no_trace(value):
    seed(1)
    first, before = drawn(), rng.state()
    second = drawn()
    rng.restore(before)
    with kept(value):
        inside = drawn()
    assert drawn() == second
    if value is None:
        assert inside == second  # they go on
    else:
        seed(value)
        assert drawn() == inside and inside not in (first, second)


def test_the_state_comes_back_after_an_error_too():
    before = rng.state()
    wanted = drawn()
    rng.restore(before)
    with pytest.raises(ZeroDivisionError), kept(3):
        raise ZeroDivisionError
    assert drawn() == wanted
    rng.restore(before)
    with pytest.raises(ValueError, match="the seed is -1"), kept(-1):
        pass
    assert drawn() == wanted


def test_ranks_and_steps_have_numbers_of_their_own_that_belong_to_the_seed():
    def numbers(value, rank, step):
        seed(value)
        torch.randn(5)  # how far a generator has come makes no difference
        diversify(rank, step)
        return drawn()

    keys = [(value, rank, step) for value in (0, 1) for rank in (0, 1, 2) for step in (0, 1, 7)]
    found = [numbers(*key) for key in keys]
    for generator in zip(*found, strict=True):
        assert len(set(generator)) == len(keys)
    assert [numbers(*key) for key in keys] == found


# an order of data


def test_the_order_visits_everything_once_a_pass():
    index = ShuffledIndex(12)
    passes = [torch.cat([index.draw(4) for _ in range(3)]) for _ in range(50)]
    assert all(sorted(p.tolist()) == list(range(12)) for p in passes)
    assert len({tuple(p.tolist()) for p in passes}) == 50, "the order must change from pass to pass"


def test_a_remainder_is_left_out_and_nothing_is_drawn_twice_in_a_pass():
    index = ShuffledIndex(10)
    for _ in range(20):
        drawn = torch.cat([index.draw(4), index.draw(4)])
        assert len(drawn.unique()) == 8


def test_the_order_is_in_the_state_dict():
    a, b = ShuffledIndex(100), ShuffledIndex(100)
    a.draw(30)
    b.load_state_dict(a.state_dict())
    assert torch.equal(a.draw(30), b.draw(30))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ShuffledIndex(0), "size is 0; expected a whole number >= 1"),
        (lambda: ShuffledIndex(3).draw(4), "cannot draw 4 different items out of 3"),
        (lambda: ShuffledIndex(3).draw(0), "cannot draw 0"),
    ],
)
def test_bad_sizes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
