"""Short-run inference on images: a generator with five layers of latents, and no encoder.

Source:
    Nijkamp, Pang, Han, Zhou, Zhu, Wu (2020), "Learning multi-layer latent variable model via variational
    optimization of short run MCMC for approximate inference", ECCV, arXiv:1912.01909; its released code,
    github.com/enijkamp/short_run_inf, ``train_celeba_five_layers.py`` ("code" below), for CelebA at 32 x 32.

The step size is not tuned, as in the code, though the paper is about tuning it: the estimates of the entropy
need a chain for each of the 416 latents of an example, or a derivative of a whole chain by each. The noise of
a layer of latents has a spread of at least 1 in the code; here of ``softplus``, see `ConvLadderGenerator
<ebmlearn.nets.ConvLadderGenerator>`, which has as many weights as the net of the code. Of CelebA we
take a central square of 148 pixels, the code one of all 178.
"""

from functools import partial

import torch
from torch import Tensor

from ebmlearn.methods import ShortRunInference
from ebmlearn.nets import ConvLadderGenerator
from ebmlearn.recipes._base import Recipe
from ebmlearn.sample import Chain, ula

N_IMAGES, BATCH, EPOCHS = 40_000, 100, 601  # code, for CelebA; the same number of MNIST and CIFAR-10 is ours


def short_run_inference(data: str, *, smoke: bool = False) -> Recipe:
    """Short-run inference on ``"mnist"``, ``"cifar10"`` or ``"celeba"``."""

    def setup(shape: tuple[int, int, int]) -> partial[ShortRunInference]:
        channels, size, _ = shape
        generator = ConvLadderGenerator(
            (4, 4, 6) if smoke else (64, 64, 64, 96, 128),  # code, the top layer first
            channels,
            size,
            width=8 if smoke else 64,  # code
            # Code: maps of 16 x 16, doubled once to 32 x 32. A second doubling, to 64 x 64, is ours.
            side=size // 2 if size <= 32 else size // 4,
            std=0.15,  # code
        )
        return partial(
            ShortRunInference,
            generator,
            chain=Chain(
                ula, n_steps=5 if smoke else 25, step_size=0.05
            ),  # code, with noise of the same scale
            entropy="conditional",  # ours; not used, for nothing is tuned
            lr=rate,
            optimizer=partial(torch.optim.Adam, betas=(0.5, 0.999)),  # code
        )

    recipe = Recipe(
        summary=f"short-run inference on {data}: {'three' if smoke else 'five'} layers of latents",
        source="arXiv:1912.01909, github.com/enijkamp/short_run_inf (for CelebA at 32 x 32, without tuning); "
        "MNIST, CIFAR-10 and the side 64 are ours",
        data=data,
        setup=setup,
        sample=sample,
        batch_size=BATCH,
        steps=EPOCHS * N_IMAGES // BATCH,
        n=N_IMAGES,
        pad=2 if data == "mnist" else 0,  # the code reads MNIST at 32 x 32, resized
    )
    return recipe.tiny() if smoke else recipe


def rate(t: int) -> float:
    """Code: 8e-5, halved at the epochs 50, 100 and 300."""
    epoch = t * BATCH // N_IMAGES
    return 8e-5 / 2 ** sum(epoch >= end for end in (50, 100, 300))


@torch.no_grad()
def sample(method: ShortRunInference, n: int) -> Tensor:
    """Images without the noise of the generator, for latents of its prior ``N(0, I)``."""
    return method.generator(method.generator.latent(n))
