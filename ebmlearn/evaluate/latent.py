"""Latent-variable models in one or two latent dimensions: every integral over ``z`` by quadrature.

A model is a prior ``p(z) ∝ exp(-U(z))`` and a `ebmlearn.nets.Generator` with its ``p(x|z)``. Without a prior
it is ``N(0, I)``. With two latents at the most, ``log p(x) = log ∫ p(z) p(x|z) dz`` and the posterior
``p(z|x)`` are sums over a grid, for ``x`` of any shape. `cell_masses` and `sample_tv` compare samples with
a density of which the energy is known, in the latent space or any other plane.

The posterior is as narrow as ``τ / ‖∇g‖``: a coarse grid steps over it. The error of `log_prob` says so.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy
from ebmlearn.evaluate.quadrature import CHUNK, Estimate, Grid, energies, log_total, warn_of_leak
from ebmlearn.nets import GaussianGenerator, Generator
from ebmlearn.posteriors import GaussianPosterior

_ENTRIES = 2**22  # of a table that is held at once: 32 MB


class SampleTV(NamedTuple):
    """Total variation distance of samples to a density, and what exact samples would have on average."""

    value: float
    floor: float


def log_prob(x: Tensor, generator: Generator, grid: Grid, prior: Energy | None = None) -> Estimate[Tensor]:
    """Log-likelihood ``log ∫ p(z) p(x|z) dz`` of each example, with all constants.

    The generator is called at each point of the grid once if it is a `ebmlearn.nets.GaussianGenerator`, and
    for each pair of an example and a point otherwise; then its ``reconstruction`` must be ``-log p(x|z)``
    itself.

    Args:
        x: Examples, shape ``(B, *event)``.
        generator: ``p(x|z)``.
        grid: The quadrature of the latent space, of its dimension, such as ``Grid((-6, 6), n=300)``.
        prior: Energy ``U(z)``, with its Gaussian term if it has one; ``N(0, I)`` if None. It need not be
            normalised.

    Returns:
        Value and error, each of shape ``(B,)`` in float64, in nats.

    Raises:
        ValueError: If the grid does not fit the generator, or ``x`` does not; if an energy is NaN or -inf at
            a point; if no point generates ``x`` with any probability.

    Warns:
        LeakWarning: If more than 0.1 % of the prior's mass, or of a posterior's, is outside the box.

    Example:
        >>> from ebmlearn.nets import MLPGenerator
        >>> factor = MLPGenerator(1, (3,), (), std=0.5)  # affine: x ~ N(b, W Wᵀ + τ² I)
        >>> value, error = log_prob(torch.zeros(2, 3), factor, Grid((-7, 7), dim=1))
        >>> w, b = (p.detach() for p in factor.parameters())
        >>> exact = torch.distributions.MultivariateNormal(b, w @ w.T + 0.25 * torch.eye(3))
        >>> bool((value - exact.log_prob(torch.zeros(2, 3))).abs().max() < 1e-4), bool((error < 1e-4).all())
        (True, True)
    """
    table, _ = energies(_energy(prior), grid)
    rows = map(partial(log_total, grid=grid), _joint(x, generator, grid, table))
    value, error = (torch.cat(part) for part in zip(*rows, strict=True))
    log_z, z_error = log_total(table, grid)
    return Estimate(value - log_z - _norm(generator), error + z_error)


def elbo(x: Tensor, generator: Generator, encoder: GaussianPosterior, n: int = 24) -> Estimate[Tensor]:
    """Evidence lower bound ``E_q[log p(x|z)] - KL(q(z|x) ‖ N(0, I))`` of each example, with all constants.

    The expectation is by Gauss-Hermite quadrature around each ``q``, so that ``q`` may be narrow or wide. The
    bound is ``log p(x) - KL(q(z|x) ‖ p(z|x))``: with `log_prob` it gives the encoder's error. Over data of
    known density the mean of ``log p_data(x) - elbo`` is ``KL(Q ‖ P)`` of ``Q = p_data(x) q(z|x)`` and
    ``P = p(z) p(x|z)``.

    Args:
        x: Examples, shape ``(B, *event)``.
        generator: ``p(x|z)``, of one or two latents; as for `log_prob`.
        encoder: ``q(z|x)``.
        n: Nodes along an axis, >= 4. The error is the difference to three quarters of them.

    Returns:
        Value and error, each of shape ``(B,)`` in float64, in nats.

    Raises:
        ValueError: If latents differ in number or are more than two, or ``x`` does not fit.

    Example:
        >>> from ebmlearn.nets import MLPGenerator
        >>> line = MLPGenerator(1, (1,), (), std=1.0)
        >>> for p, v in zip(line.parameters(), (1.0, 0.0)):
        ...     _ = torch.nn.init.constant_(p, v)
        >>> q = GaussianPosterior(lambda x: torch.cat([x / 2, 0 * x - math.log(2) / 2], 1), 1)
        >>> x = torch.tensor([[1.0]])  # q is the exact posterior: the bound is log N(1; 0, 2)
        >>> f"{elbo(x, line, q).value.item():.4f} {-0.25 - math.log(4 * math.pi) / 2:.4f}"
        '-1.5155 -1.5155'
    """
    check.instance("generator", generator, Generator)
    check.instance("encoder", encoder, GaussianPosterior)
    event = generator.event_shape if isinstance(generator, GaussianGenerator) else None
    check.batch("x", x, least=1, event=event)
    check.count("n", n, 4)
    m = encoder.latent_dim
    if m != generator.latent_dim or m > 2:
        raise ValueError(
            f"the encoder has {m} latents, the generator {generator.latent_dim}; expected equal numbers, "
            "1 or 2"
        )
    norm = _norm(generator)
    with torch.no_grad():
        fine, coarse = (
            torch.cat([-_mean_reconstruction(part, generator, encoder, k) for part in x.split(CHUNK // n)])
            for k in (n, 3 * n // 4)
        )
        kl = encoder.kl(x).cpu().double()
    return Estimate(fine - kl - norm, (fine - coarse).abs())


def _mean_reconstruction(x: Tensor, generator: Generator, encoder: GaussianPosterior, n: int) -> Tensor:
    """``E_q[reconstruction(x, z)]`` of each ``x`` by the Gauss-Hermite rule, in float64."""
    node, weight = map(torch.from_numpy, hermegauss(n))
    nodes = torch.cartesian_prod(*[node] * encoder.latent_dim).view(-1, encoder.latent_dim)
    weights = torch.cartesian_prod(*[weight / weight.sum()] * encoder.latent_dim).view(len(nodes), -1).prod(1)
    z = encoder.mean(x) + encoder.std(x) * nodes[:, None].to(x)
    repeated = x.expand(len(nodes), *x.shape).flatten(0, 1)
    table = generator.reconstruction(repeated, z.flatten(0, 1)).view(len(nodes), len(x))
    return weights @ table.cpu().double()


def _norm(generator: Generator) -> float:
    """What ``reconstruction`` leaves out of ``-log p(x|z)``."""
    if not isinstance(generator, GaussianGenerator):
        return 0.0
    return 0.5 * math.prod(generator.event_shape) * math.log(2 * math.pi * generator.std**2)


def posterior(x: Tensor, generator: Generator, grid: Grid, prior: Energy | None = None) -> Tensor:
    """The posterior ``p(z|x)`` as masses of the grid's points. Arguments, errors and warnings as `log_prob`.

    Returns:
        Masses, shape ``(B, n**dim)`` in float64, each row of sum 1; `moments` makes means and covariances
        of them.
    """
    table, _ = energies(_energy(prior), grid)
    return torch.cat([*map(_masses, _joint(x, generator, grid, table))])


def moments(masses: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Means ``(B, dim)`` and covariances ``(B, dim, dim)`` of masses ``(B, n**dim)`` on a grid, in float64.

    Raises:
        ValueError: If the masses are not of this grid.
    """
    check.floats("masses", masses)
    check.instance("grid", grid, Grid)
    z = grid.points.cpu().double()
    if masses.ndim != 2 or masses.shape[1] != len(z):
        raise ValueError(
            f"masses have shape {tuple(masses.shape)}; this grid has {len(z)} points: (B, {len(z)})"
        )
    mean = masses @ z
    second = torch.einsum("bn,ni,nj->bij", masses, z, z)
    return mean, second - mean[:, :, None] * mean[:, None]


