"""Exact answers of the linear-Gaussian model ``x = W z + b + τ ε``, ``z ~ N(0, I)``: probabilistic PCA.

It is the one latent-variable model in which likelihood, posterior, maximum likelihood estimate, and the law
of K Langevin steps on the posterior are all known. Everything is in float64.

References:
    Tipping, Bishop (1999), "Probabilistic principal component analysis", Journal of the Royal Statistical
    Society B 61, 611-622. The law of the chain is our own calculation: an affine map of Gaussians.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Gaussian
from ebmlearn.nets import GaussianGenerator
from ebmlearn.sample import langevin_schedules
from ebmlearn.schedules import Schedule

__all__ = [
    "LinearGaussian",
    "Normal",
    "from_generator",
    "kl",
    "marginal",
    "posterior",
    "ppca",
    "regress",
    "short_run",
]


class LinearGaussian(NamedTuple):
    """The model ``x = W z + b + τ ε``.

    Attributes:
        weight: ``W``, shape ``(D, d)`` with ``D`` the number of elements of ``x``.
        bias: ``b``, shape ``(D,)``.
        std: ``τ`` > 0.
    """

    weight: Tensor
    bias: Tensor
    std: float

    def precision(self) -> Tensor:
        """``I + WᵀW / τ²``, the precision of ``z`` given ``x``, whatever ``x`` is; shape ``(d, d)``."""
        return torch.eye(self.weight.shape[1]).to(self.weight) + self.weight.T @ self.weight / self.std**2


class Normal(NamedTuple):
    """Gaussian laws of ``z``, one for each ``x``, with one covariance for all.

    Attributes:
        mean: Shape ``(B, d)``.
        cov: Shape ``(d, d)``.
        jacobian: Of the end of a chain by its start, ``dz_K/dz_0``, shape ``(d, d)``; None for other laws.
    """

    mean: Tensor
    cov: Tensor
    jacobian: Tensor | None = None


def from_generator(generator: GaussianGenerator) -> LinearGaussian:
    """The model that an affine generator is.

    Raises:
        ValueError: If the generator is not affine.
    """
    check.instance("generator", generator, GaussianGenerator)
    eye = torch.eye(generator.latent_dim).to(next(generator.parameters()))
    with torch.no_grad():
        zero, one, two = (generator(k * eye).flatten(1).double() for k in (0, 1, 2))
    if not torch.allclose(two - one, one - zero, rtol=1e-4, atol=1e-4):
        raise ValueError("the generator is not affine; MLPGenerator(..., widths=()) is")
    return LinearGaussian((one - zero).T, zero[0], generator.std)


def ppca(x: Tensor, latent_dim: int, std: float | None = None) -> LinearGaussian:
    """The model of maximum likelihood (Tipping and Bishop 1999, eq. 7 and 8), up to a rotation of ``z``.

    ``W = U (Λ - τ² I)^½`` with the ``latent_dim`` largest eigenvalues ``Λ`` of the data's covariance (sums
    over N, not N - 1) and their eigenvectors ``U``; ``τ²`` is the mean of the other eigenvalues.

    Args:
        x: Data, shape ``(N, *event)``.
        latent_dim: ``d``, at least 1 and below the number of elements of an event.
        std: ``τ`` if it is given and not estimated; directions of less variance then get no weight.

    Raises:
        ValueError: If ``latent_dim`` is out of range, or ``τ`` is not positive: the data lie in a subspace.
    """
    check.batch("x", x, least=2, finite=True)
    check.count("latent_dim", latent_dim, 0)
    if std is not None:
        check.number("std", std)
    x = x.detach().flatten(1).double()
    if not 1 <= latent_dim < x.shape[1]:
        raise ValueError(f"latent_dim is {latent_dim}; expected 1 ... {x.shape[1] - 1}, below the data's")
    values, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
    values, vectors = values.flip(0), vectors.flip(1)
    tau = values[latent_dim:].mean().clamp(min=0).sqrt().item() if std is None else float(std)
    if not tau > 1e-6 * values[0].sqrt():
        raise ValueError(f"std is {tau:.3g}: the likelihood has no maximum; lower latent_dim or pass std > 0")
    scale = (values[:latent_dim] - tau**2).clamp(min=0).sqrt()
    return LinearGaussian(vectors[:, :latent_dim] * scale, x.mean(0), tau)


def marginal(model: LinearGaussian) -> Gaussian:
    """``p(x) = N(b, WWᵀ + τ² I)`` of flat ``x``; its ``log_prob`` is the exact log-likelihood."""
    check.instance("model", model, LinearGaussian)
    cov = model.weight @ model.weight.T
    cov.diagonal().add_(model.std**2)
    return Gaussian(model.bias, 0.5 * (cov + cov.T))  # a product of matrices is symmetric up to rounding


def posterior(model: LinearGaussian, x: Tensor) -> Normal:
    """``p(z|x) = N(P⁻¹ Wᵀ(x - b)/τ², P⁻¹)`` with ``P`` = `LinearGaussian.precision`.

    Args:
        model: The model.
        x: Examples, shape ``(B, *event)``.
    """
    cov = torch.linalg.inv(_checked(model, x).precision())
    residual = x.detach().flatten(1).double() - model.bias
    return Normal(residual @ model.weight @ cov / model.std**2, 0.5 * (cov + cov.T))


def short_run(
    model: LinearGaussian,
    x: Tensor,
    *,
    n_steps: int,
    step_size: float | Schedule,
    noise_scale: float | Schedule | None = None,
) -> Normal:
    """The law of ``z`` after K Langevin steps on the posterior, from the prior ``N(0, I)``.

    With ``A = I - (s²/2) P`` a step takes the mean ``m`` to ``A m + (I - A) m*``, ``m*`` the posterior's, and
    the covariance ``C`` to ``A C A + σ² I``.

    Args:
        model: The model.
        x: Examples, shape ``(B, *event)``.
        n_steps: ``K`` >= 0.
        step_size: ``s``, a number or a schedule.
        noise_scale: ``σ``, likewise; ``step_size`` if None, and 0 for gradient descent.
    """
    size, noise, _ = langevin_schedules(step_size, noise_scale)
    check.count("n_steps", n_steps, 0)
    target, precision = posterior(model, x), model.precision()
    eye = torch.eye(len(precision)).to(precision)
    mean, cov, jacobian = torch.zeros_like(target.mean), eye, eye
    for t in range(n_steps):
        step = eye - 0.5 * size(t) ** 2 * precision
        mean = target.mean + (mean - target.mean) @ step
        cov = step @ cov @ step + noise(t) ** 2 * eye
        jacobian = step @ jacobian
    return Normal(mean, cov, jacobian)


def regress(model: LinearGaussian, x: Tensor, law: Normal) -> LinearGaussian:
    """The weights that maximise ``Σ E log p(x|z)`` with ``z`` from ``law``: the M-step of the EM algorithm.

    Repeated with the law `posterior`, it is EM, and ends at `ppca`. With `short_run`, it ends where learning
    by short-run inference does. Bias and noise stay.

    Args:
        model: The model.
        x: Data, shape ``(N, *event)``.
        law: Of the latents of each, such as ``posterior(model, x)``.
    """
    _checked(model, x)
    check.instance("law", law, Normal)
    if law.mean.shape != (len(x), model.weight.shape[1]):
        raise ValueError(
            f"the law has means of shape {tuple(law.mean.shape)}; expected "
            f"{(len(x), model.weight.shape[1])}, one for each x"
        )
    residual = x.detach().flatten(1).double() - model.bias
    second = law.mean.T @ law.mean + len(x) * law.cov
    return model._replace(weight=torch.linalg.solve(second, law.mean.T @ residual).T)


def kl(p: Normal, q: Normal) -> Tensor:
    """``KL(p ‖ q)`` for each ``x``, in nats, shape ``(B,)``; infinite where ``p`` has lost a dimension."""
    check.instance("p", p, Normal)
    check.instance("q", q, Normal)
    if p.mean.shape != q.mean.shape:
        raise ValueError(
            f"p has means of shape {tuple(p.mean.shape)}, q of {tuple(q.mean.shape)}; they must agree"
        )
    precision = torch.linalg.inv(q.cov)
    delta = p.mean - q.mean
    shape = (precision * p.cov).sum() - len(p.cov) - torch.logdet(p.cov) + torch.logdet(q.cov)
    return 0.5 * (shape + (delta @ precision * delta).sum(1))


def _checked(model: LinearGaussian, x: Tensor) -> LinearGaussian:
    """The model, if ``x`` are examples of it: other shapes might broadcast."""
    check.instance("model", model, LinearGaussian)
    check.batch("x", x, least=1, finite=True)
    if x[0].numel() != len(model.bias):
        raise ValueError(
            f"x has shape {tuple(x.shape)}; this model is of {len(model.bias)} elements an event"
        )
    return model
