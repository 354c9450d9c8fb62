"""What the networks share."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ebmlearn import check

aten = torch.ops.aten
WayBack = Callable[[Tensor], Tensor]

WAY_BACK: dict[type[nn.Module], Callable[[Any, Tensor, Tensor], WayBack]] = {
    nn.Linear: lambda layer, x, y: lambda slope: slope @ layer.weight,
    nn.SiLU: lambda layer, x, y: lambda slope: aten.silu_backward(slope, x),
    nn.ReLU: lambda layer, x, y: lambda slope: aten.threshold_backward(slope, x, 0),
    nn.LeakyReLU: lambda layer, x, y: (
        lambda slope: aten.leaky_relu_backward(slope, x, layer.negative_slope, False)
    ),
    nn.ELU: lambda layer, x, y: lambda slope: aten.elu_backward(slope, layer.alpha, 1, 1, False, x),
    nn.GELU: lambda layer, x, y: lambda slope: aten.gelu_backward(slope, x, approximate=layer.approximate),
    nn.Softplus: lambda layer, x, y: (
        lambda slope: aten.softplus_backward(slope, x, layer.beta, layer.threshold)
    ),
    nn.Tanh: lambda layer, x, y: lambda slope: aten.tanh_backward(slope, y),
    nn.Sigmoid: lambda layer, x, y: lambda slope: aten.sigmoid_backward(slope, y),
}
"""A layer, what it was given and what it gave: to a function from the gradient by ``y`` to that by ``x``.

The kernels are those of automatic differentiation, and so are the results. A function keeps the one tensor
that it needs and lets the other go, since a chain is as fast as its memory is small. Keys are exact types: a
subclass may do anything."""


def check_activation(activation: Callable[[], nn.Module]) -> None:
    """Refuse what makes no activation.

    Raises:
        TypeError: If it is no function or class, as one activation itself.
    """
    if not callable(activation) or isinstance(activation, nn.Module):
        raise TypeError(
            f"activation is {check.shown(activation)}; expected what makes one, a class such as nn.SiLU or a "
            "function without arguments"
        )


def hidden_layers(sizes: Sequence[int], activation: Callable[[], nn.Module]) -> list[nn.Module]:
    """Linear layers from each size to the next, with an activation after each."""
    check_activation(activation)
    check.counts("widths", sizes)
    return [part for n_in, n_out in pairwise(sizes) for part in (nn.Linear(n_in, n_out), activation())]


def check_images(x: Tensor, image_shape: tuple[int, ...]) -> None:
    """Refuse a batch of images of another shape than a net was built for.

    Raises:
        ValueError: If ``x`` is not of shape ``(B, *image_shape)``.
    """
    if not isinstance(x, Tensor):
        check.tensor("x", x)
    if x.shape[1:] != image_shape:
        raise ValueError(f"x has shape {tuple(x.shape)}; this net was built for (B, {image_shape})")


class Readout(nn.Linear):
    """The last layer of an energy: linear, one output, no bias (``E`` is defined up to a constant).

    Under ``torch.autocast`` it still multiplies and sums in float32: bfloat16 has 8 bits, so an energy of 100
    would come in steps of 0.5, and what learns from differences of energies would learn from rounding.
    """

    def __init__(self, n_in: int) -> None:
        super().__init__(n_in, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Energy, ``(B, n_in)`` to ``(B,)``."""
        if torch.compiler.is_compiling():  # this fuses with its neighbours, a product of matrices does not
            return (x.to(self.weight.dtype) * self.weight).sum(1)
        if not torch.is_autocast_enabled(x.device.type):  # entering a context costs a tenth of a small net
            return super().forward(x).squeeze(1)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype)).squeeze(1)


def stack(layers: Sequence[nn.Module], spectral_norm: bool) -> nn.Sequential:
    """Layers in a row, with `SpectralNorm` around those that have a matrix if it is asked for."""
    linear = (nn.Linear, nn.Conv2d)
    return nn.Sequential(*(SpectralNorm(m) if spectral_norm and isinstance(m, linear) else m for m in layers))


class SpectralNorm(nn.Module):
    """A linear layer or a convolution whose weights are divided by their largest singular value (Miyato et
    al. 2018, arXiv:1802.05957). The weights count as a matrix with a row for each output.

    The value is estimated by power iteration, one more at each call in training mode with gradients. None
    flows through the singular vectors. That of torch cannot be pickled, and estimates in
    bfloat16 under autocast.
    """

    left: Tensor

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("left", torch.randn(len(layer.weight)))
        for _ in range(15):
            self._norm()

    def _norm(self) -> Tensor:
        weight = self.layer.weight.flatten(1)
        with torch.no_grad():  # products by element are in float32 under autocast
            right = normalize((weight * self.left[:, None]).sum(0), dim=0)
        image = (weight * right).sum(1)
        if self.training and torch.is_grad_enabled():
            self.left.copy_(normalize(image.detach(), dim=0))
        return torch.linalg.vector_norm(image)

    def forward(self, x: Tensor) -> Tensor:
        norm, bias = self._norm(), self.layer.bias
        y = self.layer(x) / norm  # three times as fast as functional_call with other weights
        return y if bias is None else y + (1 - 1 / norm) * bias.view(-1, *[1] * (y.ndim - 2))
