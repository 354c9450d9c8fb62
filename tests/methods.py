"""Every learning method at a size that trains in a blink: the contract test runs over this table. Add a
line for a new one."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ebmlearn.buffer import DataStart, NoiseStart, ReplayBuffer
from ebmlearn.method import Method
from ebmlearn.methods import MaximumLikelihood
from ebmlearn.nets import ConvEnergy, MLPEnergy


class Case(NamedTuple):
    make: Callable[[], Method]
    data: Tensor


def points() -> Tensor:
    return torch.randn(64, 2, generator=torch.Generator().manual_seed(7))


def images() -> Tensor:
    return torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(7)) * 2 - 1


METHODS = {
    "contrastive divergence": Case(
        lambda: MaximumLikelihood(MLPEnergy(2, (8,)), DataStart(), n_steps=2, step_size=0.1), points()
    ),
    "persistent chains, averaged": Case(
        lambda: MaximumLikelihood(
            MLPEnergy(2, (8,), reference_std=2.0),
            ReplayBuffer(torch.randn(40, 2), restart=0.1, noise=NoiseStart()),
            n_steps=2,
            step_size=0.1,
            ema=0.9,
        ),
        points(),
    ),
    "short-run": Case(
        lambda: MaximumLikelihood(
            ConvEnergy(1, 8, (4, 8)),
            NoiseStart(),
            n_steps=3,
            step_size=1.0,
            noise_scale=0.01,
            data_noise=0.1,
            bounds=(-2.0, 2.0),
            lr=lambda t: 1e-3 / (1 + t),
        ),
        images(),
    ),
}
