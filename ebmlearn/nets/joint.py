"""Joint energies of data and latents: a tower of layers for each of them, and a perceptron on both."""

from abc import ABC
from collections.abc import Callable, Sequence
from math import prod
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ebmlearn import check
from ebmlearn.nets._layers import Readout, hidden_layers, stack
from ebmlearn.nets.conv import ConvEnergy
from ebmlearn.nets.eblvm import JointNet


class _JointTowers(JointNet, ABC):
    """What the two have in common; a subclass makes the tower of ``x``."""

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int,
        tower: Sequence[nn.Module],
        n_features: int,
        latent_widths: Sequence[int],
        joint_widths: Sequence[int],
        activation: Callable[[], nn.Module],
        spectral_norm: bool,
        bounded: bool,
        reference_std: float | None,
    ) -> None:
        super().__init__(event_shape, latent_dim)
        check.choice("spectral_norm", spectral_norm, (True, False))
        check.choice("bounded", bounded, (True, False))
        if reference_std is not None:
            check.number("reference_std", reference_std, hint=", or None for no reference")
        latent_sizes = [latent_dim, *check.counts("latent_widths", latent_widths, some=False)]
        joint_widths = check.counts("joint_widths", joint_widths, some=False)
        joint_sizes = [n_features + latent_sizes[-1], *joint_widths]
        self.tower = stack(tower, spectral_norm)
        self.latent_tower = stack(hidden_layers(latent_sizes, activation), spectral_norm)
        net = [*hidden_layers(joint_sizes, activation), Readout(joint_sizes[-1])]
        self.net = stack(net, spectral_norm)
        self.bounded, self.reference_std = bounded, reference_std

    def joint(self, v: Tensor, h: Tensor) -> Tensor:
        check.batch("v", v, event=self.event_shape)
        check.batch("h", h, event=(self.latent_dim,))
        if len(v) != len(h):
            raise ValueError(f"v has {len(v)} rows, h {len(h)}; expected one h for each v")
        energy = self.net(torch.cat([self.tower(v), self.latent_tower(h)], 1))
        if self.bounded:
            energy = softplus(energy)
        if self.reference_std is not None:
            energy = energy + 0.5 * self.stack(v, h).square().sum(1) / self.reference_std**2
        return energy

    def extra_repr(self) -> str:
        return f"event_shape={self.event_shape}, bounded={self.bounded}, reference_std={self.reference_std}"


class JointMLPEnergy(_JointTowers):
    """``E(x, z) = D(x, z) + (‖x‖² + ‖z‖²) / (2 r²)``: ``D`` is a perceptron on the outputs of two others, one
    of ``x`` and one of ``z``.

    The last layer has no bias: an energy is defined up to a constant.

    Args:
        event_shape: Shape of one ``x``.
        latent_dim: Number of elements of ``z``.
        widths: Widths of the hidden layers of ``x``; without any, ``x`` itself is joined.
        latent_widths: Those of ``z``, likewise; as ``widths`` if None.
        joint_widths: Those after the two are joined.
        activation: Makes an activation.
        spectral_norm: Whether the weights of each layer are divided by their largest singular value, which
            bounds the slope of ``D`` (Miyato et al. 2018, arXiv:1802.05957). It is estimated by power
            iteration, one more at each call in training mode with gradients.
        bounded: Whether ``softplus(D)``, which is positive, stands in the place of ``D``.
        reference_std: ``r`` > 0, of a Gaussian that makes ``exp(-E)`` integrable; None: no such term.

    Raises:
        ValueError: If an argument is out of its range, or ``x`` or ``z`` has another shape.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int,
        widths: Sequence[int] = (128,),
        *,
        latent_widths: Sequence[int] | None = None,
        joint_widths: Sequence[int] = (128,),
        activation: Callable[[], nn.Module] = nn.SiLU,
        spectral_norm: bool = False,
        bounded: bool = False,
        reference_std: float | None = None,
    ) -> None:
        event_shape = check.counts("event_shape", event_shape)
        widths = check.counts("widths", widths, some=False)
        sizes = [prod(event_shape), *widths]
        super().__init__(
            event_shape,
            latent_dim,
            [nn.Flatten(), *hidden_layers(sizes, activation)],
            sizes[-1],
            widths if latent_widths is None else latent_widths,
            joint_widths,
            activation,
            spectral_norm,
            bounded,
            reference_std,
        )


class JointConvEnergy(_JointTowers):
    """`JointMLPEnergy` for images, whose ``x`` goes through the convolutions of a `ConvEnergy`.

    Args:
        channels: Channels of the image.
        size: Side of the square image; each convolution (4 x 4, stride 2, padding 1) halves it, rounding
            down.
        latent_dim: Number of elements of ``z``.
        widths: Channels after each convolution.
        latent_widths: Widths of the hidden layers of ``z``; without any, ``z`` itself is joined.
        joint_widths: Those after the two are joined.
        stem: Channels of a convolution before them that keeps the size; None: no such convolution.
        activation: Makes an activation.
        spectral_norm: As `JointMLPEnergy`. A convolution counts as the matrix of its kernel, a row for each
            channel that it makes: its slope may be somewhat larger.
        bounded: As `JointMLPEnergy`.
        reference_std: As `JointMLPEnergy`.

    Raises:
        ValueError: If the image is too small for so many halvings, an argument is out of its range, or ``x``
            or ``z`` has another shape.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        latent_dim: int,
        widths: Sequence[int] = (32, 64, 128),
        *,
        latent_widths: Sequence[int] = (128,),
        joint_widths: Sequence[int] = (128,),
        stem: int | None = None,
        activation: Callable[[], nn.Module] = nn.SiLU,
        spectral_norm: bool = False,
        bounded: bool = False,
        reference_std: float | None = None,
    ) -> None:
        *layers, readout = ConvEnergy(channels, size, widths, stem=stem, activation=activation).net
        super().__init__(
            (channels, size, size),
            latent_dim,
            layers,
            cast(Readout, readout).in_features,
            latent_widths,
            joint_widths,
            activation,
            spectral_norm,
            bounded,
            reference_std,
        )
