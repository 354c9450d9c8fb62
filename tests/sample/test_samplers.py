"""The battery of samplers: each one on Gaussians, against its own stationary law, and what all must keep."""

import pytest
import torch
from models import Unsteady
from samplers import SAMPLERS

from ebmlearn.energy import Gaussian
from ebmlearn.sample import run, ula

N = 40_000
COVARIANCE = torch.tensor(
    [[1.0, 0.4, 0.0, 0.2], [0.4, 0.8, 0.1, 0.0], [0.0, 0.1, 1.2, -0.3], [0.2, 0.0, -0.3, 0.9]]
)
MEAN = torch.tensor([1.0, -2.0, 0.5, 0.0])


@pytest.fixture(params=SAMPLERS)
def case(request):
    return SAMPLERS[request.param]


@pytest.mark.statistical
def test_a_sampler_reaches_its_own_stationary_law(case):
    """From afar, with the wrong spread: mean, variances and covariances within 5 standard errors."""
    target = Gaussian(MEAN, COVARIANCE)
    start = 3.0 + 0.3 * torch.randn(N, 4)
    x = run(case.make(target), start, case.n_steps).double()
    wanted = case.stationary(COVARIANCE.double())
    variance = wanted.diagonal()
    z_mean = (x.mean(0) - MEAN) / (variance / N).sqrt()
    # Wishart: Var(S_ij) = (C_ii C_jj + C_ij²) / n
    error = ((variance[:, None] * variance + wanted.square()) / N).sqrt()
    z_covariance = (x.T.cov() - wanted) / error
    assert z_mean.abs().max() < 5
    assert z_covariance.abs().max() < 5


def test_images_move_as_vectors_do(case):
    """With the same noise, so that the law of one is that of the other."""
    start, ends = 3.0 + 0.3 * torch.randn(50, 4), []
    for shape in [(4,), (1, 2, 2)]:
        torch.manual_seed(1)
        target = Gaussian(MEAN.reshape(shape), COVARIANCE)
        ends.append(run(case.make(target), start.view(50, *shape), 10))
    assert ends[1].shape == (50, 1, 2, 2) and not torch.equal(ends[0], start)
    torch.testing.assert_close(ends[1].flatten(1), ends[0])


def test_the_battery_tells_biased_from_exact():
    for case in SAMPLERS.values():
        wanted = case.stationary(COVARIANCE.double())
        error = (2 / N) ** 0.5 * wanted.diagonal()
        bias = (wanted - COVARIANCE).diagonal().abs()
        assert ((bias == 0) | (bias > 7 * error)).all()


@pytest.mark.parametrize("n_steps", [0, 4])
def test_the_start_is_not_touched_and_chains_leave_no_trace(case, n_steps):
    target = Gaussian(torch.zeros(1, 2, 2, dtype=torch.float64), torch.eye(4, dtype=torch.float64))
    x = torch.randn(3, 1, 2, 2, dtype=torch.float64)
    before = x.clone()
    out = run(case.make(target), x, n_steps)
    assert torch.equal(x, before) and torch.equal(out, before) == (n_steps == 0)
    assert out.shape == x.shape and out.dtype == x.dtype and not out.requires_grad


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "gibbs"])  # which calls no net
def test_dropout_and_batch_statistics_are_frozen_in_a_chain(name):
    net = Unsteady()
    net.net[3].eval()  # what its owner has frozen stays so afterwards
    before = {k: v.clone() for k, v in net.state_dict().items()}

    def end():
        kernel = SAMPLERS[name].make(net, generator=torch.Generator().manual_seed(1))
        return run(kernel, torch.zeros(3, 4), 4)

    in_training = end()
    assert [module.training for module in net.modules()] == [True] * 5 + [False]
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    net.eval()
    assert torch.equal(in_training, end())


def test_nets_train_again_after_a_chain_that_failed():
    net = Unsteady()

    def energy(x):
        net(x)
        raise RuntimeError("no energy")

    with pytest.raises(RuntimeError, match="no energy"):
        run(ula(energy, step_size=0.1), torch.zeros(3, 4), 2)
    assert all(module.training for module in net.modules())
    net(torch.zeros(3, 4))
    assert net.net[1].num_batches_tracked == 1  # no hook is left behind


def test_a_generator_makes_chains_reproducible(case):
    target = Gaussian(MEAN, COVARIANCE)
    x = target.sample(3)
    a, b = (run(case.make(target, generator=torch.Generator().manual_seed(1)), x, 9) for _ in "ab")
    assert torch.equal(a, b)
    assert not torch.equal(a, run(case.make(target, generator=torch.Generator().manual_seed(2)), x, 9))


def test_a_sampler_says_its_temperature(case):
    target = Gaussian(MEAN, COVARIANCE)
    hot = case.stationary(torch.eye(4, dtype=torch.float64)).diagonal().mean() > 2
    assert case.make(target).temperature(0) == pytest.approx(2.25 if hot else 1.0)