def cell_masses(energy: Energy, grid: Grid, n_cells: int = 15) -> Tensor:
    """Masses of ``p ∝ exp(-E)`` in ``n_cells`` equal cells along each axis of the grid's box.

    Args:
        energy: The energy, ``(B, dim)`` to ``(B,)``.
        grid: The quadrature; its points in a cell are summed.
        n_cells: Cells along an axis, a divisor of ``grid.n``.

    Returns:
        Masses, shape ``(n_cells,) * dim`` in float64, of sum 1.

    Raises:
        ValueError: If ``n_cells`` does not divide ``grid.n``; also as `ebmlearn.evaluate.exact.log_z`.

    Warns:
        LeakWarning: If more than 0.1 % of the mass is outside the box.
    """
    check.instance("grid", grid, Grid)
    if check.count("n_cells", n_cells, 0) < 1 or grid.n % n_cells:
        raise ValueError(f"n_cells is {n_cells}; expected a divisor of the grid's n = {grid.n}")
    table, _ = energies(energy, grid)
    blocks = (-table).softmax(0).view((n_cells, grid.n // n_cells) * grid.dim)
    return blocks.sum(tuple(range(1, 2 * grid.dim, 2)))


def sample_tv(x: Tensor, energy: Energy, grid: Grid, n_cells: int = 15) -> SampleTV:
    """Total variation distance between samples and ``p ∝ exp(-E)``, both counted in the cells of a box.

    It is ``½ Σ |n_c/n - p_c|`` over cells, and one more for samples outside the box, where ``p`` has none.
    Exact samples do not have distance 0: their counts are binomial, and ``½ Σ E|n_c/n - p_c|`` has a closed
    form (de Moivre), the floor. Since one sample changes the distance by at most ``1/n``, exact samples
    exceed the floor by ``t`` with probability below ``exp(-2 n t²)`` (McDiarmid): with 10,000 samples, by
    0.03 hardly ever. What differs within a cell is not seen.

    Args:
        x: Samples, shape ``(n, dim)``.
        energy: The energy, ``(B, dim)`` to ``(B,)``.
        grid: The quadrature.
        n_cells: Cells along an axis, a divisor of ``grid.n``.

    Returns:
        The distance, in [0, 1], and its floor.

    Raises:
        ValueError: As `cell_masses`; also if ``x`` is of another shape, empty or not finite.

    Warns:
        LeakWarning: As `cell_masses`.

    Example:
        >>> normal = lambda z: 0.5 * z.square().sum(1)
        >>> x = torch.randn(10_000, 2, generator=torch.Generator().manual_seed(0))
        >>> tv = sample_tv(x, normal, Grid((-6, 6)))
        >>> f"{tv.value:.3f} {tv.floor:.3f}, shifted {sample_tv(x + 1, normal, Grid((-6, 6))).value:.2f}"
        '0.029 0.025, shifted 0.50'
    """
    check.floats("x", x)
    check.instance("grid", grid, Grid)
    if x.ndim != 2 or x.shape[1] != grid.dim or not len(x) or not x.isfinite().all():
        raise ValueError(
            f"x has shape {tuple(x.shape)}; expected finite samples of shape (n, {grid.dim}), at least one"
        )
    masses, (low, high), n = cell_masses(energy, grid, n_cells).flatten(), grid.box, len(x)
    place = ((x.detach().cpu().double() - low) / (high - low) * n_cells).floor().long()
    inside = ((place >= 0) & (place < n_cells)).all(1)
    index = (place[inside] * n_cells ** torch.arange(grid.dim - 1, -1, -1)).sum(1)
    share = index.bincount(minlength=len(masses)) / n
    outside = 1 - inside.double().mean()
    value = 0.5 * ((share - masses).abs().sum() + outside)
    return SampleTV(value.item(), _floor(masses, n))


def _floor(p: Tensor, n: int) -> float:
    """``½ Σ E|X/n - p|`` of binomial ``X``; de Moivre: ``E|X - np| = 2 k (1 - p) P(X = k)``, k = ⌊np⌋ + 1."""
    p = p[(p > 0) & (p < 1)]
    k = (n * p).floor() + 1
    size = torch.tensor(float(n), dtype=p.dtype)
    chosen = (size + 1).lgamma() - (k + 1).lgamma() - (size - k + 1).lgamma()
    log_mass = chosen + k * p.log() + (n - k) * (-p).log1p()
    return (k * (1 - p) * log_mass.exp()).sum().item() / n


def _energy(prior: Energy | None) -> Energy:
    return (lambda z: 0.5 * z.square().sum(1)) if prior is None else prior


def _masses(joint: Tensor) -> Tensor:
    return (-joint).softmax(0).T


def _joint(x: Tensor, generator: Generator, grid: Grid, table: Tensor) -> Iterator[Tensor]:
    """Blocks of ``U(z) + reconstruction(x, z)``, shape ``(n**dim, block)``, for all ``x`` in order."""
    check.tensor("x", x)
    check.instance("generator", generator, Generator)
    if not x.ndim or not len(x):
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (B, *event) with B >= 1")
    if grid.dim != generator.latent_dim:
        raise ValueError(
            f"the grid has dim={grid.dim}, the generator {generator.latent_dim} latents; they must agree"
        )
    if isinstance(generator, GaussianGenerator):
        if x.shape[1:] != generator.event_shape:
            event = ", ".join(map(str, generator.event_shape))
            raise ValueError(f"x has shape {tuple(x.shape)}; this model generates (B, {event})")
        means = grid.tabulate(lambda z: generator(z).flatten(1))
        blocks = x.detach().cpu().double().flatten(1).split(max(1, _ENTRIES // len(means)))
        tables = (torch.cdist(means, block).square() / (2 * generator.std**2) for block in blocks)
    else:
        tables = (_reconstructions(one, generator, grid) for one in x)
    for reconstruction in tables:
        joint = table[:, None] + reconstruction
        if (joint.isnan() | (joint == -torch.inf)).any() or (joint == torch.inf).all(0).any():
            raise ValueError("the energy of a posterior is NaN or -inf at a point, or +inf at every point")
        warn_of_leak(grid.outside((-joint).softmax(0)).max().item(), grid, "of a posterior's mass")
        yield joint


def _reconstructions(x: Tensor, generator: Generator, grid: Grid) -> Tensor:
    """``reconstruction(x, z)`` of one ``x`` at every point, shape ``(n**dim, 1)``."""
    return grid.tabulate(lambda z: generator.reconstruction(x.expand(len(z), *x.shape), z)[:, None])
