"""A latent-space energy-based prior on images: a generator and an energy of its latents.

Source:
    Pang, Han, Nijkamp, Zhu, Wu (2020), "Learning latent space energy-based prior model", NeurIPS,
    arXiv:2006.08205; its released code, github.com/bpucla/latent-space-EBM-prior, ``train_svhn.py`` ("code"
    below), for SVHN at 32 x 32. The generators for the three data sets here are those of a later work by some
    of the authors, arXiv:2310.03218, github.com/yuPeiyu98/Diffusion-Amortized-MCMC,
    ``workspace/src/diffusion_net.py`` ("later code").

Our generators begin with a linear layer where theirs have a transposed convolution of a 1 x 1 map. The two
are the same but for the bias, which has a value for each pixel here, for each channel there; all other
weights agree in number. Of CelebA we take a central square of 148 pixels, the code one of all 178.
"""

from functools import partial

import torch
from torch import Tensor, nn

from ebmlearn.methods import LatentPrior
from ebmlearn.nets import ConvGenerator, MLPEnergy
from ebmlearn.recipes._base import Recipe
from ebmlearn.sample import Chain, ula

# Latents; channels before each transposed convolution; how many of these double the side. Later code:
# _netG_mnist with the 8 latents of train_anomaly_det.py, _netG_cifar10, _netG_celeba64, all with ngf = 128.
GENERATORS = {
    "mnist": (8, (1024, 512, 256), 2),
    "cifar10": (128, (1024, 512, 256), 2),
    "celeba": (100, (1024, 512, 256, 128), 4),
}
N_IMAGES = {
    "mnist": 60_000,  # all
    "cifar10": 50_000,  # all
    "celeba": 40_000,  # code: the data sets "celeba64_sri"
}
EPOCHS, BATCH = 201, 100  # code


def falling(t: int, *, start: float, factor: float, every: int) -> float:
    """The rate ``start``, times ``factor`` after each ``every`` updates."""
    return start * factor ** (t // every)


def latent_prior(data: str, *, smoke: bool = False) -> Recipe:
    """A latent-space energy-based prior for ``"mnist"``, ``"cifar10"`` or ``"celeba"``."""
    latent_dim, widths, doublings = (4, (16, 8), 2) if smoke else GENERATORS[data]

    rate = partial(falling, factor=0.998, every=N_IMAGES[data] // BATCH)  # code: after each epoch

    def setup(shape: tuple[int, int, int]) -> partial[LatentPrior]:
        channels, size, _ = shape
        leaky = partial(nn.LeakyReLU, 0.2)  # code, later code
        generator = ConvGenerator(
            latent_dim,
            channels,
            size,
            widths,
            doublings=doublings,
            std=0.3,  # code; the later one has 0.1 for images, 1 for the digits
            activation=leaky,
        )
        for layer in generator.net:
            if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
                nn.init.xavier_normal_(layer.weight)  # code: of all convolutions, the prior is left
        return partial(
            LatentPrior,
            MLPEnergy(
                latent_dim, (16, 16) if smoke else (200, 200), activation=leaky, reference_std=1.0
            ),  # code
            generator,
            # Code: 60 is its default and the largest of the three values that its script runs.
            prior_chain=Chain(ula, n_steps=5 if smoke else 60, step_size=0.4),  # code
            posterior_chain=Chain(ula, n_steps=3 if smoke else 20, step_size=0.1),  # code
            lr_prior=partial(rate, start=2e-5),  # code
            lr_generator=partial(rate, start=1e-4),  # code
            optimizer=partial(torch.optim.Adam, betas=(0.5, 0.999)),  # code
        )

    n = N_IMAGES[data]
    recipe = Recipe(
        summary=f"latent-space energy-based prior on {data}: {latent_dim} latents",
        source="arXiv:2006.08205, github.com/bpucla/latent-space-EBM-prior (for SVHN); nets of "
        "github.com/yuPeiyu98/Diffusion-Amortized-MCMC; settings of training carried over",
        data=data,
        setup=setup,
        sample=sample,
        batch_size=BATCH,
        steps=EPOCHS * n // BATCH,
        n=n,
    )
    return recipe.tiny() if smoke else recipe


@torch.no_grad()
def sample(method: LatentPrior, n: int) -> Tensor:
    """Images without the noise of the generator, for latents at the ends of prior chains as in training."""
    return method.generator(method.sample_prior(n))
