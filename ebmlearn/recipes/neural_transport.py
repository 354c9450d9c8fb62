"""Neural transport: an energy that tilts a Glow, with Hamiltonian chains in its latent space.

Source:
    Nijkamp, Gao, Sountsov, Vasudevan, Pang, Zhu, Wu (2022), "MCMC should mix: learning energy-based model
    with neural transport latent space MCMC", ICLR, arXiv:2006.06897. There is no official code.

Of its model for CIFAR-10 we know the number of weights, 23.8 million (Yang et al. 2025, "Convex potential
mirror Langevin algorithm for efficient sampling of energy-based models", NeurIPS, table 7). Ours have 22.0 in
the Glow and 0.7 in the energy. Everything else is ours: the chains are those of the plane in chapter 12, the
Glow learns as in ``flow_contrastive.py``, in the first part of the same run.
"""

from functools import partial

import torch
from torch import nn

from ebmlearn.methods import NeuralTransport
from ebmlearn.nets import ConvEnergy, Glow
from ebmlearn.recipes._base import Recipe
from ebmlearn.recipes.flow_contrastive import warming
from ebmlearn.sample import Chain, NoiseStart, ReplayBuffer, hmc

# Levels, steps in a level, width: half the steps of ``flow_contrastive.py``.
FLOWS = {"mnist": (3, 8, 256), "cifar10": (3, 16, 512), "celeba": (4, 16, 512)}
WARMUP, TILTING, N_CHAINS = 200_000, 50_000, 10_000  # ours
EXPECT = {"cifar10": "FID 78.12 (as Yang et al. 2025 list NT-EBM in table 1)"}


def neural_transport(data: str, *, smoke: bool = False) -> Recipe:
    """Neural transport on ``"mnist"``, ``"cifar10"`` or ``"celeba"``."""
    n_levels, n_steps, width = (2, 2, 8) if smoke else FLOWS[data]
    warmup, tilting, n_chains = (10, 10, 32) if smoke else (WARMUP, TILTING, N_CHAINS)

    def setup(shape: tuple[int, int, int]) -> partial[NeuralTransport]:
        channels, size, _ = shape
        stem, *widths = (4, 8, 16) if smoke else (32, 64, 128, 256)
        return partial(
            NeuralTransport,
            ConvEnergy(channels, size, widths, stem=stem, activation=partial(nn.LeakyReLU, 0.05)),
            Glow(channels, size, n_levels=n_levels, n_steps=n_steps, width=width),
            ReplayBuffer(torch.randn(n_chains, *shape), restart=0.01, noise=NoiseStart("normal")),
            chain=Chain(hmc, n_steps=2, step_size=0.05, n_leapfrog=3),
            warmup=warmup,
            bin_width=2 / 255,
            lr=1e-4,
            lr_flow=partial(warming, warmup=warmup),
        )

    recipe = Recipe(
        summary=f"neural transport on {data}: {warmup:,} updates of a Glow's likelihood, then its tilt",
        source="arXiv:2006.06897; Glow of github.com/openai/glow; the rest is ours",
        data=data,
        setup=setup,
        sample=NeuralTransport.sample,
        batch_size=64,  # Glow, on one device
        steps=warmup + tilting,
        pad=2 if data == "mnist" else 0,  # ours: 28 + 2 + 2 = 32, which halves three times
        expect=EXPECT.get(data, ""),
    )
    return recipe.tiny() if smoke else recipe
