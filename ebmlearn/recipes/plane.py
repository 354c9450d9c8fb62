"""Methods at the scale of the plane: nets, chain and rates for two targets whose density is known.

    target = TARGETS["T4"]()
    method, history = PLANE["persistent chains"].train(target)
    exact.kl(target, PLANE["persistent chains"].model(method), exact.Grid((-10, 10), n=300))

Energies are perceptrons with a Gaussian reference, so that methods differ by what they do with them. The
density of a method without an energy of points is that of its generator, summed over a grid of latents.
``kl`` of a recipe is the range of that divergence over three seeds: what was measured, not what is wished
for. Some of the ranges are bad, and stay so: to show them is what the table is for.

Some methods of the package have no recipe here:

- `SymbolVectorCoupling <ebmlearn.methods.SymbolVectorCoupling>` and
  `Classification <ebmlearn.methods.Classification>` learn from labels, which points do not have;
- `FisherCritic <ebmlearn.methods.FisherCritic>` estimates the Fisher divergence of a model that is given;
- `WeightSampler <ebmlearn.methods.WeightSampler>` samples the weights of a net, whose energy is given;
- `MotionRepresentation <ebmlearn.methods.MotionRepresentation>` and its like represent positions and signals;
- `BiSM <ebmlearn.methods.BiSM>` and `VaGES <ebmlearn.methods.VaGES>` are for energies with hidden units:
  chapters 17 and 18 train a Gaussian-Bernoulli machine, whose partition function is a sum.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ebmlearn.energy import Energy, ExactEnergy, Gaussian, GaussianMixture
from ebmlearn.evaluate.exact import Grid, marginal
from ebmlearn.methods import (
    NCE,
    VAE,
    AlternatingBackprop,
    BiDVL,
    CoopNets,
    DivergenceTriangle,
    DualMCMC,
    EnergyDiscrepancy,
    ExactLikelihood,
    FlowContrastive,
    LatentPrior,
    MaximumLikelihood,
    NeuralTransport,
    ScoreMatching,
    ShortRunInference,
    VariationalTeaching,
)
from ebmlearn.nets import JointMLPEnergy, MLPEnergy, MLPGenerator, RealNVP
from ebmlearn.objectives import denoising_score_matching, score_matching
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.sample import Chain, DataStart, NoiseStart, ReplayBuffer, hmc, ula
from ebmlearn.schedules import linear
from ebmlearn.targets import eight_gaussians, four_weighted_gaussians
from ebmlearn.train import Hook, Method, fit

TARGETS: dict[str, Callable[[], ExactEnergy]] = {
    "T4": four_weighted_gaussians,
    "8 Gaussians": eight_gaussians,
}
"""The targets by name; their modes have standard deviations of 0.4 and 0.25."""

CHAIN = Chain(ula, n_steps=20, step_size=0.14)
"""For chains that begin near the modes; a step is about half a standard deviation of the narrower ones."""

LONG_STEPS = CHAIN.replace(step_size=0.2)
"""For chains that begin in noise or at the drafts of a generator."""

LATENT_CHAIN = Chain(ula, n_steps=10, step_size=0.1)
"""For chains of latents, on posteriors, that begin near their end."""

FRESH_LATENT_CHAIN = LATENT_CHAIN.replace(n_steps=20)
"""For those that begin in noise."""

PRIOR_CHAIN = Chain(ula, n_steps=20, step_size=0.4)
"""For latents of a learned prior, from noise."""

FLOW_CHAIN = Chain(hmc, n_steps=2, step_size=0.25, n_leapfrog=3)
"""For persistent chains in the latent space of a flow."""

LATENTS = Grid((-4.5, 4.5), n=60)
"""Where the density of a generator sums over its two latents."""

JOINT_LATENTS = Grid((-12, 12), n=12)
"""The same of a joint energy, which is as smooth as its bounded slope makes it."""

SPREAD = 2.5
"""Standard deviation of noise that covers both targets."""

N_DATA = 10_000
"""Data of a method that must meet each of them again."""

ADAM = partial(torch.optim.Adam, betas=(0.5, 0.999))
"""The optimiser of an energy and its companions: a short memory, because each moves the other's aim."""


def fresh(target: ExactEnergy) -> Any:
    """New points for each batch."""
    return target.sample


def numbered(target: ExactEnergy) -> Any:
    """The same points in each pass, and their numbers."""
    return target.sample(N_DATA), torch.arange(N_DATA)


