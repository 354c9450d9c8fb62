"""Methods at the scale of the plane: nets, chain and rates for two targets whose density is known.

    target = TARGETS["T4"]()
    method, history = PLANE["persistent chains"].train(target)
    exact.kl(target, PLANE["persistent chains"].model(method), exact.Grid((-10, 10), n=300))

Energies are perceptrons with a Gaussian reference, so that methods differ by what they do with them. ``kl``
of a recipe is the range of that divergence over three seeds: what was measured, not what is wished for. Some
of the ranges are bad, and stay so: to show them is what the table is for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ebmlearn.energy import Energy, ExactEnergy, Gaussian
from ebmlearn.evaluate.exact import Grid
from ebmlearn.methods import (
    NCE,
    CoopNets,
    EnergyDiscrepancy,
    ExactLikelihood,
    FlowContrastive,
    MaximumLikelihood,
    ScoreMatching,
)
from ebmlearn.nets import MLPEnergy, MLPGenerator, RealNVP
from ebmlearn.objectives import denoising_score_matching, score_matching
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.sample import Chain, DataStart, NoiseStart, ReplayBuffer, ula
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

SPREAD = 2.5
"""Standard deviation of noise that covers both targets."""

ADAM = partial(torch.optim.Adam, betas=(0.5, 0.999))
"""The optimiser of an energy and its companions: a short memory, because each moves the other's aim."""


@dataclass(frozen=True)
class PlaneRecipe:
    """A method in the plane, ready to train.

    Attributes:
        make: ``make(target, steps)`` builds the untrained method.
        steps: Number of updates.
        batch_size: Points in a batch.
        model: ``model(method)`` is the density to judge, as an energy: that of the average of the weights
            where the method keeps one.
        kl: Least and largest ``KL(target ‖ model)`` in nats over the seeds 0 to 2, for each target.
        gradients: What one update costs: passes backward through the net of the density, at one point each,
            by the point or by the weights. Companions, such as a flow, do not count.
        sample: ``sample(method, n)`` draws as the method itself does, ``(n, 2)``; None if it has no sampler
            of its own. The persistent chains are at most as many as their bank holds.
    """

    make: Callable[[ExactEnergy, int], Method]
    steps: int
    batch_size: int
    model: Callable[[Any], Energy]
    kl: dict[str, tuple[float, float]]
    gradients: float
    sample: Callable[[Any, int], Tensor] | None

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
        return method, fit(method, target.sample, steps=steps, batch_size=self.batch_size, hooks=hooks)


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


def averaged(method: Any) -> Energy:
    return method.averages["energy"]


def trained(method: Any) -> Energy:
    return method.energy


def by_method(method: Any, n: int) -> Tensor:
    return method.sample(n)


def _recipe(
    make: Callable[[ExactEnergy, int], Method],
    t4: tuple[float, float],
    eight: tuple[float, float],
    *,
    passes: float,
    more: int = 0,
    model: Callable[[Any], Energy] = averaged,
    sample: Callable[[Any, int], Tensor] | None = None,
    steps: int = 1000,
    batch_size: int = 200,
) -> PlaneRecipe:
    """A recipe with ``passes`` gradients for each point of the batch, and ``more`` that no batch changes."""
    kl = dict(zip(TARGETS, (t4, eight), strict=True))
    return PlaneRecipe(make, steps, batch_size, model, kl, passes * batch_size + more, sample)


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
}
"""The methods that yield an energy of points, by name."""
