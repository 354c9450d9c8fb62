"""Dual-MCMC teaching: an energy, a generator and an inference model, with a chain for each of the first two.

Source:
    Cui, Han (2023), "Learning energy-based model via dual-MCMC teaching", NeurIPS, arXiv:2312.02469
    ("paper"), with the authors' code, github.com/jcui1224/dual-MCMC: ``config.py``, ``train.py`` ("code").

The paper's architectures are in a supplement that we could not read. The code has residual nets with spectral
normalisation and batch normalisation; ours have neither, and about as many channels. The chain of ``x`` has
the code's step and noise, a temperature of 4·10⁻⁶, and starts with the noise ``τ ε`` of the generator, where
the code starts at ``g(z)``. The chain of ``z`` has the code's step; its missing ½ is in place here. The rates
do not fall by .998 an epoch, and there is no decay of the weights.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from ebmlearn.methods import DualMCMC
from ebmlearn.nets import ConvEncoder, ConvEnergy, ConvGenerator
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.recipes._base import Recipe
from ebmlearn.sample import Chain, ula


class Setting(NamedTuple):
    """What differs between the data sets."""

    energy: tuple[int, ...]
    """Widths of the energy, whose stem is half the first."""
    generator: tuple[int, ...]
    """Widths before each doubling."""
    encoder: tuple[int, ...]
    n_steps: int
    step_size: float
    generator_weight: float
    steps: int
    source: str


SETTINGS = {
    # Carried over from CIFAR-10, with half the channels.
    "mnist": Setting(
        (64, 128, 256), (256, 128, 64), (64, 128, 256), 30, 0.5, 50.0, 180_000, "(CIFAR-10, carried over)"
    ),
    # Code but the widths of energy and generator; 301 epochs of 50,000 images.
    "cifar10": Setting(
        (128, 256, 512), (512, 256, 128), (128, 256, 512, 1024), 30, 0.5, 50.0, 150_000, "(CIFAR-10)"
    ),
    # Code but the widths of energy and generator; 301 epochs of 162,770 images.
    "celeba": Setting(
        (64, 128, 256, 512),
        (512, 256, 128, 64),
        (128, 256, 512, 1024),
        30,
        0.3,
        70.0,
        490_000,
        "(CelebA-64)",
    ),
}
EXPECT = {
    "cifar10": "FID 9.26 and inception score 8.55 with 30 steps of the chain (paper, tables 1 and 5)",
    "celeba": "FID 5.15, and 5.94 of the generator alone (paper, table 1 and text)",
}
SMOKE = Setting((8, 16), (16, 8), (8, 16), 3, 0.5, 50.0, 20, "")


def dual_mcmc(data: str, *, smoke: bool = False) -> Recipe:
    """Dual-MCMC teaching on ``"mnist"``, ``"cifar10"`` or ``"celeba"``."""
    s = SMOKE if smoke else SETTINGS[data]

    def setup(shape: tuple[int, int, int]) -> partial[DualMCMC]:
        channels, size, _ = shape
        leaky = partial(nn.LeakyReLU, 0.2)  # ours
        n_latent = 8 if smoke else 128  # code
        encoder = ConvEncoder(channels, size, 2 * n_latent, s.encoder, activation=leaky)
        return partial(
            DualMCMC,
            ConvEnergy(channels, size, s.energy, stem=s.energy[0] // 2, activation=leaky),
            ConvGenerator(n_latent, channels, size, s.generator, std=0.3, activation=leaky),  # std: code
            GaussianPosterior(encoder, n_latent),
            chain=Chain(ula, n_steps=s.n_steps, step_size=s.step_size, noise_scale=0.001),  # code
            latent_chain=Chain(ula, n_steps=2 if smoke else 10, step_size=0.1),  # code
            generator_weight=s.generator_weight,
            posterior_weight=0.1,  # code
            n_x_chains=2,  # code
            lr_energy=1e-4,  # code
            lr_generator=3e-4,  # code
            lr_posterior=1e-4,  # code
            optimizer=partial(torch.optim.Adam, betas=(0.0, 0.9)),  # code
        )

    recipe = Recipe(
        summary=f"dual-MCMC teaching on {data}: {s.n_steps} steps for x, 10 for its latents",
        source=f"arXiv:2312.02469 and github.com/jcui1224/dual-MCMC {SETTINGS[data].source}",
        data=data,
        setup=setup,
        sample=DualMCMC.sample,
        batch_size=100,  # code
        steps=s.steps,
        pad=2 if data == "mnist" else 0,  # ours: 28 + 2 + 2 = 32, which halves to 4
        expect=EXPECT.get(data, ""),
    )
    return recipe.tiny() if smoke else recipe
