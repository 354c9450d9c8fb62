"""The energy of a net's weights: its loss on data."""

from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softmax

from ebmlearn import check
from ebmlearn.architecture import Net
from ebmlearn.energy import Energy
from ebmlearn.nets.target import TargetNet

LOSSES = ("cross_entropy", "squared")


class WeightEnergy(Net):
    """``E(θ) = λ mean_i loss_i(θ) + ‖θ‖² / (2 prior_std²)``: a Gibbs density of weights, ``exp(-E) / Z``.

    It is the posterior of Bayes if ``λ`` is the number of data, and for the squared loss that number over the
    variance of the noise: then ``λ mean`` is the sum of ``-log p(y|x, θ)``, up to a constant. A larger ``λ``
    is a lower temperature.

    Without a prior ``exp(-E)`` has no integral, for any net with a hidden layer: where a unit is 0 on all
    data, its outgoing weights are free. A chain, or a sampler that widens as it learns, then drifts.

    Args:
        target: The net.
        loss: ``"cross_entropy"`` of its logits with classes ``y``, int64, in nats; or ``"squared"``, ``½ ‖y -
            f(x)‖²``, with ``y`` of shape ``(N, n_outputs)``, or ``(N,)`` for one output.
        lam: ``λ`` >= 0, the inverse temperature.
        prior_std: Standard deviation of a Gaussian prior of all weights, > 0; None: a flat one.

    Raises:
        TypeError: If the target is no `TargetNet`.
        ValueError: If an argument is out of its range, or data do not fit.

    Example:
        >>> from ebmlearn.nets import ReLUTarget
        >>> energy = WeightEnergy(ReLUTarget((2,), 3, (8,)), lam=100.0, prior_std=1.0)
        >>> x, y = torch.randn(50, 2), torch.arange(50) % 3
        >>> theta = energy.target.initial(4)
        >>> energy(theta, x, y).shape, energy.predict(theta, x).shape
        (torch.Size([4]), torch.Size([4, 50, 3]))
    """

    lam: Tensor

    def __init__(
        self,
        target: TargetNet,
        loss: Literal["cross_entropy", "squared"] = "cross_entropy",
        *,
        lam: float,
        prior_std: float | None = None,
    ) -> None:
        super().__init__()
        check.instance("target", target, TargetNet)
        check.choice("loss", loss, LOSSES)
        check.number("lam", lam, ">= 0")
        if prior_std is not None:
            check.number("prior_std", prior_std, hint=", or None for a flat prior")
        self.target, self.loss, self.prior_std = target, loss, prior_std
        self.register_buffer("lam", torch.tensor(float(lam)))

    def forward(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Energies.

        Args:
            theta: Weights of ``B`` nets, shape ``(B, n_weights)``.
            x: Inputs for all nets, shape ``(N, *event)``, or for each net its own, ``(B, N, *event)``.
            y: What belongs to them, of shape ``(N, ...)`` or ``(B, N, ...)`` likewise.

        Returns:
            Energies, shape ``(B,)``, in nats.
        """
        energy = self.lam * self.losses(theta, x, y).mean(1)
        if self.prior_std is not None:
            energy = energy + theta.square().sum(1) / (2 * self.prior_std**2)
        return energy

    def losses(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The loss of each net on each datum, shape ``(B, N)``; arguments as `forward`."""
        outputs = self.target(theta, x).to(theta.dtype)  # which is less under autocast
        y = self._fitting(y, x, outputs)
        if self.loss == "cross_entropy":
            return cross_entropy(outputs.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)
        return 0.5 * (outputs - y).square().sum(2)

    def on(
        self,
        x: Tensor,
        y: Tensor,
        batch_size: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Energy:
        """The energy on data, as a function of the weights alone: for `ebmlearn.sample.langevin` and others.

        Args:
            x: Inputs, as in `forward`.
            y: What belongs to them.
            batch_size: At each call each net gets so many data anew, drawn with replacement from those for
                all, which makes Langevin dynamics stochastic gradient Langevin dynamics (Welling and Teh
                2011). None: all data.
            generator: Of these draws.

        Returns:
            ``energy(theta)``, ``(B, n_weights)`` to ``(B,)``.
        """
        check.generator(generator)
        if batch_size is None:
            return lambda theta: self(theta, x, y)
        check.count("batch_size", batch_size)
        if self.target.is_own(x, -1):
            raise ValueError(f"x has shape {(*x.shape,)}; with a batch_size expected data for all nets")

        def energy(theta: Tensor) -> Tensor:
            size = (len(theta), cast(int, batch_size))
            chosen = torch.randint(len(x), size, generator=generator, device=x.device)
            return self(theta, x[chosen], y[chosen])

        return energy

    def predict(self, theta: Tensor, x: Tensor) -> Tensor:
        """What each net says of each input: probabilities of the classes, or its outputs for the squared
        loss, shape ``(B, N, n_outputs)``; arguments as `forward`."""
        outputs = self.target(theta, x)
        return softmax(outputs, 2) if self.loss == "cross_entropy" else outputs

    def _fitting(self, y: Tensor, x: Tensor, outputs: Tensor) -> Tensor:
        """``y`` with a value for each net and datum, and each output where these are numbers."""
        check.tensor("y", y)
        n, axes = outputs.shape[2], x.ndim - len(self.target.event_shape)
        lead = x.shape[:axes]
        classes = self.loss == "cross_entropy"
        if not classes and y.shape == lead and n == 1:
            y = y[..., None]
        if y.shape != (lead if classes else (*lead, n)) or (y.dtype == torch.int64) != classes:
            wanted = f"{(*lead,)}, int64" if classes else f"{(*lead, n)}, floating numbers"
            raise ValueError(f"y has shape {(*y.shape,)}, {y.dtype}; expected {wanted}, for {self.loss}")
        if classes and y.numel() and not 0 <= int(y.min()) <= int(y.max()) < n:
            raise ValueError(f"y has classes from {int(y.min())} to {int(y.max())}; expected 0 to {n - 1}")
        return y.expand(len(outputs), *y.shape) if axes == 1 else y

    def extra_repr(self) -> str:
        return f"loss={self.loss!r}, lam={self.lam.item():g}, prior_std={self.prior_std}"
