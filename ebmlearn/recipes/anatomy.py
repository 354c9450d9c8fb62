"""The anatomy of MCMC-based learning: convergent with persistent chains, non-convergent from fresh noise.

Source:
    Nijkamp, Hill, Han, Zhu, Wu (2020), "On the anatomy of MCMC-based maximum likelihood learning of
    energy-based models", AAAI, arXiv:1903.12370; its released code, github.com/point0bar1/ebm-anatomy:
    ``nets.py`` and ``train_data.py`` ("code" below) and the settings in ``config_locker`` ("config").

Units: the code's net ``f`` stands for the energy ``U = 2f/ε²``, and its step is ``x - ∇f(x) + ε Z``. Here
``E = f`` and the step is the same, ``x - (s²/2) ∇E(x) + σ Z`` with ``s = √2`` and ``σ = ε``. Chains therefore
run at temperature ``(σ/s)² = ε²/2`` of ``E``, and the learned density is ``exp(-2E/ε²)``. The code's gap
``d_t`` is ours times ``2/ε²``, for which it multiplies the learning rate of SGD by ``ε²/2``: its rates are
ours. Adam does not see such a factor. The code's ``r_t`` is our ``displacement``.

No net has a last bias here. The code draws its chains with replacement between updates; a ``ReplayBuffer``
visits all before it visits one again. It stretches digits to 32 x 32; we give them a border.
"""

import math
from functools import partial

import torch
from torch import nn

from ebmlearn.methods import MaximumLikelihood
from ebmlearn.nets import ConvEnergy, NonLocalEnergy
from ebmlearn.recipes._base import Recipe
from ebmlearn.sample import Chain, NoiseStart, ReplayBuffer, ula

# Updates and chains. Config: mnist_convergent, and flowers_convergent (Oxford flowers, 32 x 32), which we
# carry over to other colour images. Code: a chain for each training image; of CelebA these would be 8 GB in
# each checkpoint, and 10,000 are ours.
CONVERGENT = {
    "mnist": (100_000, 60_000),
    "cifar10": (200_000, 50_000),
    "celeba": (200_000, 10_000),
}
EXPECT = (
    "no score that we know of; the code runs chains of 100,000 steps from the data, to see whether they stay"
)


def falling(t: int, *, start: float, factor: float, least: float) -> float:
    """The rate ``start``, times ``factor`` with each update, but at least ``least``."""
    return max(least, start * factor**t)


def convergent(data: str, *, smoke: bool = False) -> Recipe:
    """Persistent chains, SGD and a non-local net on ``"mnist"``, ``"cifar10"`` or ``"celeba"``."""
    steps, n_chains = CONVERGENT[data]
    n_chains = 64 if smoke else n_chains
    n_steps = 10 if smoke else 500  # config

    def setup(shape: tuple[int, int, int]) -> partial[MaximumLikelihood]:
        channels, size, _ = shape
        n_features = 4 if smoke else 32  # code
        energy = NonLocalEnergy(
            channels,
            size,
            [n_features * 2**i for i in range(_halvings(size))],
            hidden=8 * n_features,  # code
            activation=partial(nn.LeakyReLU, 0.05),  # code
        )
        return partial(
            MaximumLikelihood,
            energy,
            ReplayBuffer(2 * torch.rand(n_chains, *shape) - 1),  # code
            chain=Chain(ula, n_steps=n_steps, step_size=math.sqrt(2), noise_scale=0.0075),  # config
            data_noise=0.015,  # config
            lr=0.01 if data == "mnist" else partial(falling, start=0.1, factor=0.99995, least=5e-4),  # config
            optimizer=torch.optim.SGD,  # config, without momentum
        )

    recipe = Recipe(
        summary=f"convergent learning on {data}: {n_chains:,} persistent chains, {n_steps} steps an update",
        source="arXiv:1903.12370 and github.com/point0bar1/ebm-anatomy, "
        + ("mnist_convergent.json" if data == "mnist" else "flowers_convergent.json: carried over"),
        data=data,
        setup=setup,
        sample=MaximumLikelihood.sample,
        batch_size=100,  # config
        steps=steps,
        pad=2 if data == "mnist" else 0,
        expect=EXPECT,
    )
    return recipe.tiny() if smoke else recipe


def nonconvergent(data: str, *, smoke: bool = False) -> Recipe:
    """Chains from uniform noise, Adam and a plain net on ``"mnist"``, ``"cifar10"`` or ``"celeba"``."""
    n_steps = 10 if smoke else 150  # config

    def setup(shape: tuple[int, int, int]) -> partial[MaximumLikelihood]:
        channels, size, _ = shape
        n_features = 4 if smoke else 32  # code
        energy = ConvEnergy(
            channels,
            size,
            [n_features * 2**i for i in range(1, _halvings(size) + 1)],
            stem=n_features,
            activation=partial(nn.LeakyReLU, 0.05),  # code
        )
        return partial(
            MaximumLikelihood,
            energy,
            NoiseStart("uniform", 1.0, shape),  # config
            chain=Chain(ula, n_steps=n_steps, step_size=math.sqrt(2), noise_scale=0.01),  # config
            data_noise=0.03,  # config
            lr=1e-4,  # config: Adam
        )

    recipe = Recipe(
        summary=f"non-convergent learning on {data}: {n_steps} steps from uniform noise",
        source="arXiv:1903.12370 and github.com/point0bar1/ebm-anatomy, cifar10_nonconvergent.json"
        + ("" if data == "cifar10" else ": carried over"),
        data=data,
        setup=setup,
        sample=MaximumLikelihood.sample,
        batch_size=100,  # config
        steps=100_000,  # config
        pad=2 if data == "mnist" else 0,
        expect=EXPECT,
    )
    return recipe.tiny() if smoke else recipe


def _halvings(size: int) -> int:
    """Code: three for 32 x 32, down to 4 x 4. Four for 64 x 64 are ours."""
    return int(math.log2(size / 4))
