"""The energy of weights: the loss, the prior, Bayes, minibatches.

Bugs that they are for, each tried and seen to fail: no ``λ``; the sum of losses for their mean; no prior, or
half of it, or its standard deviation for the variance; no ½ of the square; minibatches that all nets share,
or that are drawn once; labels of other data than the inputs; logits for probabilities.
"""

import math

import pytest
import torch

from ebmlearn.energy import grad
from ebmlearn.nets import ReLUTarget, WeightEnergy

F = torch.float64
gen = torch.Generator().manual_seed(0)
X, THETA = torch.randn(12, 2, dtype=F, generator=gen), torch.randn(5, 27, dtype=F, generator=gen)
Y = torch.arange(12) % 3
CLASSIFIER, LINEAR = ReLUTarget((2,), 3, (4,)), ReLUTarget((2,), 1, (), softmax=False)
W = torch.randn(5, 3, dtype=F, generator=gen)


def test_it_is_the_loss_and_the_prior_of_each_net():
    energy = WeightEnergy(CLASSIFIER, lam=7.0, prior_std=2.0)
    logits = CLASSIFIER(THETA, X)
    wanted = [
        -7 * sum(logits[b, i, Y[i]] - logits[b, i].logsumexp(0) for i in range(12)) / 12
        + sum(t**2 for t in THETA[b]) / 8
        for b in range(5)
    ]
    torch.testing.assert_close(energy(THETA, X, Y), torch.stack(wanted))
    flat = WeightEnergy(CLASSIFIER, lam=7.0)
    torch.testing.assert_close(flat(THETA, X, Y), torch.stack(wanted) - THETA.square().sum(1) / 8)
    assert torch.equal(energy.on(X, Y)(THETA), energy(THETA, X, Y))


def test_it_is_the_posterior_of_bayes():
    """For as many data as ``λ``: of the sum of log-likelihoods, up to a constant."""
    y = torch.randn(12, dtype=F, generator=torch.Generator().manual_seed(1))
    energy = WeightEnergy(LINEAR, "squared", lam=12 / 0.5**2, prior_std=3.0)(W, X, y)
    normal = torch.distributions.Normal
    likelihood = normal(W[:, :2] @ X.T + W[:, 2:], 0.5).log_prob(y).sum(1)
    prior = normal(torch.tensor(0.0, dtype=F), 3.0).log_prob(W).sum(1)
    torch.testing.assert_close((energy + likelihood + prior).diff(), torch.zeros(4, dtype=F))
    classes = WeightEnergy(CLASSIFIER, lam=12.0)(THETA, X, Y)
    likelihood = CLASSIFIER(THETA, X).log_softmax(2)[:, range(12), Y].sum(1)
    torch.testing.assert_close(classes, -likelihood)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
def test_each_net_may_have_data_of_its_own(loss):
    energy = WeightEnergy(CLASSIFIER, loss, lam=2.0)
    y = Y if loss == "cross_entropy" else torch.randn(12, 3, dtype=F)
    x, y = X[:10].view(5, 2, 2), y[:10].unflatten(0, (5, 2))
    wanted = torch.cat([energy(THETA[b : b + 1], x[b], y[b]) for b in range(5)])
    torch.testing.assert_close(energy(THETA, x, y), wanted)
    assert energy.losses(THETA, x, y).shape == (5, 2)


def test_one_output_needs_no_axis():
    energy = WeightEnergy(LINEAR, "squared", lam=1.0)
    y = torch.randn(12, dtype=F)
    assert torch.equal(energy(W, X, y), energy(W, X, y[:, None]))


def test_a_minibatch_is_of_each_net_anew_and_unbiased():
    energy = WeightEnergy(CLASSIFIER, lam=3.0, prior_std=1.0)
    part = energy.on(X, Y, batch_size=4, generator=torch.Generator().manual_seed(0))
    same = THETA[:1].expand(2000, -1)
    values = part(same)
    exact = energy(THETA[:1], X, Y)
    z = (values.mean() - exact) / (values.std() / math.sqrt(2000))
    assert abs(z.item()) < 5
    losses = 3 * energy.losses(THETA[:1], X, Y)[0]
    assert values.std().item() == pytest.approx(losses.std(correction=0).item() / 2, rel=0.1)
    assert len(values.unique()) > 1000 and not torch.equal(part(same), values)
    whole = energy.on(X, Y)
    slopes = torch.stack([grad(part, THETA)[1] for _ in range(500)])
    z = (slopes.mean(0) - grad(whole, THETA)[1]) / (slopes.std(0) / math.sqrt(500)).clamp_min(1e-9)
    assert z.abs().max() < 5.5  # of 135


def test_predictions_are_probabilities_or_outputs():
    p = WeightEnergy(CLASSIFIER, lam=1.0).predict(THETA, X)
    torch.testing.assert_close(p.log() - p.log()[..., :1], (o := CLASSIFIER(THETA, X)) - o[..., :1])
    torch.testing.assert_close(p.sum(2), torch.ones(5, 12, dtype=F))
    assert torch.equal(WeightEnergy(LINEAR, "squared", lam=1.0).predict(W, X), LINEAR(W, X))
