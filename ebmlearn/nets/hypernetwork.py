"""Hypernetworks: from a latent to the weights of another net."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.architecture import Net
from ebmlearn.nets._layers import hidden_layers
from ebmlearn.nets.target import TargetNet

Law = Literal["uniform", "normal"]
leaky = partial(nn.LeakyReLU, 0.05)


class Hypernetwork(Net, ABC):
    """Abstract: ``θ = h(z)``, which makes a law of weights of a plain law of ``z``.

    Args:
        latent_dim: Number of elements of ``z``.
        n_weights: Number of elements of ``θ``.
        law: Of ``z``: ``"uniform"`` in ``[-1, 1]^latent_dim``, or ``"normal"``, ``N(0, I)``.
    """

    def __init__(self, latent_dim: int, n_weights: int, law: Law) -> None:
        super().__init__()
        check.choice("law", law, ("uniform", "normal"))
        self.law = law
        self.latent_dim = check.count("latent_dim", latent_dim)
        self.n_weights = check.count("n_weights", n_weights)

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Weights, ``(B, latent_dim)`` to ``(B, n_weights)``."""

    @property
    def n_parameters(self) -> int:
        """Its own parameters, which are learned."""
        return _size(self)

    def latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws of ``z``, shape ``(n, latent_dim)``.

        Raises:
            ValueError, TypeError: If ``n`` is no number >= 0, or the generator none.
        """
        check.draws(n, generator)
        like = next(self.parameters())
        z = torch.empty(n, self.latent_dim, dtype=like.dtype, device=like.device)
        return (
            z.normal_(generator=generator) if self.law == "normal" else z.uniform_(-1, 1, generator=generator)
        )

    def check(self, z: Tensor) -> None:
        """Refuse latents of another shape than ``(B, latent_dim)``.

        Raises:
            TypeError: If they are no tensor.
            ValueError: If their shape is another, or they are no floating numbers.
        """
        check.batch("z", z, event=(self.latent_dim,))


class MLPHypernetwork(Hypernetwork):
    """An affine map from ``z`` to all weights plus a multilayer perceptron: for small nets, and for energies
    in the plane.

    It begins nearly as a rotation of ``z``. In a map that folds, the nearest neighbour can lie on another
    fold, and its slope says nothing of the density; and a fold once there stays.

    Where tails reach far, as those of a Gaussian, ``law="normal"`` is the better choice: a uniform ``z`` has
    ends, which would have to go to infinity.

    Args:
        n_weights: Number of elements of ``θ``.
        latent_dim: Number of elements of ``z``.
        widths: Widths of the hidden layers; ``()``: an affine map alone, whose law is Gaussian if that of
            ``z`` is.
        activation: Makes an activation.
        law: Of ``z``, ``"uniform"`` or ``"normal"``.

    Raises:
        ValueError: If an argument is out of its range, or ``z`` has another shape.
    """

    def __init__(
        self,
        n_weights: int,
        latent_dim: int,
        widths: Sequence[int] = (64, 64),
        *,
        activation: Callable[[], nn.Module] = nn.Tanh,
        law: Law = "uniform",
    ) -> None:
        super().__init__(latent_dim, n_weights, law)
        widths = check.counts("widths", widths, some=False)
        self.affine = nn.Linear(latent_dim, n_weights)
        sizes = [latent_dim, *widths]
        layers = hidden_layers(sizes, activation)
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-1], n_weights)) if widths else None
        nn.init.orthogonal_(self.affine.weight)
        with torch.no_grad():
            for p in () if self.net is None else self.net[-1].parameters():
                p.mul_(0.1)

    def forward(self, z: Tensor) -> Tensor:
        self.check(z)
        return self.affine(z) if self.net is None else self.affine(z) + self.net(z)

    def extra_repr(self) -> str:
        return f"law={self.law!r}"


class SharedHypernetwork(Hypernetwork):
    """An extractor from ``z`` to a code for each unit of the target, and for each layer one net from the code
    of a unit to its row of weights: all units of a layer share it, which is where parameters are saved.

    What comes out is multiplied by the ``std`` of its layer, so that the first nets are as if drawn by He's
    rule.

    Args:
        target: The net whose weights are made.
        latent_dim: Number of elements of ``z``.
        extractor: Widths of the extractor's hidden layers.
        code_dims: Elements of a code; several: of each layer's.
        widths: Widths of the hidden layers of a layer's net; several such: of each layer's.
        whole: Layers, from 0, with one code and all rows at once, in place of a code for each unit.
        activation: Makes an activation.
        law: Of ``z``, ``"uniform"`` or ``"normal"``.

    Raises:
        TypeError: If the target is no `TargetNet`.
        ValueError: If an argument is out of its range, or ``z`` has another shape.

    Example:
        >>> from ebmlearn.nets import ReLUTarget
        >>> target = ReLUTarget((64,), 10, (16,))
        >>> net = SharedHypernetwork(target, 20, extractor=(100,), code_dims=8, widths=(40,))
        >>> net(net.latent(3)).shape, net.n_parameters, net.n_unshared
        (torch.Size([3, 1210]), 27190, 82078)
    """

    def __init__(
        self,
        target: TargetNet,
        latent_dim: int,
        *,
        extractor: Sequence[int] = (300, 300),
        code_dims: int | Sequence[int] = 15,
        widths: Sequence[int] | Sequence[Sequence[int]] = (100, 100),
        whole: Sequence[int] = (),
        activation: Callable[[], nn.Module] = leaky,
        law: Law = "uniform",
    ) -> None:
        check.instance("target", target, TargetNet)
        super().__init__(latent_dim, target.n_weights, law)
        n = len(target.layers)
        self.target, self.whole = target, check.counts("whole", whole, least=0, some=False)
        if any(i >= n for i in self.whole):
            raise ValueError(f"whole is {check.shown(whole)}; the target has layers 0 to {n - 1}")
        self.code_dims = _for_each("code_dims", code_dims, n)
        self.n_codes = tuple(1 if i in self.whole else t.n_units for i, t in enumerate(target.layers))
        hidden = check.counts("extractor", extractor, some=False)
        size = sum(c * d for c, d in zip(self.n_codes, self.code_dims, strict=True))
        self.extractor = perceptron((latent_dim, *hidden, size), activation)
        self.nets = nn.ModuleList()
        for i, (layer, inner) in enumerate(zip(target.layers, _widths(widths, n), strict=True)):
            length = layer.length * layer.n_units // self.n_codes[i]
            self.nets.append(perceptron((self.code_dims[i], *inner, length), activation))

    @property
    def n_unshared(self) -> int:
        """What ``n_parameters`` would be with a net for each unit, in place of one for each layer."""
        nets = zip(self.n_codes, self.nets, strict=True)
        return _size(self.extractor) + sum(codes * _size(net) for codes, net in nets)

    def forward(self, z: Tensor) -> Tensor:
        self.check(z)
        sizes = [c * d for c, d in zip(self.n_codes, self.code_dims, strict=True)]
        codes = self.extractor(z).split(sizes, 1)
        parts = zip(codes, self.code_dims, self.nets, self.target.layers, strict=True)
        # all units of all nets are one batch to their layer's net
        rows = [layer.std * net(code.reshape(-1, dim)) for code, dim, net, layer in parts]
        return torch.cat([row.reshape(len(z), -1) for row in rows], 1)

    def extra_repr(self) -> str:
        return f"law={self.law!r}, latent_dim={self.latent_dim}, whole={self.whole}"


def perceptron(sizes: tuple[int, ...], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers with an activation between; weights as He's rule has them, so that what comes out differs
    as much as what goes in, and biases 0."""
    net = nn.Sequential(*hidden_layers(sizes[:-1], activation), nn.Linear(sizes[-2], sizes[-1]))
    layers = [part for part in net if isinstance(part, nn.Linear)]
    for layer in layers:
        gain = 1 if layer is layers[-1] else 2
        nn.init.normal_(layer.weight, std=math.sqrt(gain / layer.in_features))
        nn.init.zeros_(layer.bias)
    return net


def _size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def _for_each(name: str, value: int | Sequence[int], n: int) -> tuple[int, ...]:
    """A number for each of ``n`` layers."""
    found = check.counts(name, value) if isinstance(value, Sequence) else (check.count(name, value),) * n
    if len(found) != n:
        raise ValueError(f"{name} is {check.shown(value)}; expected a number, or one for each of {n} layers")
    return found


def _widths(widths: Sequence[int] | Sequence[Sequence[int]], n: int) -> list[tuple[int, ...]]:
    """Widths for each of ``n`` layers."""
    several = isinstance(widths, Sequence) and any(isinstance(one, tuple | list) for one in widths)
    found = [check.counts("widths", one, some=False) for one in (widths if several else [widths] * n)]
    if len(found) != n:
        raise ValueError(f"widths is {check.shown(widths)}; expected such as (40, 40), or {n} of them")
    return found
