"""A residual classifier of images as a function of its weights."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear, pad, relu

from ebmlearn import check
from ebmlearn.nets.target import Layer, TargetNet, maxima, unit_scale

EPS = 1e-5


class ResNetTarget(TargetNet):
    """A residual net (He et al. 2016, arXiv:1512.03385) in the form of ``train_cifar10_resnet32_11.py`` of
    github.com/sliorde/hypernetworks: every convolution is normalised, with scale 1 and offset 0 and no
    weights for them, over the pixels of each channel of *one image*. So what is said of an image depends on
    no other.

    A convolution of stride 2 and the maximum of 3 x 3 pixels, of stride 2, reduce the image to a quarter.
    Stages of residual blocks of two 3 x 3 convolutions follow; each stage but the first doubles the filters
    and halves the image, with a 1 x 1 convolution beside its first block. Then come the mean over the image
    and a linear layer. Convolutions have no bias. Padding is symmetric, where TensorFlow's puts more at one
    side.

    Its symmetries: each filter can be multiplied by any ``c > 0``, and nothing else changes, since the
    normalisation divides by it (but for the 10⁻⁵ under its root); and the same row can be added to all rows
    of the last layer. ``canonical`` takes each filter to the mean square 1, and the mean row of the last
    layer to 0.

    Args:
        channels: Channels of the image.
        size: Side of the square image, of which two halvings and one for each further stage leave 2 at
            least: a normalised single pixel would be 0.
        n_outputs: Number of classes.
        width: Filters of the first stage.
        n_blocks: Blocks of each stage; (5, 5, 5) is the net with 32 layers.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> ResNetTarget().n_weights
        464442
    """

    def __init__(
        self,
        channels: int = 3,
        size: int = 32,
        n_outputs: int = 10,
        *,
        width: int = 16,
        n_blocks: Sequence[int] = (5, 5, 5),
    ) -> None:
        check.count("channels", channels)
        check.count("size", size)
        check.count("n_outputs", n_outputs)
        check.count("width", width)
        n_blocks = check.counts("n_blocks", n_blocks)
        if size < 2 ** (2 + len(n_blocks)):
            raise ValueError(
                f"size is {size}; with {len(n_blocks)} stages expected at least {2 ** (2 + len(n_blocks))}"
            )
        layers, n_in = [_filters(channels, width, 3)], width
        for stage, blocks in enumerate(n_blocks):
            n = width * 2**stage
            for block in range(blocks):
                layers += [_filters(n_in, n, 3), _filters(n, n, 3)]
                if stage and not block:
                    layers.append(_filters(n_in, n, 1))
                n_in = n
        layers.append(Layer(n_outputs, n_in, math.sqrt(1 / n_in)))
        super().__init__((channels, size, size), n_outputs, layers)
        self.n_blocks = n_blocks
        self.n_gauge = sum(layer.n_units for layer in layers[:-1]) + layers[-1].length

    def single(self, rows: list[Tensor], x: Tensor) -> Tensor:
        left = iter(zip(self.layers, rows, strict=True))

        def normalised(x: Tensor, stride: int) -> Tensor:
            layer, (row,) = next(left)
            kernels = row.unflatten(1, (-1, layer.kernel, layer.kernel))
            x = conv2d(x, kernels, stride=stride, padding=layer.kernel // 2)
            variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
            return (x - mean) * (variance + EPS).rsqrt()

        x = maxima(pad(relu(normalised(x, 2)), (1, 1, 1, 1)), 3)
        for stage, blocks in enumerate(self.n_blocks):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                change = normalised(relu(normalised(x, stride)), 1)
                x = relu(change + (normalised(x, 2) if stride == 2 else x))
        _, (row,) = next(left)
        return linear(x.mean((2, 3)), row[:, :-1], row[:, -1])

    def canonical(self, theta: Tensor) -> Tensor:
        self.check(theta)
        *filters, last = self.rows(theta)
        rows = [row / unit_scale(row, i)[..., None] for i, row in enumerate(filters)]
        return torch.cat([row.flatten(1) for row in [*rows, last - last.mean(1, keepdim=True)]], 1)


def _filters(n_in: int, n: int, kernel: int) -> Layer:
    fan_in = n_in * kernel**2
    return Layer(n, fan_in, math.sqrt(2 / fan_in), kernel, bias=False)
