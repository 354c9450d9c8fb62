"""Bi-level doubly variational learning: an energy of images, and a generator with its encoder.

Source:
    Kan, Lü, Wang, Zhang, Zhu, Huang, Guo, Snoussi (2022), "Bi-level doubly variational learning for
    energy-based latent variable models", CVPR, arXiv:2203.14702; the authors' code,
    github.com/gekanFAE/BiDVL, ``train_cifar_BiDVL.py``, ``train_celeba_BiDVL.py`` and ``models`` ("code").
    The paper itself could not be read.

The matrices of the generator are the code's. Its generator and encoder have batch normalisation, ours have
not. Its encoder begins with a convolution that keeps the size, and its energy has one before each that
halves; ours have one such convolution, in the energy, which ends in a linear layer on 4 x 4 pixels where
theirs goes on to one. There is no decay of the weights. Of CelebA we take a central square of 148 pixels, the
code one of 160, of 50,000 images at random.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ebmlearn.methods import BiDVL
from ebmlearn.nets import ConvEnergy
from ebmlearn.recipes._base import Recipe
from ebmlearn.recipes.divergence_triangle import autoencoder
from ebmlearn.recipes.latent_prior import falling


class Setting(NamedTuple):
    """What differs between the data sets."""

    of_energy: int
    """Channels of the energy's first convolution."""
    unit: int
    """Half of the channels of the encoder's first convolution, and of the generator's last."""
    halvings: int
    data_weight: float
    n: int
    batch_size: int
    source: str


EPOCHS = 600  # code
SETTINGS = {
    # Carried over from CIFAR-10, with half the channels.
    "mnist": Setting(32, 24, 3, 0.05, 60_000, 100, "(CIFAR-10, carried over)"),
    "cifar10": Setting(64, 48, 3, 0.05, 50_000, 100, "(CIFAR-10)"),  # code
    "celeba": Setting(64, 48, 4, 1.0, 50_000, 50, "(CelebA-64)"),  # code
}
SMOKE = Setting(4, 2, 2, 0.05, 256, 16, "")


def bidvl(data: str, *, smoke: bool = False) -> Recipe:
    """Bi-level doubly variational learning on ``"mnist"``, ``"cifar10"`` or ``"celeba"``."""
    s, full = SMOKE if smoke else SETTINGS[data], SETTINGS[data]
    n_latent = 8 if smoke else 100  # code
    rate = partial(falling, factor=0.998, every=full.n // full.batch_size)  # code: after each epoch

    def setup(shape: tuple[int, int, int]) -> partial[BiDVL]:
        channels, size, _ = shape
        powers = [2**i for i in range(1, s.halvings + 1)]
        energy = ConvEnergy(
            channels,
            size,
            [s.of_energy * power for power in powers],
            stem=s.of_energy,  # code
            activation=partial(nn.LeakyReLU, 0.1),  # code
            spectral_norm=True,  # code
            bounded=True,  # code: softplus
        )
        return partial(
            BiDVL,
            energy,
            *autoencoder(shape, n_latent, s.unit, s.halvings),  # code
            data_weight=s.data_weight,  # code
            latent_weight=2 / n_latent,  # code: the squared error of h, divided by its length
            latent_std=1.0,  # code
            loss="difference",  # code: of these nets; its residual ones have the hinge
            noise=False,  # code: the energy sees g(h)
            lr_energy=partial(rate, start=1e-4),  # code
            lr_autoencoder=partial(rate, start=3e-4),  # code
            optimizer=partial(torch.optim.Adam, betas=(0.0, 0.9)),  # code
        )

    recipe = Recipe(
        summary=f"bi-level doubly variational learning on {data}: an energy beside a generator, no chain",
        source=f"arXiv:2203.14702 and github.com/gekanFAE/BiDVL {full.source}",
        data=data,
        setup=setup,
        sample=sample,
        batch_size=full.batch_size,
        steps=EPOCHS * full.n // full.batch_size,
        n=full.n,
        pad=2 if data == "mnist" else 0,  # ours: 28 + 2 + 2 = 32, which halves to 4
    )
    return recipe.tiny() if smoke else recipe


@torch.no_grad()
def sample(method: BiDVL, n: int) -> Tensor:
    """Images without the noise of the generator, as the energy has seen them and as the code evaluates."""
    return method.generator(method.generator.latent(n))
