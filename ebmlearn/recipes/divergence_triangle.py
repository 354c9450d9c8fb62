"""A divergence triangle: a generator, an encoder and an energy of both, without a chain.

Source:
    Han, Nijkamp, Zhou, Pang, Zhu, Wu (2020), "Joint training of variational auto-encoder and latent
    energy-based model", CVPR, arXiv:2006.06059; the authors' code for CIFAR-10,
    github.com/alexzhou907/vae_ebm, ``train_cifar10.py`` ("code" below). The paper itself could not be read.

Of the code's nets the matrices of the generator and the tower of ``z`` are here. Its generator and encoder
have batch normalisation, ours have not. Its encoder begins with a convolution that keeps the size, and its
tower of ``x`` has one before each that halves; ours have one such convolution, in the tower, where 4 x 4
pixels are joined with ``z`` and not one. Its draws of 0.02 for the weights go with batch normalisation; ours
are PyTorch's. There is no decay of the weights.
"""

from functools import partial

import torch
from torch import Tensor, nn

from ebmlearn.methods import DivergenceTriangle
from ebmlearn.nets import ConvEncoder, ConvGenerator, JointConvEnergy
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.recipes._base import Recipe
from ebmlearn.recipes.latent_prior import falling

# Channels: unit of the energy, unit of generator and encoder; halvings. Code for CIFAR-10: ndf, ngf and nif.
NETS = {
    "mnist": (32, 24, 3),  # ours: half of CIFAR-10
    "cifar10": (64, 48, 3),  # code
    "celeba": (64, 48, 4),  # ours: CIFAR-10 with one halving more
}
EXPECT = {
    "cifar10": "the code's train_cifar.py logs an inception score of 5.249 ± .043 after epoch 49; "
    "no figure of the paper could be read",
}


def divergence_triangle(data: str, *, smoke: bool = False) -> Recipe:
    """A divergence triangle on ``"mnist"``, ``"cifar10"`` or ``"celeba"``."""
    of_energy, unit, halvings = (4, 2, 2) if smoke else NETS[data]
    n_latent = 8 if smoke else 100  # code
    rate = partial(falling, factor=0.998, every=500)  # code: after each epoch of CIFAR-10

    def setup(shape: tuple[int, int, int]) -> partial[DivergenceTriangle]:
        channels, size, _ = shape
        powers = [2**i for i in range(1, halvings + 1)]
        energy = JointConvEnergy(
            channels,
            size,
            n_latent,
            [of_energy * power for power in powers],
            latent_widths=[of_energy * power for power in (1, 1, 2, 2, 4, 4, 8, 8)],  # code
            joint_widths=[of_energy * 16],  # code
            stem=of_energy,  # code
            activation=partial(nn.LeakyReLU, 0.1),  # code
            spectral_norm=True,  # code
            bounded=True,  # code: softplus
        )
        return partial(
            DivergenceTriangle,
            energy,
            *autoencoder(shape, n_latent, unit, halvings),
            weight=1.0,  # code
            encoder_sign="paper",  # code
            noise=False,  # code: the energy sees g(z)
            lr_energy=partial(rate, start=1e-4),  # code
            lr_generator=partial(rate, start=3e-4),  # code
            lr_posterior=partial(rate, start=3e-4),  # code
            optimizer=partial(torch.optim.Adam, betas=(0.0, 0.9)),  # code
        )

    recipe = Recipe(
        summary=f"divergence triangle on {data}: three nets and no chain",
        source="arXiv:2006.06059 and github.com/alexzhou907/vae_ebm "
        + ("(CIFAR-10)" if data == "cifar10" else "(CIFAR-10, carried over)"),
        data=data,
        setup=setup,
        sample=sample,
        batch_size=100,  # code
        steps=400_000,  # code: 800 epochs of CIFAR-10
        pad=2 if data == "mnist" else 0,  # ours: 28 + 2 + 2 = 32, which halves to 4
        expect=EXPECT.get(data, ""),
    )
    return recipe.tiny() if smoke else recipe


def autoencoder(
    shape: tuple[int, int, int], n_latent: int, unit: int, halvings: int
) -> tuple[ConvGenerator, GaussianPosterior]:
    """Generator and encoder, which are alike in this code and in that of the recipe ``bidvl``. ``unit`` is
    half of the channels of the encoder's first convolution, and of the generator's last."""
    channels, size, _ = shape
    widths = [unit * 2**i for i in range(1, halvings + 1)]  # code
    generator = ConvGenerator(
        n_latent,
        channels,
        size,
        [widths[-1], *reversed(widths)],  # code
        doublings=halvings,  # code: the last convolution keeps the size
        std=0.5**0.5,  # code: the squared error is not divided by anything
        activation=nn.ReLU,  # code
    )
    leaky = partial(nn.LeakyReLU, 0.2)  # code
    encoder = ConvEncoder(channels, size, 2 * n_latent, widths, activation=leaky)
    return generator, GaussianPosterior(encoder, n_latent)


@torch.no_grad()
def sample(method: DivergenceTriangle, n: int) -> Tensor:
    """Images without the noise of the generator, as the energy has seen them."""
    return method.generator(method.generator.latent(n))
