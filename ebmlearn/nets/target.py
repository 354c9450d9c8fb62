"""Nets as functions of their weights, which come from outside: one flat vector for each of many nets."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear, relu

from ebmlearn import check
from ebmlearn.architecture import Net


class Layer(NamedTuple):
    """A layer of a target, whose weights are a matrix with a row for each unit: those of its inputs, and last
    its bias. A filter of a convolution is a unit.

    Attributes:
        n_units: Its rows.
        fan_in: Weights of a row without the bias.
        std: Standard deviation of weights at which a net begins (He et al. 2015, arXiv:1502.01852).
        kernel: Side of the kernel of a convolution; 0: fully connected.
        bias: Whether rows end in one.
    """

    n_units: int
    fan_in: int
    std: float
    kernel: int = 0
    bias: bool = True

    @property
    def length(self) -> int:
        """Elements of a row."""
        return self.fan_in + self.bias


class TargetNet(Net, ABC):
    """Abstract: a net as a function of its weights. It has none of its own.

    A vector of weights holds layer after layer, and of a layer unit after unit; see ``Layer``.

    Args:
        event_shape: Shape of one input.
        n_outputs: Number of outputs.
        layers: The layers that have weights, first to last.

    Attributes:
        n_gauge: Number of directions in the space of weights along which the function never changes.
    """

    n_gauge: int

    def __init__(self, event_shape: tuple[int, ...], n_outputs: int, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.event_shape, self.n_outputs, self.layers = event_shape, n_outputs, tuple(layers)

    @property
    def n_weights(self) -> int:
        """Elements of a vector of weights, the biases among them."""
        return sum(layer.n_units * layer.length for layer in self.layers)

    def forward(self, theta: Tensor, x: Tensor) -> Tensor:
        """Outputs of each net for each input.

        Args:
            theta: The weights of ``B`` nets, shape ``(B, n_weights)``.
            x: Inputs for all nets, shape ``(N, *event)``, or for each net its own, ``(B, N, *event)``.

        Returns:
            Outputs, shape ``(B, N, n_outputs)``.

        Raises:
            TypeError: If one is no tensor.
            ValueError: If a shape does not fit.
        """
        self.check(theta)
        own = self.is_own(x, len(theta))
        # all nets in one pass: products of matrices in batches, convolutions in groups
        outputs = torch.func.vmap(lambda t, v: self.single(self.rows(t[None]), v), (0, 0 if own else None))
        return outputs(theta, x)

    @abstractmethod
    def single(self, rows: list[Tensor], x: Tensor) -> Tensor:
        """Outputs of one net, the first axis of whose rows is 1, ``(N, *event)`` to ``(N, n_outputs)``."""

    @abstractmethod
    def canonical(self, theta: Tensor) -> Tensor:
        """The vector that stands for all with the same function, so far as symmetries with a parameter go;
        that units may change their places is left. It can be differentiated, and finds itself.

        Args:
            theta: Weights, shape ``(B, n_weights)``.

        Returns:
            Weights of the same nets, shape ``(B, n_weights)``.

        Raises:
            ValueError: If the shape is another, or a unit that has a scale has no weight but 0.
        """

    def rows(self, theta: Tensor) -> list[Tensor]:
        """The weights of each layer, ``(B, n_units, fan_in + 1)``, the bias last where there is one."""
        parts = theta.split([layer.n_units * layer.length for layer in self.layers], 1)
        return [p.unflatten(1, (layer.n_units, -1)) for p, layer in zip(parts, self.layers, strict=True)]

    def initial(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Weights at which nets begin to learn: Gaussian, with the layers' ``std``, and biases 0.

        Returns:
            Weights, shape ``(n, n_weights)``.

        Raises:
            ValueError, TypeError: If ``n`` is no number >= 0, or the generator none.
        """
        check.draws(n, generator)
        rows = []
        for layer in self.layers:
            weight = layer.std * torch.randn(n, layer.n_units, layer.fan_in, generator=generator)
            rows.append(torch.cat([weight, torch.zeros(n, layer.n_units, int(layer.bias))], 2).flatten(1))
        return torch.cat(rows, 1)

    def check(self, theta: Tensor) -> None:
        """Refuse weights of another shape than ``(B, n_weights)``.

        Raises:
            TypeError: If they are no tensor.
            ValueError: If their shape is another, or they are no floating numbers.
        """
        check.batch("theta", theta, event=(self.n_weights,))

    def is_own(self, x: Tensor, n: int) -> bool:
        """Whether each of ``n`` nets has inputs of its own.

        Raises:
            TypeError: If ``x`` is no tensor.
            ValueError: If its shape is neither that nor one for all.
        """
        check.tensor("x", x)
        event = self.event_shape
        if x.shape[1:] == event:
            return False
        if x.ndim == 2 + len(event) and x.shape[2:] == event and len(x) == n:
            return True
        sizes = ", ".join(map(str, event))
        raise ValueError(
            f"x has shape {(*x.shape,)}; expected (N, {sizes}) for all nets, or ({n}, N, {sizes}) for each "
            "its own"
        )

    def extra_repr(self) -> str:
        return f"event_shape={self.event_shape}, n_outputs={self.n_outputs}, n_weights={self.n_weights}"


