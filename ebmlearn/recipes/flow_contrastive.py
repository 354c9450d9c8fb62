"""Flow contrastive estimation on images: an energy and a Glow that play against each other.

Source:
    Gao, Nijkamp, Kingma, Xu, Dai, Wu (2020), "Flow contrastive estimation of energy-based models", CVPR,
    arXiv:1912.00589 ("paper"). We found no code of its authors.
    Kingma, Dhariwal (2018), "Glow: Generative flow with invertible 1x1 convolutions", NeurIPS,
    arXiv:1807.03039, and its code, github.com/openai/glow: ``README.md``, ``train.py`` ("Glow" below).
    A code by others for the plane, github.com/lifeitech/fce-2d, ``train.py`` ("plane").

Of the paper's nets we know a number: for CIFAR-10 the Glow has 44.2 million weights, and 44.9 million with
the energy (Yang et al. 2025, "Convex potential mirror Langevin algorithm for efficient sampling of
energy-based models", NeurIPS, table 7). Ours have 44.0 and 0.7 million; the energy is that of
``anatomy.py``, from some of the same authors.

One run does both parts: the Glow learns by likelihood, then the game begins. How long each lasts is ours.
Images have 256 levels; uniform noise of their distance, new in each step, makes a density of them, as in
Glow. The likelihoods that are reported are of such noisy images; ``nll / (d log 2) + log2(255 / 2)`` is a
bound on the bits of a pixel's channel.
"""

from functools import partial

from torch import nn

from ebmlearn.methods import FlowContrastive
from ebmlearn.nets import ConvEnergy, Glow
from ebmlearn.recipes._base import Recipe

# Levels, steps in a level, width. Glow has three levels for CIFAR-10 and four for ImageNet at 64 x 64, there
# with 48 steps; the 32 of "celeba" and all of "mnist" but the levels are ours, to spare time.
FLOWS = {
    "mnist": (3, 16, 256),
    "cifar10": (3, 32, 512),
    "celeba": (4, 32, 512),
}
WARMUP, GAME = 200_000, 100_000  # ours
EXPECT = {
    "cifar10": "FID of the flow's samples 45.99 after likelihood, 37.3 after the game (the paper's results, "
    "as Yang et al. 2025 list them in table 7)",
}


def warming(t: int, *, warmup: int) -> float:
    """The rate of the flow at its update ``t``, in the warm-up and after it."""
    if t >= warmup:
        return 1e-4  # ours
    return 1e-3 * min(1, (t + 1) / 8000)  # Glow: 0.001, reached within ten epochs, here of 50,000 images


def flow_contrastive(data: str, *, smoke: bool = False) -> Recipe:
    """Flow contrastive estimation on ``"mnist"``, ``"cifar10"`` or ``"celeba"``."""
    n_levels, n_steps, width = (2, 2, 8) if smoke else FLOWS[data]
    warmup, game = (10, 10) if smoke else (WARMUP, GAME)

    def setup(shape: tuple[int, int, int]) -> partial[FlowContrastive]:
        channels, size, _ = shape
        stem, *widths = (4, 8, 16) if smoke else (32, 64, 128, 256)
        return partial(
            FlowContrastive,
            ConvEnergy(channels, size, widths, stem=stem, activation=partial(nn.LeakyReLU, 0.05)),
            Glow(channels, size, n_levels=n_levels, n_steps=n_steps, width=width),
            threshold=0.6,  # plane
            warmup=warmup,
            bin_width=2 / 255,  # Glow
            lr_energy=1e-4,  # ours
            lr_flow=partial(warming, warmup=warmup),
        )

    recipe = Recipe(
        summary=f"flow contrastive estimation on {data}: {warmup:,} updates of likelihood, then the game",
        source="arXiv:1912.00589; Glow of github.com/openai/glow; turns of github.com/lifeitech/fce-2d; "
        "the rest is ours",
        data=data,
        setup=setup,
        sample=FlowContrastive.sample,
        batch_size=64,  # Glow, on one device
        steps=warmup + game,
        pad=2 if data == "mnist" else 0,  # ours: 28 + 2 + 2 = 32, which halves three times
        expect=EXPECT.get(data, ""),
    )
    return recipe.tiny() if smoke else recipe
