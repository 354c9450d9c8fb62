"""Symbol-vector coupling on images: classes from few labels, and images of a class.

Source:
    Pang, Nijkamp, Cui, Han, Wu (2020), "Semi-supervised learning by latent space energy-based model of
    symbol-vector coupling", arXiv:2010.09359; the authors' code for texts, github.com/bpucla/ibebm,
    ``semi_sup_classification.py`` ("code" below). No code for images is released, and of the paper only the
    first pages could be read. The generators are those of the recipes of the latent prior, for SVHN that of
    the authors' ``train_svhn.py``, github.com/bpucla/latent-space-EBM-prior.

The code's file holds a wide residual net as encoder of images, with dropout and batch normalisation, which it
does not use; ours is of strided convolutions. One Adam moves the prior in the code, for labels and contrast;
here there are two, and the rate of the labels is ours.
"""

from functools import partial

import torch
from torch import Tensor, nn

from ebmlearn.methods import SymbolVectorCoupling
from ebmlearn.nets import ConvEncoder, ConvGenerator, SymbolEnergy
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.recipes._base import Labels, Recipe
from ebmlearn.recipes.latent_prior import GENERATORS, falling
from ebmlearn.sample import Chain, ula

# As GENERATORS of the latent prior; that of SVHN is the code's there, with ngf = 64.
NETS = {**GENERATORS, "svhn": (100, (512, 256, 128), 3)}
ENCODER = (64, 128, 256, 512)  # ours
N_IMAGES = {"mnist": 60_000, "svhn": 73_257, "cifar10": 50_000, "celeba": 40_000}  # all; celeba as there
# Ours: 1,000 labels in all for SVHN and 4,000 for CIFAR-10 are what papers on few labels usually have.
LABELS = {
    "mnist": Labels(10, 100),
    "svhn": Labels(100, 200),
    "cifar10": Labels(400, 200),
    "celeba": Labels(100, 200, attribute="Smiling", n_classes=2),  # ours: it shows in a face
}
EPOCHS, BATCH = 201, 200  # code


def symbol_vector(data: str, *, smoke: bool = False) -> Recipe:
    """Symbol-vector coupling for ``"mnist"``, ``"svhn"``, ``"cifar10"`` or ``"celeba"``."""
    latent_dim, widths, doublings = (4, (16, 8), 2) if smoke else NETS[data]
    n = N_IMAGES[data]
    rate = partial(falling, factor=0.998, every=n // BATCH)  # code: after each epoch

    def setup(shape: tuple[int, int, int], n_classes: int) -> partial[SymbolVectorCoupling]:
        channels, size, _ = shape
        leaky = partial(nn.LeakyReLU, 0.2)  # code
        encoder = ConvEncoder(channels, size, 2 * latent_dim, (8, 16) if smoke else ENCODER, activation=leaky)
        return partial(
            SymbolVectorCoupling,
            SymbolEnergy(
                latent_dim, n_classes, (16, 16) if smoke else (100, 100), activation=leaky, reference_std=1.0
            ),  # code
            ConvGenerator(
                latent_dim,
                channels,
                size,
                widths,
                doublings=doublings,
                std=0.3,  # code: of its images
                activation=leaky,
            ),
            GaussianPosterior(encoder, latent_dim),
            prior_chain=Chain(ula, n_steps=5 if smoke else 60, step_size=0.4),  # code
            label_weight=200.0,  # code
            information_weight=100.0,  # code
            lr_prior=partial(rate, start=2e-5),  # code
            lr_classifier=partial(rate, start=1e-3),  # ours: code has 2e-5, in one Adam with the contrast
            lr_autoencoder=partial(rate, start=1e-4),  # code
            optimizer=torch.optim.Adam,  # code, but for a first beta of 0.5 of the generator
        )

    recipe = Recipe(
        summary=f"symbol-vector coupling on {data}: {latent_dim} latents, few labels",
        source="arXiv:2010.09359 and github.com/bpucla/ibebm (for texts); generators as of the latent prior; "
        "carried over to images",
        data=data,
        setup=setup,
        sample=sample,
        batch_size=BATCH,
        steps=EPOCHS * n // BATCH,
        n=n,
        labels=LABELS[data],
    )
    return recipe.tiny() if smoke else recipe


@torch.no_grad()
def sample(method: SymbolVectorCoupling, n: int) -> Tensor:
    """Images of any class without the noise of the generator, from ends of prior chains as in training."""
    return method.generator(method.sample_prior(n))