class ReLUTarget(TargetNet):
    """Layers with ReLU, and a linear one at the end; a classifier's or a regression's.

    Its symmetries: the weights and the bias of a hidden unit can be divided by any ``c > 0`` if all that
    leave it are multiplied by ``c``, since ``relu(a / c) = relu(a) / c``, and a maximum does the same. In
    front of a softmax the same row can be added to all rows of the last layer. ``canonical`` takes each
    hidden row to the mean square 1, layer by layer, and the mean row of the last layer to 0.

    Args:
        event_shape: Shape of one input.
        n_outputs: Number of classes, or of outputs.
        hidden: For each hidden layer its number of units, which sees all that comes before; or ``(filters,
            kernel)`` for a convolution of an image ``(C, H, W)``, of odd kernel and as large as its input,
            with ReLU and the maximum of each 2 x 2 pixels. Convolutions come first. None: linear.
        softmax: Whether the outputs are logits of classes.

    Raises:
        ValueError: If an argument is out of its range, or the image is too small for so many halvings.

    Example:
        >>> net = ReLUTarget((1, 28, 28), 10, ((32, 5), (16, 5), 8))
        >>> net.n_weights, net.n_gauge
        (20018, 65)
        >>> theta, x = net.initial(3), torch.randn(5, 1, 28, 28)
        >>> net(theta, x).shape, net.canonical(theta).shape
        (torch.Size([3, 5, 10]), torch.Size([3, 20018]))
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        n_outputs: int,
        hidden: Sequence[int | tuple[int, int]] = (16,),
        *,
        softmax: bool = True,
    ) -> None:
        event_shape = check.counts("event_shape", event_shape)
        check.count("n_outputs", n_outputs)
        check.choice("softmax", softmax, (True, False))
        super().__init__(event_shape, n_outputs, _layers(event_shape, n_outputs, hidden))
        self.softmax = softmax
        n_hidden = sum(layer.n_units for layer in self.layers[:-1])
        self.n_gauge = n_hidden + (self.layers[-1].length if softmax else 0)

    def single(self, rows: list[Tensor], x: Tensor) -> Tensor:
        for layer, (row,) in zip(self.layers, rows, strict=True):
            weight, bias = row[:, :-1], row[:, -1]
            if layer.kernel:
                kernels = weight.unflatten(1, (-1, layer.kernel, layer.kernel))
                x = maxima(relu(conv2d(x, kernels, bias, padding=layer.kernel // 2)), 2)
            else:
                x = linear(x.flatten(1), weight, bias)
                x = x if layer is self.layers[-1] else relu(x)
        return x

    def canonical(self, theta: Tensor) -> Tensor:
        self.check(theta)
        rows = self.rows(theta)
        for i, row in enumerate(rows[:-1]):
            row, after = rows[i], rows[i + 1]
            scale = unit_scale(row, i)
            rows[i] = row / scale[..., None]
            # all weights of the next layer that see a unit: of one pixel of a filter, or of several
            seen = after[..., :-1].unflatten(2, (row.shape[1], -1)) * scale[:, None, :, None]
            rows[i + 1] = torch.cat([seen.flatten(2), after[..., -1:]], 2)
        if self.softmax:
            rows[-1] = rows[-1] - rows[-1].mean(1, keepdim=True)
        return torch.cat([row.flatten(1) for row in rows], 1)


def maxima(x: Tensor, size: int) -> Tensor:
    """The maximum of each ``size x size`` pixels of images, 2 pixels apart in both directions. Its slope is
    the same to the last bit each time on a GPU, too, which that of ``max_pool2d`` is not."""
    for axis in (-2, -1):
        n = (x.shape[axis] - size) // 2 + 1
        found = x.narrow(axis, 0, 2 * n - 1)
        for i in range(1, size):
            found = torch.maximum(found, x.narrow(axis, i, 2 * n - 1))
        x = found[..., ::2, :] if axis == -2 else found[..., ::2]
    return x


def unit_scale(rows: Tensor, layer: int) -> Tensor:
    """Root mean square of each row, ``(B, n_units, length)`` to ``(B, n_units)``.

    Raises:
        ValueError: If a row is 0.
    """
    scale = rows.square().mean(2).sqrt()
    if not scale.detach().all():
        net, unit = (scale == 0).nonzero()[0].tolist()
        raise ValueError(
            f"unit {unit} of layer {layer} of net {net} has no weight in theta but 0, and so no scale to be "
            "divided by; expected another number in it"
        )
    return scale


def _layers(
    event_shape: tuple[int, ...], n_outputs: int, hidden: Sequence[int | tuple[int, int]]
) -> list[Layer]:
    if isinstance(hidden, int | str) or not isinstance(hidden, Sequence):
        raise ValueError(f"hidden is {check.shown(hidden)}; expected a sequence, such as (16,)")
    shape, layers = event_shape, []
    for one in hidden:
        if isinstance(one, tuple | list):
            n, kernel = check.counts("hidden", one) if len(one) == 2 else (0, 0)
            if kernel % 2 == 0 or len(shape) != 3 or min(shape[1:]) < 2:
                raise ValueError(
                    f"hidden has {check.shown(one)} after an output of shape {shape}; expected (filters, odd "
                    "kernel) after (C, H, W) with sides >= 2, and convolutions first"
                )
            fan_in, shape = shape[0] * kernel**2, (n, shape[1] // 2, shape[2] // 2)
        else:
            n, kernel, fan_in = check.count("hidden", one), 0, math.prod(shape)
            shape = (n,)
        layers.append(Layer(n, fan_in, math.sqrt(2 / fan_in), kernel))
    fan_in = math.prod(shape)
    return [*layers, Layer(n_outputs, fan_in, math.sqrt(1 / fan_in))]