@dataclass(frozen=True)
class PlaneRecipe:
    """A method in the plane, ready to train.

    Attributes:
        make: ``make(target, steps)`` builds the untrained method.
        steps: Number of updates.
        batch_size: Points in a batch.
        model: ``model(method)`` is the density to judge, as an energy: that of the average of the weights
            where the method keeps one.
        kl: Least and largest ``KL(target ‖ model)`` in nats over the seeds 0 to 2, for the targets where it
            was measured: T4, and for methods of an energy alone the 8 Gaussians too.
        gradients: What one update costs: passes backward through the net of the density, at one point each,
            by the point or by the weights. Companions do not count. Where two nets make the density, a pass
            through both at once is one. The mean over all updates, if they differ.
        sample: ``sample(method, n)`` draws as the method itself does, ``(n, 2)``; None if it has no sampler
            of its own. Of persistent chains there are as many as their bank holds, and no more.
        data: ``data(target)`` is what `fit <ebmlearn.train.fit>` takes.
    """

    make: Callable[[ExactEnergy, int], Method]
    steps: int
    batch_size: int
    model: Callable[[Any], Energy]
    kl: dict[str, tuple[float, float]]
    gradients: float
    sample: Callable[[Any, int], Tensor] | None = None
    data: Callable[[ExactEnergy], Any] = fresh

    def train(
        self, target: ExactEnergy, *, steps: int | None = None, hooks: Sequence[Hook] = ()
    ) -> tuple[Any, dict[str, Tensor]]:
        """Train the method on exact samples of a target.

        Args:
            target: One of `TARGETS`, or another of about their size.
            steps: Number of updates, if not the recipe's; the learning rates fall to 0 in as many.
            hooks: As in `fit`.

        Returns:
            The method and its metrics.
        """
        steps = self.steps if steps is None else steps
        method = self.make(target, steps)
        data = self.data(target)
        return method, fit(method, data, steps=steps, batch_size=self.batch_size, hooks=hooks)


def net(n_fourier: int = 16) -> MLPEnergy:
    """The energy of all methods."""
    return MLPEnergy(2, (64, 64), n_fourier=n_fourier, reference_std=SPREAD)


def generator() -> MLPGenerator:
    """The generator of all methods, from two latents."""
    return MLPGenerator(2, (2,), (64, 64), std=0.3)


def encoder() -> GaussianPosterior:
    """The inference model of all methods that have one, for the generator's two latents."""
    return GaussianPosterior(nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 4)), 2)


def noise() -> Gaussian:
    """Noise that covers both targets."""
    return Gaussian(torch.zeros(2), SPREAD**2 * torch.eye(2))


def contrastive_divergence(target: ExactEnergy, steps: int) -> Method:
    """Chains from the data."""
    return MaximumLikelihood(net(), DataStart(), chain=CHAIN, lr=linear(2e-3, steps), ema=0.99)


def persistent(target: ExactEnergy, steps: int) -> Method:
    """Persistent chains. With Fourier features they lost a mode of T4 in one seed of four (3 nats); without
    them they rest on the ring of the 8 Gaussians."""
    bank = ReplayBuffer(SPREAD * torch.randn(2000, 2))
    return MaximumLikelihood(net(0), bank, chain=LONG_STEPS, lr=linear(2e-3, steps), ema=0.99)


def short_run(target: ExactEnergy, steps: int) -> Method:
    """Chains from noise, which must reach the modes by themselves. With Fourier features the energy would
    become so rough on their way that its divergence is in the thousands of nats."""
    start = NoiseStart("normal", SPREAD, (2,))
    return MaximumLikelihood(net(0), start, chain=LONG_STEPS, lr=linear(3e-3, steps), ema=0.99)


def by_score(objective: Callable[..., Tensor]) -> Callable[[ExactEnergy, int], Method]:
    """Score matching with an objective."""
    return lambda target, steps: ScoreMatching(net(), objective, lr=linear(5e-3, steps), ema=0.99)


def cooperative(target: ExactEnergy, steps: int) -> Method:
    """Cooperative learning with the latents known."""
    return CoopNets(
        net(0),
        generator(),
        chain=LONG_STEPS,
        lr_energy=linear(2e-3, steps),
        lr_generator=linear(2e-3, steps),
        optimizer=ADAM,
        ema=0.99,
    )


def flow_contrastive(target: ExactEnergy, steps: int) -> Method:
    """Flow contrastive estimation, whose flow learns by likelihood in the first tenth of the updates."""
    return FlowContrastive(
        net(),
        RealNVP((2,), 6, 32),
        warmup=steps // 10,
        threshold=0.6,
        lr_energy=linear(5e-3, steps),
        lr_flow=linear(5e-3, steps),
    )


def variational_teaching(target: ExactEnergy, steps: int) -> Method:
    """Cooperative learning with an encoder in place of the known latents."""
    return VariationalTeaching(
        net(0),
        generator(),
        encoder(),
        chain=LONG_STEPS,
        lr_energy=linear(2e-3, steps),
        lr_vae=linear(2e-3, steps),
        optimizer=ADAM,
        ema=0.99,
    )


