"""Deep energies with latent variables, by bi-level score matching (BiSM) and variational estimates (VaGES).

Sources:
    Bao, Li, Xu, Su, Zhu, Zhang (2020), "Bi-level score matching for learning energy-based latent variable
    models", NeurIPS, arXiv:2010.07856; github.com/baofff/BiSM, ``configs/latent_ebm_resnet``.
    Bao, Xu, Li, Hong, Zhu, Zhang (2021), "Variational (gradient) estimate of the score function in
    energy-based latent variable models", ICML, arXiv:2010.08258; github.com/baofff/VaGES,
    ``profiles/eblvm``, which has both methods, and CelebA at 64 x 64 ("code" below). The first
    repository agrees, but it trains on all 60,000 images of MNIST, and averages no weights.

Units: their images lie in [0, 1], ours in [-1, 1]. So their lengths in ``v`` are twice as long here: noise
levels, the reference level, the step and the start of the sampler. The loss is then theirs times ``σ₀⁴``. The
nets see images in [-1, 1] as well, and pad with grey where theirs pad with black.

Differences: the weak quadratic of `CouplingEBLVM <ebmlearn.nets.CouplingEBLVM>`; the divergence of the
posterior is not divided by the noise level of its row; VaGES takes no Langevin steps on ``h`` (code: 5, for
CelebA 50, with almost no noise), and two sets of draws in place of three. No random flips of CelebA, and a
central square of 148 pixels in place of 140.

Samples: by default the code draws images of the training set, takes the means of ``q(h|v)`` and samples ``v``
given these ``h``: its samples are conditional on training data. Here ``v`` and ``h`` both start from noise
and move together, which is the code's other sampler (``sample_joint``).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ebmlearn.energy import grad
from ebmlearn.methods import BiSM, VaGES
from ebmlearn.nets import ConvEncoder, CouplingEBLVM, ResidualFeatures
from ebmlearn.objectives import multiscale_denoising, posterior_fisher
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.recipes._base import Recipe
from ebmlearn.sample import run, ula

REFERENCE = 2 * 0.1  # code: σ₀


class Setting(NamedTuple):
    """What differs between data sets; all of it from the code, noise levels in its units."""

    width: int
    n_blocks: int
    sigmas: tuple[float, float]
    geometric: bool
    steps: int
    lr: float
    n: int | None


SETTINGS = {
    "mnist": Setting(64, 2, (0.1, 3.0), True, 100_000, 1e-4, 50_000),
    "cifar10": Setting(128, 3, (0.05, 1.2), False, 300_000, 5e-5, None),
    "celeba": Setting(128, 3, (0.05, 1.2), False, 300_000, 5e-5, None),  # 8 GB of images
}
SMOKE = Setting(4, 1, (0.05, 1.2), False, 20, 1e-4, 256)


class Anneal(NamedTuple):
    """Steps of the sampler: at the highest temperature, on the way down to 1, and from there to 0."""

    high: int = 500  # code, as the next two
    falling: int = 2000
    last: int = 200

    def temperature(self, t: int) -> float:
        """Code: 100, then geometric to 1, then linear to 0 (reached at the last step)."""
        if t < self.high:
            return 100.0
        if t < self.high + self.falling:
            return 100.0 ** (1 - (t - self.high) / self.falling)
        return 1 - (t - self.high - self.falling) / (self.last - 1)


def cosine(t: int, *, start: float, steps: int, every: int = 1) -> float:
    """Code: from ``start`` down to 1e-6 at the step ``steps``; with more steps it stays there. A step makes
    ``every`` of the updates that ``t`` counts."""
    return 1e-6 + (start - 1e-6) * 0.5 * (1 + math.cos(math.pi * min(1.0, t // every / steps)))


def score_matching_latent(kind: str, data: str, *, smoke: bool = False) -> Recipe:
    """``"bism"`` or ``"vages"`` on ``"mnist"``, ``"cifar10"`` or ``"celeba"``."""
    setting = SMOKE if smoke else SETTINGS[data]
    latent_dim = 4 if smoke else 50  # code
    low, high = setting.sigmas

    def setup(shape: tuple[int, int, int]) -> partial[BiSM | VaGES]:
        channels, size, _ = shape
        features = ResidualFeatures(
            channels,
            size,
            [setting.width * i for i in (1, 2, 4, 8)],  # code
            setting.n_blocks,
        )
        width = 4 * setting.width * (size // 8) ** 2  # code
        energy = CouplingEBLVM(features, features.n_features, shape, latent_dim, width)
        encoder = ConvEncoder(
            channels,
            size,
            2 * latent_dim,
            (4, 4, 8) if smoke else (64, 128, 256),  # code
            activation=partial(nn.LeakyReLU, 0.2),  # code
        )
        adam = partial(torch.optim.Adam, betas=(0.9, 0.95))  # code, of both nets
        make: Callable[..., BiSM | VaGES] = partial(VaGES, n_samples=2)  # code: L
        if kind == "bism":
            make = partial(BiSM, n_unrolled=0, optimizer_posterior=adam)  # code: N
        rate = partial(cosine, start=setting.lr, steps=setting.steps)
        return partial(
            make,
            energy,
            GaussianPosterior(encoder, latent_dim),
            objective=partial(
                multiscale_denoising,
                sigmas=(2 * low, 2 * high),
                reference=REFERENCE,
                geometric=setting.geometric,
            ),
            lower=posterior_fisher,  # code
            n_steps=5,  # code: K
            lr=rate,
            lr_posterior=partial(rate, every=5),  # it counts all K updates of an iteration
            optimizer=adam,
            ema=0.999,  # code, by default for every net
        )

    names = {"bism": "bi-level score matching", "vages": "variational estimates of the score (VaGES)"}
    recipe = Recipe(
        summary=f"{names[kind]} on {data}: a deep energy with {latent_dim} latent variables",
        source="arXiv:2010.07856, github.com/baofff/BiSM; arXiv:2010.08258, github.com/baofff/VaGES",
        data=data,
        setup=setup,
        sample=partial(sample, anneal=Anneal(3, 10, 3) if smoke else Anneal()),
        batch_size=100,  # code
        steps=setting.steps,
        n=setting.n,
        pad=2 if data == "mnist" else 0,  # code
    )
    return recipe.tiny() if smoke else recipe


def sample(method: BiSM | VaGES, n: int, *, anneal: Anneal) -> Tensor:
    """Annealed Langevin dynamics on ``v`` and ``h`` from noise, then a step that removes the noise of ``v``.

    The energy is the average of the weights.
    """
    net: CouplingEBLVM = method.averages["energy"].module
    like = next(net.parameters())
    factory: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
    # Code: both start at 0.5 + N(0, I), v in [0, 1], and both take steps of 0.02. In our units v takes steps
    # of 0.04. So does 2 h, which stands in place of h in the chain.
    v = 2 * torch.randn(n, *net.event_shape, **factory)
    h = 0.5 + torch.randn(n, net.latent_dim, **factory)

    def energy(x: Tensor) -> Tensor:
        v, twice_h = net.split(x)
        return net.joint(v, twice_h / 2)

    step = 2 * 0.02
    kernel = ula(energy, step_size=step, noise_scale=lambda t: step * math.sqrt(anneal.temperature(t)))
    x = run(kernel, net.stack(v, 2 * h), sum(anneal))
    return net.split(x - REFERENCE**2 * grad(energy, x)[1])[0].detach()
