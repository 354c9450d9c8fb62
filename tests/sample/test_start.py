"""Starts of chains, and the replay buffer's lineage battery."""

import math

import pytest
import torch
from scipy import stats

from ebmlearn.sample import DataStart, NoiseStart, ReplayBuffer


def numbered(size, **settings):
    """A buffer whose chain in slot i carries the number i: every later value tells its ancestor."""
    return ReplayBuffer(torch.arange(size, dtype=torch.float64)[:, None], **settings)


def test_lineage_slots_are_written_back_in_place():
    buffer = numbered(1000)
    for _ in range(25):
        x = buffer.draw(torch.zeros(100, 1))
        assert len(x.unique()) == 100, "a slot was drawn twice in one batch"
        buffer.store(x + 0.0)
    assert torch.equal(buffer.x.flatten(), torch.arange(1000, dtype=torch.float64))


def test_lineage_every_slot_is_read_and_all_ancestors_live():
    """Chains that add 1000 at each visit: ancestor = value modulo 1000, number of visits = value // 1000."""
    buffer = numbered(1000)
    passes = 5
    for _ in range(10 * passes):
        buffer.store(buffer.draw(torch.zeros(100, 1)) + 1000)
    assert torch.equal(buffer.x.flatten() % 1000, torch.arange(1000, dtype=torch.float64))
    assert (buffer.x // 1000 == passes).all()


@pytest.mark.statistical
def test_restarts_happen_at_their_rate():
    buffer = numbered(1000, restart=0.1, noise=NoiseStart("uniform", 0.4))
    fresh = 0
    for _ in range(100):
        x = buffer.draw(torch.zeros(100, 1))
        fresh += ((x < 0.4) & (x != 0)).sum().item()
        buffer.store(torch.full_like(x, 7.0))
    assert stats.binomtest(fresh, 10_000, 0.1).pvalue > 1e-6


def test_the_buffer_is_a_module_with_its_chains_in_the_state_dict():
    a, b = numbered(50), numbered(50)
    a.store(a.draw(torch.zeros(20, 1)) * 2)
    b.load_state_dict(a.state_dict())
    assert torch.equal(a.draw(torch.zeros(20, 1)), b.draw(torch.zeros(20, 1)))
    assert a.to(torch.float32).x.dtype == torch.float32


def test_the_buffer_neither_aliases_nor_keeps_graphs():
    initial = torch.zeros(4, 1)
    buffer = ReplayBuffer(initial)
    x = buffer.draw(torch.zeros(4, 1))
    x += 1
    assert (buffer.x == 0).all()
    ends = (x + 1).requires_grad_()
    buffer.store(ends)
    assert (initial == 0).all() and not buffer.x.requires_grad and (buffer.x == 2).all()


def test_data_start_is_a_copy_of_the_data():
    x = torch.randn(5, 2)
    start = DataStart().draw(x)
    assert torch.equal(start, x)
    start += 1
    assert not torch.equal(start, x)


@pytest.mark.statistical
@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
@pytest.mark.parametrize(
    ("law", "reference"), [("uniform", stats.uniform(-3, 6)), ("normal", stats.norm(0, 3))]
)
def test_noise_start_has_its_law(law, reference, shape):
    x = NoiseStart(law, 3.0).draw(torch.empty(20_000, *shape))
    assert x.shape == (20_000, *shape)
    assert stats.kstest(x.flatten().numpy()[:40_000], reference.cdf).pvalue > 1e-6
    assert abs(x.mean().item()) < 5 * reference.std() / math.sqrt(x.numel())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoiseStart("gaussian"), "law is 'gaussian'; expected one of 'uniform', 'normal'"),
        (lambda: NoiseStart(scale=0.0), "scale is 0.0"),
        (lambda: NoiseStart("normal", math.inf), "scale is inf; expected a finite number > 0"),
        (lambda: ReplayBuffer(torch.zeros(5, 2).long()), r"x is torch\.int64; expected floating numbers"),
        (
            lambda: ReplayBuffer(torch.zeros(0, 2)),
            r"x has shape \(0, 2\); expected \(B, \*event\) with B >=",
        ),
        (
            lambda: numbered(5, restart=1.5, noise=NoiseStart()),
            "restart is 1.5; expected a number in .*, the probability",
        ),
        (lambda: numbered(5, restart=0.5), "NoiseStart if restart > 0"),
        (lambda: ReplayBuffer(torch.tensor([[float("nan")]])), "1 of 1 rows of x are NaN"),
        (lambda: numbered(5).draw(torch.zeros(6, 1)), "cannot draw 6"),
        (
            lambda: numbered(5).draw(torch.zeros(2, 3)),
            r"event shape \(1,\), but the batch has shape \(2, 3\)",
        ),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# without a batch


@pytest.mark.parametrize("law", ["uniform", "normal"])
def test_noise_needs_the_shape_of_an_event_only(law):
    start = NoiseStart(law, 3.0, (1, 4, 4)).double()
    x = start.sample(2000)
    assert x.shape == (2000, 1, 4, 4) and x.dtype == torch.float64
    reference = stats.uniform(-3, 6) if law == "uniform" else stats.norm(0, 3)
    assert stats.kstest(x.flatten().numpy(), reference.cdf).pvalue > 1e-6
    assert not start.state_dict()  # nothing that a checkpoint of an older start would lack
    with pytest.raises(ValueError, match=r"does not know the shape of an event: .*event_shape=\(2,\)\)"):
        NoiseStart(law).sample(3)


def test_a_sample_of_the_bank_is_of_different_chains_and_leaves_it_as_it_is():
    buffer = numbered(1000, restart=0.5, noise=NoiseStart())
    before = {name: value.clone() for name, value in buffer.state_dict().items()}
    found = [buffer.sample(100).flatten().long() for _ in range(400)]
    assert all(len(x.unique()) == 100 for x in found)
    counts = torch.cat(found).bincount(minlength=1000).double()  # each binomial, 40 on average
    assert abs(counts - 40).max() < 6 * (40 * 0.9) ** 0.5
    assert abs(counts.var() / 36 - 1) < 5 * (2 / 1000) ** 0.5
    assert buffer.sample(1000).flatten().sort().values.equal(torch.arange(1000, dtype=torch.float64))
    after = buffer.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[k], v) for k, v in before.items())
    with pytest.raises(RuntimeError, match="store without a draw"):
        buffer.store(torch.zeros(100, 1))
    for n in (0, 1001):
        with pytest.raises(ValueError, match=f"asked for {n} chains; the buffer holds 1000"):
            buffer.sample(n)


def test_a_sample_is_a_copy():
    buffer = numbered(5)
    buffer.sample(5).fill_(-1.0)
    assert buffer.x.min() == 0


def test_data_are_no_starting_points_without_data():
    with pytest.raises(ValueError, match=r"DataStart has no starting points of its own.*method\.chain"):
        DataStart().sample(3)


def test_store_refuses_what_would_corrupt_the_buffer():
    buffer = numbered(5)
    with pytest.raises(RuntimeError, match="store without a draw"):
        buffer.store(torch.zeros(2, 1))
    buffer.draw(torch.zeros(2, 1))
    with pytest.raises(ValueError, match="draw of 2 slots"):
        buffer.store(torch.zeros(3, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match="buffer was not changed"):
        buffer.store(torch.full((2, 1), float("nan"), dtype=torch.float64))
    assert torch.equal(buffer.x.flatten(), torch.arange(5, dtype=torch.float64))