def dual_mcmc(target: ExactEnergy, steps: int) -> Method:
    """Dual-MCMC teaching, with a chain of latents that begins at the inference model."""
    return DualMCMC(
        net(0),
        generator(),
        encoder(),
        chain=LONG_STEPS,
        latent_chain=LATENT_CHAIN,
        lr_energy=linear(2e-3, steps),
        lr_generator=linear(2e-3, steps),
        lr_posterior=linear(2e-3, steps),
        optimizer=ADAM,
        ema=0.99,
    )


def neural_transport(target: ExactEnergy, steps: int) -> Method:
    """A flow, tilted after the three fifths of the updates in which it alone learns."""
    warmup = 3 * steps // 5
    return NeuralTransport(
        MLPEnergy(2, (64, 64)),
        RealNVP((2,), 4, 32),
        ReplayBuffer(torch.randn(2000, 2)),
        chain=FLOW_CHAIN,
        warmup=warmup,
        lr=linear(5e-3, steps - warmup),
        lr_flow=linear(5e-3, warmup),
        ema=0.99,
    )


def divergence_triangle(target: ExactEnergy, steps: int) -> Method:
    """The divergence triangle with the signs of its paper, by which the encoder becomes a curve."""
    energy = JointMLPEnergy((2,), 2, (32,), joint_widths=(32,), spectral_norm=True, reference_std=3.0)
    return DivergenceTriangle(
        energy,
        generator(),
        encoder(),
        lr_energy=linear(5e-3, steps),
        lr_generator=linear(5e-3, steps),
        lr_posterior=linear(5e-3, steps),
    )


def bidvl(target: ExactEnergy, steps: int) -> Method:
    """BiDVL with the constant rates and the narrow generator of chapter 19."""
    return BiDVL(
        net(0),
        MLPGenerator(2, (2,), (64, 64), std=0.15),
        encoder(),
        data_weight=0.05,
        latent_std=1.0,
        lr_energy=3e-4,
        lr_autoencoder=1e-3,
    )


def alternating_backprop(target: ExactEnergy, steps: int) -> Method:
    """Alternating back-propagation, whose chains go on where they were when their datum came last."""
    return AlternatingBackprop(generator(), N_DATA, chain=LATENT_CHAIN, lr=linear(5e-3, steps))


def short_run_inference(target: ExactEnergy, steps: int) -> Method:
    """Short-run inference at a step size that stays."""
    return ShortRunInference(generator(), chain=FRESH_LATENT_CHAIN, lr=linear(5e-3, steps))


def latent_prior(target: ExactEnergy, steps: int) -> Method:
    """A latent-space prior that learns together with its generator."""
    return LatentPrior(
        MLPEnergy(2, (32, 32), reference_std=1.0),
        generator(),
        prior_chain=PRIOR_CHAIN,
        posterior_chain=FRESH_LATENT_CHAIN,
        lr_prior=linear(1e-3, steps),
        lr_generator=linear(5e-3, steps),
    )


def averaged(method: Any) -> Energy:
    return method.averages["energy"]


def trained(method: Any) -> Energy:
    return method.energy


def tilted(method: Any) -> Energy:
    """The flow with the average of the tilts."""
    return lambda x: method.averages["tilt"](x) - method.flow.log_prob(x)


def of_generator(method: Any) -> Energy:
    """The density of a generator of latents from ``N(0, I)``."""
    return marginal(method.generator, LATENTS)


def of_latent_prior(method: Any) -> Energy:
    """The density of a generator of latents from a learned prior."""
    with torch.no_grad():
        weights = (-method.prior(LATENTS.points)).softmax(0)
        z = LATENTS.points[weights > 0]  # the prior may be so steep that the least underflow
        return GaussianMixture(method.generator(z), method.generator.std, weights[weights > 0])


def of_joint(method: Any) -> Energy:
    """The density of the points of a joint energy."""
    z = JOINT_LATENTS.points

    def energy(x: Tensor) -> Tensor:
        pairs = x.repeat_interleave(len(z), 0), z.repeat(len(x), 1)
        return -(-method.energy.joint(*pairs)).view(len(x), -1).logsumexp(1)

    return energy


def by_method(method: Any, n: int) -> Tensor:
    return method.sample(n)


def _recipe(
    make: Callable[[ExactEnergy, int], Method],
    *kl: tuple[float, float],
    passes: float,
    more: int = 0,
    model: Callable[[Any], Energy] = averaged,
    sample: Callable[[Any, int], Tensor] | None = None,
    data: Callable[[ExactEnergy], Any] = fresh,
    steps: int = 1000,
    batch_size: int = 200,
) -> PlaneRecipe:
    """A recipe with ``passes`` gradients for each point of the batch, and ``more`` that no batch changes; its
    divergences are those from the first targets."""
    known = dict(zip(TARGETS, kl, strict=False))
    return PlaneRecipe(make, steps, batch_size, model, known, passes * batch_size + more, sample, data)


