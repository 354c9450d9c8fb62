"""The Gaussian-Bernoulli machine of chapter 4, learned from digits by its exact likelihood."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmlearn import data, random
from ebmlearn.energy import GRBM, Gaussian
from ebmlearn.methods import ExactLikelihood
from ebmlearn.schedules import linear
from ebmlearn.train import fit

SETTINGS: dict[str, float] = {"n_hidden": 16, "steps": 3000, "batch_size": 200, "lr": 0.03, "std_scale": 0.5}
LEVEL = 1 / 8  # between two levels of a pixel, which run from -1 to 1


class Split(NamedTuple):
    train: Tensor
    test: Tensor


def split() -> Split:
    """Digits as vectors of 64 pixels, with uniform noise as wide as a level: they have a density.

    The noise has a seed of its own, so the held-out likelihood is a number and not a draw.
    """
    g = torch.Generator().manual_seed(0)
    x = (data.load("digits", part).x.flatten(1) for part in ("train", "test"))
    return Split(*(part + LEVEL * (torch.rand(part.shape, generator=g) - 0.5) for part in x))


def learn(train: Tensor, seed: int = 0) -> GRBM:
    """The machine after its updates."""
    random.seed(seed)
    energy = GRBM(train.shape[1], int(SETTINGS["n_hidden"]))
    energy.match_moments(train, std_scale=SETTINGS["std_scale"])
    steps, batch_size = int(SETTINGS["steps"]), int(SETTINGS["batch_size"])
    method = ExactLikelihood(energy, lambda _: energy.log_z, lr=linear(SETTINGS["lr"], steps))
    fit(method, train, steps=steps, batch_size=batch_size)
    return energy


@torch.no_grad()
def measure(energy: GRBM, train: Tensor, test: Tensor) -> dict[str, float]:
    """Exact numbers in nats: log Z by enumeration, mean log-likelihoods, those of Gaussians beside them."""
    mean, cov = train.mean(0), torch.cov(train.T)
    full, diagonal = Gaussian(mean, (cov + cov.T) / 2), Gaussian(mean, cov.diagonal().diag())
    return {
        "log_z": energy.log_z.item(),
        "test": energy.log_prob(test).mean().item(),
        "test_standard_error": energy.log_prob(test).std().item() / len(test) ** 0.5,
        "train": energy.log_prob(train).mean().item(),
        "test_full_gaussian": full.log_prob(test).mean().item(),
        "test_diagonal_gaussian": diagonal.log_prob(test).mean().item(),
    }
