"""Sampling the weights of classifiers of images.

Source:
    Deutsch, Nijkamp, Yang (2019), arXiv:1905.02898, which could not be read beyond its abstract; the first
    author's code, which was ("code" below): for MNIST ``params.py`` and ``train.py`` of
    github.com/sliorde/generating-neural-networks-with-neural-networks, for CIFAR-10 ``params.py`` of
    github.com/sliorde/hypernetworks.
    Its eleven scripts for CIFAR-10 try other rates and weights of the loss, up to 10⁸.

Not as in the code: no batch normalisation in the hypernetwork, since it makes nets depend on each other, and
He's rule for its first weights in place of smaller ones under that normalisation; the gauge of the last layer
(`ebmlearn.methods.weight_sampler`); the third layer of the extractor for CIFAR-10 has an activation; padding
(`ResNetTarget <ebmlearn.nets.ResNetTarget>`). There is no prior in the code, and none here: see there what
that means.
"""

from functools import partial
from math import ceil, log2, sqrt

import torch

from ebmlearn.methods import WeightSampler
from ebmlearn.nets import ReLUTarget, ResNetTarget, SharedHypernetwork, TargetNet, WeightEnergy
from ebmlearn.recipes._base import Recipe
from ebmlearn.recipes.latent_prior import falling

N_IMAGES = {"mnist": 55_000, "cifar10": 50_000}  # code: what it calls the training set
N_NETS = {"mnist": 32, "cifar10": 50}  # code
BATCH = {"mnist": 32 * 32, "cifar10": 50}  # code: 32 images for each net; one for each
STEPS = 1_000_000  # code: max_steps
LAM = 1e3  # code


def weight_sampler(data: str, *, smoke: bool = False) -> Recipe:
    """Sampling the weights of classifiers of ``"mnist"`` or ``"cifar10"``."""

    def setup(shape: tuple[int, int, int], n_classes: int) -> partial[WeightSampler]:
        target = _target(data, shape, n_classes, smoke)
        return partial(
            WeightSampler,
            _hypernetwork(data, target, smoke),
            WeightEnergy(target, lam=LAM),
            n_nets=4 if smoke else N_NETS[data],
            entropy_norm=1,  # code
            lr=partial(falling, start=3e-4, factor=0.99998, every=1),  # code
            optimizer=torch.optim.Adam,  # code
        )

    recipe = Recipe(
        summary=f"sampling the weights of classifiers on {data}: no chain, one network that makes them all",
        source="arXiv:1905.02898; github.com/sliorde/generating-neural-networks-with-neural-networks and "
        "github.com/sliorde/hypernetworks",
        data=data,
        setup=setup,
        sample=None,
        batch_size=BATCH[data],
        steps=STEPS,
        n=N_IMAGES[data],
        supervised=True,
    )
    return recipe.tiny() if smoke else recipe


def _target(data: str, shape: tuple[int, int, int], n_classes: int, smoke: bool) -> TargetNet:
    """The net whose weights are made: 20,018 of them for MNIST, 464,442 for CIFAR-10."""
    channels, size, _ = shape
    if data == "mnist":
        return ReLUTarget(shape, n_classes, ((4, 3), (4, 3), 8) if smoke else ((32, 5), (16, 5), 8))  # code
    if smoke:
        return ResNetTarget(channels, size, n_classes, width=4, n_blocks=(1, 1))
    return ResNetTarget(channels, size, n_classes)  # code


def _hypernetwork(data: str, target: TargetNet, smoke: bool) -> SharedHypernetwork:
    if smoke:
        return SharedHypernetwork(target, 8, extractor=(16,), code_dims=4, widths=(16,))
    if data == "mnist":
        return SharedHypernetwork(
            target,
            300,  # code, as all here
            extractor=(300, 300),
            code_dims=15,
            widths=((40, 40), (100, 100), (100, 100), (60, 60)),
            whole=(3,),  # the last layer has one code for all its rows
        )
    return SharedHypernetwork(
        target,
        500,  # code, as all here
        extractor=(800, 800, 800),
        code_dims=[ceil(log2(layer.length)) for layer in target.layers],
        widths=[3 * (ceil(12 * sqrt(layer.length)),) for layer in target.layers],
    )