WITH_CHAIN = CHAIN.n_steps + 2
"""Gradients for each datum where a chain runs: one a step, and those by the weights at the datum and at the
end of the chain."""

PLANE = {
    "exact likelihood": _recipe(
        lambda target, steps: ExactLikelihood(net(), Grid((-8, 8), n=66).log_z, lr=linear(1e-2, steps)),
        (0.002, 0.002),
        (0.006, 0.007),
        passes=1,
        more=66**2,  # points of the grid
        model=trained,
        steps=600,
        batch_size=500,
    ),
    "persistent chains": _recipe(
        persistent, (0.036, 0.042), (0.43, 0.45), passes=WITH_CHAIN, sample=by_method
    ),
    # its chains start at data, of which it has none of its own
    "contrastive divergence": _recipe(
        contrastive_divergence, (0.014, 0.032), (0.051, 0.083), passes=WITH_CHAIN
    ),
    "short run": _recipe(short_run, (7.4, 9.5), (0.44, 0.47), passes=WITH_CHAIN, sample=by_method),
    "cooperative learning": _recipe(
        cooperative, (0.34, 0.42), (0.45, 0.47), passes=WITH_CHAIN, sample=by_method
    ),
    # the slope, two rows of the Hessian for its trace, and the weights
    "score matching": _recipe(by_score(score_matching), (0.017, 0.028), (0.007, 0.033), passes=4),
    # the slope and the weights, at the noisy point and at the clean one
    "denoising score matching": _recipe(
        by_score(partial(denoising_score_matching, sigma=0.1, control_variate=True)),
        (0.037, 0.040),
        (0.022, 0.040),
        passes=4,
    ),
    "noise-contrastive estimation": _recipe(
        lambda target, steps: NCE(net(), noise(), lr=linear(1e-2, steps)),
        (0.003, 0.005),
        (0.009, 0.014),
        passes=2,
        model=trained,
    ),
    "energy discrepancy": _recipe(
        lambda target, steps: EnergyDiscrepancy(net(), sigma=1.0, lr=linear(5e-3, steps), ema=0.99),
        (0.003, 0.004),
        (0.014, 0.018),
        passes=1 + 4,  # the datum and its four noisy points
    ),
    # when it is the energy's turn; the flow's turns take half of it, and its warm-up none
    "flow contrastive estimation": _recipe(
        flow_contrastive, (0.054, 0.099), (0.27, 0.41), passes=2, model=trained, sample=by_method
    ),
    "VAE as sampler": _recipe(variational_teaching, (0.29, 3.0), passes=WITH_CHAIN, sample=by_method),
    "dual-MCMC teaching": _recipe(dual_mcmc, (0.31, 0.48), passes=WITH_CHAIN, sample=by_method),
    # the flow's likelihood; then two proposals of three steps and one gradient at their start, and the tilt's
    # weights at datum and sample
    "neural transport": _recipe(
        neural_transport,
        (0.088, 0.138),
        passes=0.6 + 0.4 * (2 * 3 + 1 + 2),
        model=tilted,
        sample=by_method,
    ),
    # the energy's weights at datum and draw, the encoder's slope at the one, the generator's at the other
    "divergence triangle": _recipe(
        divergence_triangle,
        (2.07, 2.17),
        passes=4,
        model=of_joint,
        sample=by_method,
    ),
    # the energy's weights at datum and draw, and the slope for the generator
    "BiDVL": _recipe(bidvl, (0.93, 2.22), passes=3, model=trained, sample=by_method),
    "VAE": _recipe(
        lambda target, steps: VAE(generator(), encoder(), lr=linear(5e-3, steps)),
        (0.42, 0.48),
        passes=1,
        model=of_generator,
        sample=by_method,
        batch_size=500,
    ),
    # the steps of the chain, and the weights
    "alternating back-propagation": _recipe(
        alternating_backprop,
        (0.34, 0.36),
        passes=LATENT_CHAIN.n_steps + 1,
        model=of_generator,
        sample=by_method,
        data=numbered,
    ),
    "short-run inference": _recipe(
        short_run_inference,
        (0.56, 0.63),
        passes=FRESH_LATENT_CHAIN.n_steps + 1,
        model=of_generator,
        sample=by_method,
    ),
    # the steps of both chains, the prior's weights at both ends, and the generator's at one
    "latent-space prior": _recipe(
        latent_prior,
        (0.58, 0.64),
        passes=PRIOR_CHAIN.n_steps + FRESH_LATENT_CHAIN.n_steps + 3,
        model=of_latent_prior,
        sample=by_method,
    ),
}
"""The methods that yield a density of points, by name."""
