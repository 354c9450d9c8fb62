"""CoopNets: an energy and a generator that learn from each other.

Source:
    Xie, Lu, Gao, Zhu, Wu (2016), "Cooperative training of descriptor and generator networks",
    arXiv:1609.09408, whose released code for digits and scenes is github.com/jianwen-xie/CoopNets ("digits"
    below); Xie, Lu, Gao, Wu (2018), "Cooperative learning of energy-based model and latent variable model via
    MCMC teaching", AAAI, with github.com/zilongzheng/CoopNets for scenes at 64 x 64 ("scenes"). For CIFAR-10
    there is a port to PyTorch by others, github.com/FANG-Xiaolin/pytorch-CoopNets ("port"): its README and
    ``model.py``.

Differences from all three: no batch normalisation in the generator; as many chains as data (they run 144, 144
and 900); chains start at ``g(z) + τ ε`` and not at ``g(z)``. Their ``τ = 0.3`` only scales the generator's
loss, which Adam does not see; ours is the noise of one Langevin step, so that our chains start nearly where
theirs do. Chains run at temperature 1. The port's README trains without their noise; we keep it.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from ebmlearn.methods import CoopNets
from ebmlearn.nets import ConvGenerator, DescriptorEnergy
from ebmlearn.recipes._base import Recipe
from ebmlearn.sample import Chain, ula


class Setting(NamedTuple):
    """What differs between the data sets."""

    layers: tuple[tuple[int, int, int], ...]
    """Width, kernel and stride of the energy's convolutions."""
    widths: tuple[int, ...]
    """Of the generator, before each doubling."""
    kernel: int
    """Of the generator."""
    n_steps: int
    step_size: float
    lr_energy: float
    batch_size: int
    steps: int
    source: str


SETTINGS = {
    # All from "digits", whose images have 28 pixels a side, not 32; 1,000 epochs of 55,000 images.
    "mnist": Setting(
        layers=((64, 4, 2), (128, 4, 2), (256, 4, 2)),
        widths=(512, 256, 128),
        kernel=4,
        n_steps=15,
        step_size=0.002,
        lr_energy=0.007,
        batch_size=100,
        steps=550_000,
        source="arXiv:1609.09408 and github.com/jianwen-xie/CoopNets",
    ),
    # All from "port"; 500 epochs of 50,000 images.
    "cifar10": Setting(
        layers=((64, 5, 2), (128, 3, 2), (256, 3, 1)),
        widths=(256, 128, 64),
        kernel=5,
        n_steps=10,
        step_size=0.001,
        lr_energy=0.003,
        batch_size=300,
        steps=83_000,
        source="arXiv:1609.09408 and github.com/FANG-Xiaolin/pytorch-CoopNets (by others)",
    ),
    # All from "scenes" but the length, which is ours: the code has 250 epochs for one category of scenes.
    "celeba": Setting(
        layers=((64, 5, 2), (128, 3, 2), (256, 3, 1)),
        widths=(512, 256, 128, 64),
        kernel=5,
        n_steps=10,
        step_size=0.002,
        lr_energy=0.01,
        batch_size=100,
        steps=100_000,
        source="AAAI 2018 and github.com/zilongzheng/CoopNets (for scenes): carried over",
    ),
}
SMOKE = Setting(((8, 5, 2), (16, 3, 2)), (16, 8), 5, 3, 0.002, 0.007, 16, 20, "")


def coopnets(data: str, *, smoke: bool = False) -> Recipe:
    """Cooperative learning on ``"mnist"``, ``"cifar10"`` or ``"celeba"``."""
    s = SMOKE if smoke else SETTINGS[data]

    def setup(shape: tuple[int, int, int]) -> partial[CoopNets]:
        channels, size, _ = shape
        leaky = partial(nn.LeakyReLU, 0.2)  # digits, scenes
        generator = ConvGenerator(
            8 if smoke else 100,  # all three
            channels,
            size,
            s.widths,
            kernel=s.kernel,
            std=s.step_size,  # ours, see above
            activation=leaky,
        )
        unit_variance(generator)
        return partial(
            CoopNets,
            DescriptorEnergy(channels, size, s.layers, reference_std=0.016, activation=leaky),  # all three
            generator,
            chain=Chain(ula, n_steps=s.n_steps, step_size=s.step_size),
            lr_energy=s.lr_energy,
            lr_generator=1e-4,  # all three
            optimizer=partial(torch.optim.Adam, betas=(0.5, 0.999)),  # all three
        )

    recipe = Recipe(
        summary=f"cooperative learning on {data}: {s.n_steps} Langevin steps from the generator",
        source=SETTINGS[data].source,
        data=data,
        setup=setup,
        sample=CoopNets.sample,
        batch_size=s.batch_size,
        steps=s.steps,
        n=55_000 if data == "mnist" else None,  # digits: TensorFlow's split
        pad=2 if data == "mnist" else 0,  # ours: 28 + 2 + 2 = 32, which halves to 4
    )
    return recipe.tiny() if smoke else recipe


@torch.no_grad()
def unit_variance(generator: ConvGenerator) -> None:
    """Weights under which each layer starts with a variance of about 1, as with batch normalisation, and an
    image with a deviation of about 0.1. With torch's own start, images of 64 x 64 would depend on the latents
    about as little as on the noise of the chains; a generator whose latents make no difference learns a mean.
    """
    *hidden, last = (layer for layer in generator.net if isinstance(layer, nn.Linear | nn.ConvTranspose2d))
    for layer in (*hidden, last):
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, 0.2)
        else:
            nn.init.kaiming_normal_(layer.weight, 0.2, mode="fan_out")  # of the convolution it transposes
            layer.weight *= 2  # a pixel meets one in four of the kernel's weights, since the stride is 2
    last.weight /= 10
