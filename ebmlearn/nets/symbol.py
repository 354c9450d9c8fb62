"""An energy of symbols and latents: a classifier of the latents that is their prior as well."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.architecture import Net
from ebmlearn.energy import Energy
from ebmlearn.nets._layers import hidden_layers


class SymbolEnergy(Net):
    """``p(y, z) ∝ exp(F(z)[y] - ‖z‖² / (2 r²))``, with ``y`` one of ``K`` symbols and ``F`` a multilayer
    perceptron of ``K`` outputs (Pang et al. 2020, arXiv:2010.09359).

    Its marginal and its conditionals need no sum over more than ``K`` numbers: the energy of ``z`` alone is
    ``‖z‖² / (2 r²) - logsumexp F(z)``, that is `forward`; ``p(y|z) = softmax F(z)``, of `logits`; and
    ``p(z|y)`` has the energy ``‖z‖² / (2 r²) - F(z)[y]``, of `given`. A function ``a(z)`` that is added to
    all ``K`` outputs changes the prior and leaves the classifier.

    Args:
        latent_dim: Number of elements of ``z``.
        n_symbols: ``K`` >= 2.
        widths: Widths of the hidden layers.
        activation: Makes an activation.
        reference_std: Standard deviation ``r`` of the Gaussian reference, > 0; None: no reference, and
            ``exp(-E)`` need not be integrable.

    Raises:
        ValueError: If an argument is out of its range, or a shape does not fit.
    """

    def __init__(
        self,
        latent_dim: int,
        n_symbols: int,
        widths: Sequence[int] = (64, 64),
        *,
        activation: Callable[[], nn.Module] = nn.SiLU,
        reference_std: float | None = 1.0,
    ) -> None:
        super().__init__()
        self.latent_dim = check.count("latent_dim", latent_dim)
        self.n_symbols = check.count("n_symbols", n_symbols, 2)
        widths = check.counts("widths", widths, some=False)
        if reference_std is not None:
            check.number("reference_std", reference_std, hint=", or None for no reference")
        self.reference_std = reference_std
        sizes = [latent_dim, *widths]
        self.net = nn.Sequential(*hidden_layers(sizes, activation), _Logits(sizes[-1], n_symbols))

    def logits(self, z: Tensor) -> Tensor:
        """``F(z)``, of which the softmax is ``p(y|z)``: ``(B, latent_dim)`` to ``(B, K)``."""
        if not isinstance(z, Tensor):
            check.tensor("z", z)
        if z.shape[1:] != (self.latent_dim,):
            raise ValueError(f"z has shape {tuple(z.shape)}; expected (B, {self.latent_dim})")
        return self.net(z)

    def forward(self, z: Tensor) -> Tensor:
        """The energy of ``z`` alone, ``(B, latent_dim)`` to ``(B,)``."""
        return self._reference(z) - self.logits(z).logsumexp(1)

    def given(self, y: Tensor) -> Energy:
        """The energy of ``z`` for symbols ``(B,)``, int64 from 0 to ``K - 1``, one for each row of ``z``.

        It differs from ``-log p(z|y)`` by a constant for each symbol, and from ``-log p(y, z)`` by one
        constant for all.
        """
        check.labels("y", y, self.n_symbols)

        def energy(z: Tensor) -> Tensor:
            if len(z) != len(y):
                raise ValueError(f"y has {len(y)} symbols for {len(z)} rows of z; expected one for each")
            return self._reference(z) - self.logits(z).gather(1, y[:, None]).squeeze(1)

        return energy

    def _reference(self, z: Tensor) -> Tensor | float:
        if self.reference_std is None:
            return 0.0
        return 0.5 * z.square().sum(1) / self.reference_std**2

    def extra_repr(self) -> str:
        return f"reference_std={self.reference_std}"


class _Logits(nn.Linear):
    """The last layer, which stays in float32 under autocast as ``Readout`` does: what learns from differences
    of energies would learn from the rounding of bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))
