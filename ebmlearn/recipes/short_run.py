"""Short-run MCMC on images: ``K`` steps of Langevin dynamics from fresh noise, in training and afterwards.

Source:
    Nijkamp, Hill, Zhu, Wu (2019), "Learning non-convergent non-persistent short-run MCMC toward energy-based
    model", NeurIPS, arXiv:1904.09770, section 5.1; its released code, github.com/enijkamp/short_run,
    ``train_cifar10_minimal.py`` ("code" below), which learns ``f = -E``.
"""

import math
from functools import partial

from torch import nn

from ebmlearn.methods import MaximumLikelihood
from ebmlearn.nets import ConvEnergy
from ebmlearn.recipes._base import Recipe
from ebmlearn.sample import Chain, NoiseStart, ula

SOURCE = "arXiv:1904.09770, section 5.1, and github.com/enijkamp/short_run; MNIST is ours"
N_FEATURES = {
    "mnist": 64,  # ours: the code's value for CIFAR-10; the paper has no MNIST
    "cifar10": 128,  # paper; the code has 64
    "celeba": 64,  # paper
}
EXPECT = {
    "cifar10": "FID 44.5 on 40,000 samples (the paper's result, as wizwand.com lists it)",
    "celeba": "FID 23.02 on 40,000 samples (the paper's result, as wizwand.com lists it)",
}


def short_run(data: str, *, smoke: bool = False) -> Recipe:
    """Short-run MCMC on ``"mnist"``, ``"cifar10"`` or ``"celeba"``."""
    n_features = 8 if smoke else N_FEATURES[data]
    n_steps = 10 if smoke else 100

    def setup(shape: tuple[int, int, int]) -> partial[MaximumLikelihood]:
        channels, size, _ = shape
        # Code: a 3 x 3 convolution, then halvings, each with twice the
        # channels, down to 4 x 4: three of 32 x 32. The four of 64 x 64 are
        # ours, in the same pattern.
        halvings = int(math.log2(size / 4))
        energy = ConvEnergy(
            channels,
            size,
            [n_features * 2**i for i in range(1, halvings + 1)],
            stem=n_features,
            activation=partial(nn.LeakyReLU, 0.2),  # code
        )
        return partial(
            MaximumLikelihood,
            energy,
            NoiseStart("uniform", 1.0, shape),  # code
            # K: paper. Code: x + ∇f(x) + 0.01 ε.
            # Our step is x - (s²/2) ∇E(x) + σ ε.
            chain=Chain(
                ula,
                n_steps=n_steps,
                step_size=math.sqrt(2),
                noise_scale=0.01,
            ),
            data_noise=0.03,  # code
            lr=1e-4,  # code: Adam with its usual betas (0.9, 0.999)
        )

    way = f"{n_steps} Langevin steps from uniform noise"
    recipe = Recipe(
        summary=f"short-run MCMC on {data}: {way}",
        source=SOURCE,
        data=data,
        setup=setup,
        sample=MaximumLikelihood.sample,
        batch_size=64,  # code
        # Paper: 200,000 updates, after which it lowers the learning rate and
        # the noise on the data; since it does not say how, we leave that out.
        steps=200_000,
        n=40_000,  # paper: every data set is cut down to 40,000 images
        # ours: 28 + 2 + 2 = 32, which halves to 4
        pad=2 if data == "mnist" else 0,
        expect=EXPECT.get(data, ""),
    )
    return recipe.tiny() if smoke else recipe
