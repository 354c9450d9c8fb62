"""Data of a GRBM, learned by a GRBM without sampling: log-likelihoods held to exact maximum likelihood.

The truth has 6 visible and 4 hidden units and couplings of N(0, 1.25²). The likelihood has local maxima, so
the converged line starts at the truth, which maximum likelihood then leaves for the maximum of its 10,000
data. All others start at a random machine with the moments of the data.

Mutants tried: noise of denoising with the other sign, curvature of the sliced form added.
"""

from copy import deepcopy
from functools import partial

import pytest
import torch

import ebmlearn
from ebmlearn.diagnostics import squared_jump
from ebmlearn.energy import GRBM, Gaussian
from ebmlearn.methods import NCE, ExactLikelihood, MaximumLikelihood, ScoreMatching
from ebmlearn.objectives import (
    conditional_nce,
    denoising_score_matching,
    score_matching,
    sliced_score_matching,
)
from ebmlearn.sample import Chain, DataStart, gibbs
from ebmlearn.schedules import linear
from ebmlearn.train import fit

D, M, STEPS = 6, 4, 600


lr = linear(0.05, STEPS)


def normal(std: float) -> Gaussian:
    return Gaussian(torch.zeros(D), std**2 * torch.eye(D))


METHODS = {
    "CD-5": partial(
        MaximumLikelihood, start=DataStart(), chain=Chain(gibbs, n_steps=5), diagnostic=squared_jump, lr=lr
    ),
    "SM": partial(ScoreMatching, objective=score_matching, lr=lr),
    "SSM": partial(ScoreMatching, objective=sliced_score_matching, lr=lr),
    "DSM": partial(ScoreMatching, objective=partial(denoising_score_matching, sigma=0.3), lr=lr),
    "CNCE": partial(ScoreMatching, objective=partial(conditional_nce, sigma=0.5), lr=lr),
    "NCE, narrow noise": partial(NCE, noise=normal(1.0), lr=lr),
    "NCE, wide noise": partial(NCE, noise=normal(5.0), lr=lr),
}


@pytest.fixture(scope="module")
def losses():
    """Log-likelihood per test point lost against the truth, ``(10,000,)``, of each method and of exact ML."""
    ebmlearn.seed(102)
    weight = 1.25 * torch.randn(D, M)
    truth = GRBM.from_parameters(weight, torch.zeros(D), -0.5 * weight.square().sum(0), 1.0)
    train, test = truth.sample(10_000), truth.sample(10_000)

    def learn(make, start):
        method = make(start)
        fit(method, train, steps=STEPS, batch_size=250)
        with torch.no_grad():
            return truth.log_prob(test) - method.energy.log_prob(test)

    ebmlearn.seed(0)
    found = {"ML": learn(partial(ExactLikelihood, log_z=lambda rbm: rbm.log_z, lr=lr), deepcopy(truth))}
    for name, make in METHODS.items():
        found[name] = learn(make, GRBM(D, M).match_moments(train, std_scale=0.5))
    return found


@pytest.mark.slow
@pytest.mark.xdist_group("league")
@pytest.mark.statistical
def test_exact_maximum_likelihood_loses_what_its_40_parameters_cost(losses):
    """Asymptotically half a nat a parameter over all 10,000 data, 0.002 per point, and batch noise."""
    assert 0.001 < losses["ML"].mean() < 0.005


@pytest.mark.slow
@pytest.mark.xdist_group("league")
@pytest.mark.statistical
@pytest.mark.parametrize("name", METHODS)
def test_nobody_exceeds_exact_maximum_likelihood(losses, name):
    """Beyond the sampling error of the paired difference over the test set."""
    gain = losses["ML"] - losses[name]
    assert gain.mean() < 3 * gain.std() / len(gain) ** 0.5


@pytest.mark.slow
@pytest.mark.xdist_group("league")
@pytest.mark.statistical
@pytest.mark.parametrize("noise", ["narrow", "wide"])
def test_nce_with_unfitted_noise_comes_last(losses, noise):
    mean = {name: loss.mean().item() for name, loss in losses.items()}
    assert mean[f"NCE, {noise} noise"] > 0.1 + max(mean[name] for name in ("CD-5", "SM", "SSM", "DSM"))


@pytest.mark.slow
@pytest.mark.xdist_group("league")
@pytest.mark.statistical
def test_score_matching_is_near_maximum_likelihood(losses):
    """A wrong sign or half anywhere would cost more than a nat."""
    mean = {name: loss.mean().item() for name, loss in losses.items()}
    assert max(mean[name] for name in ("SM", "SSM", "CD-5")) < 0.15
    assert max(mean[name] for name in ("DSM", "CNCE")) < 0.25
