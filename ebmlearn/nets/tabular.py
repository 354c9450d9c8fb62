"""A generator of tables: columns of numbers, each with a scale of its own, and columns of yes or no."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ebmlearn import check
from ebmlearn.nets._layers import hidden_layers
from ebmlearn.nets.generator import Generator


class TabularGenerator(Generator):
    """``p(x|z)``: columns that are independent given ``z``, ``N(g_j(z), s_j²)`` or, if binary, Bernoulli.

    ``g`` is a multilayer perceptron; of a binary column it is the logit. The scales ``s_j`` are learned, one
    for each other column, and start at 1: standardise those columns first, to mean 0 and standard deviation
    1. The scale of a column that is constant, or a function of others, shrinks without end, since its
    likelihood has no bound: leave such columns out.

    Args:
        latent_dim: Number of elements of ``z``.
        n_columns: Columns of the table, the binary ones included.
        widths: Widths of the hidden layers.
        binary: Indices of the binary columns, from 0, each once.
        activation: Makes an activation.

    Raises:
        ValueError: If an argument is out of its range, or ``x`` or ``z`` does not fit.

    Example:
        >>> net = TabularGenerator(2, 3, (8,), binary=[2])
        >>> x = net.sample(5)
        >>> x.shape, sorted(x[:, 2].unique().tolist()) in ([0.0], [0.0, 1.0], [1.0]), net.scales.shape
        (torch.Size([5, 3]), True, torch.Size([2]))
    """

    is_binary: Tensor

    def __init__(
        self,
        latent_dim: int,
        n_columns: int,
        widths: Sequence[int] = (128,),
        *,
        binary: Sequence[int] = (),
        activation: Callable[[], nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__(latent_dim)
        self.n_columns = check.count("n_columns", n_columns)
        widths = check.counts("widths", widths, some=False)
        self.binary = check.counts("binary", binary, least=0, some=False)
        if len(set(self.binary)) < len(self.binary) or any(j >= n_columns for j in self.binary):
            raise ValueError(
                f"binary is {check.shown(binary)}; expected indices of columns, each once, from 0 to "
                f"{n_columns - 1}"
            )
        flags = torch.zeros(n_columns, dtype=torch.bool)
        flags[list(self.binary)] = True
        self.register_buffer("is_binary", flags)
        self.log_scale = nn.Parameter(torch.zeros(n_columns - len(self.binary)))
        sizes = [latent_dim, *widths]
        self.net = nn.Sequential(*hidden_layers(sizes, activation), nn.Linear(sizes[-1], n_columns))

    @property
    def scales(self) -> Tensor:
        """Standard deviations ``s`` of the columns that are not binary, in their order."""
        return self.log_scale.detach().exp()

    def forward(self, z: Tensor) -> Tensor:
        """The mean of each column, of a binary one the probability of 1: ``(B, latent_dim)`` to
        ``(B, n_columns)``."""
        found = self._parameters_of(z)
        return torch.where(self.is_binary, found.sigmoid(), found)

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """``-log p(x|z)`` in nats, exact, ``log s √(2π)`` of each Gaussian column included: the
        constant is 0.

        Args:
            x: Rows of the table, shape ``(B, n_columns)``.
            z: Latents, shape ``(B, latent_dim)``.

        Returns:
            One number for each row, shape ``(B,)``.

        Raises:
            ValueError: If the shapes do not fit, a value is NaN or infinite, or one of a binary column is
                neither 0 nor 1.
        """
        found = self._parameters_of(z)
        self._check_rows(x, len(z))
        flags = self.is_binary
        error = (x[:, ~flags] - found[:, ~flags]) * (-self.log_scale).exp()
        gaussian = 0.5 * error.square() + self.log_scale + 0.5 * math.log(2 * math.pi)
        logits, ones = found[:, flags], x[:, flags]
        bernoulli = functional.binary_cross_entropy_with_logits(logits, ones, reduction="none")
        return gaussian.sum(1) + bernoulli.sum(1)

    @torch.no_grad()
    def draw(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws from ``p(x|z)``, one row for each latent, shape ``(B, n_columns)``; 0 or 1 where binary."""
        check.generator(generator)
        found = self._parameters_of(z)
        flags, x = self.is_binary, torch.empty_like(found)
        noise = torch.empty_like(found[:, ~flags]).normal_(generator=generator)
        x[:, ~flags] = found[:, ~flags] + self.log_scale.exp() * noise
        x[:, flags] = found[:, flags].sigmoid().bernoulli(generator=generator)
        return x

    def _parameters_of(self, z: Tensor) -> Tensor:
        """The means, and the logits of binary columns."""
        self.check(z)
        return self.net(z)

    def _check_rows(self, x: Tensor, n: int) -> None:
        check.floats("x", x)
        if x.shape != (n, self.n_columns):
            raise ValueError(f"x has shape {tuple(x.shape)}; these latents generate ({n}, {self.n_columns})")
        if not x.isfinite().all():
            bad = (~x.isfinite()).any(0).nonzero().flatten().tolist()
            raise ValueError(
                f"x has values that are NaN or infinite, in columns {check.shown(bad)}: remove those rows, "
                "or fill in what is missing"
            )
        of_binary = x[:, self.is_binary]
        off = ((of_binary != 0) & (of_binary != 1)).any(0)
        if off.any():
            names = [j for j, bad in zip(sorted(self.binary), off.tolist(), strict=True) if bad]
            raise ValueError(
                f"binary columns {check.shown(names)} of x hold values other than 0 and 1: do not "
                "standardise them, and leave a column that is not of yes or no out of binary"
            )

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}, n_columns={self.n_columns}, binary={self.binary}"
