"""A small convolutional classifier of images, whose features serve to compare sets of images."""

import math

from torch import Tensor, nn

from ebmlearn.architecture import Net
from ebmlearn.nets._layers import check_images


class Classifier(Net):
    """A small convolutional classifier whose last hidden layer are the features.

    Convolutions (4 x 4, stride 2, padding 1), with batch normalisation and SiLU, halve the image until its
    side is at most 4; then come the features and a linear layer to the logits.

    Args:
        image_shape: ``(C, H, W)``, with sides of at least 2.
        n_outputs: Number of logits.
        n_features: Number of features.
        width: Channels of the first convolution; each further one has twice as many.

    Attributes:
        accuracy: On the test set, in [0, 1]; NaN until
            `~ebmlearn.methods.classifier.train_classifier` has measured it.

    Raises:
        ValueError: If ``image_shape`` is off, or ``x`` has another shape.
    """

    def __init__(
        self, image_shape: tuple[int, ...], n_outputs: int, *, n_features: int = 64, width: int = 32
    ) -> None:
        super().__init__()
        if len(image_shape) != 3 or min(image_shape[1:]) < 2:
            raise ValueError(f"image_shape is {tuple(image_shape)}; expected (C, H, W) with sides >= 2")
        self.image_shape, self.accuracy = tuple(image_shape), math.nan
        n_in, height, n_columns = image_shape
        layers: list[nn.Module] = []
        while not layers or min(height, n_columns) > 4:
            convolution = nn.Conv2d(n_in, width, 4, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(width), nn.SiLU()]
            n_in, width, height, n_columns = width, 2 * width, height // 2, n_columns // 2
        layers += [nn.Flatten(), nn.Linear(n_in * height * n_columns, n_features), nn.SiLU()]
        self.features, self.logits = nn.Sequential(*layers), nn.Linear(n_features, n_outputs)

    @property
    def name(self) -> str:
        """What a table of distances says about these features."""
        n_features = self.logits.in_features
        return f"{n_features} of a classifier with test accuracy {self.accuracy:.3f}"

    def forward(self, x: Tensor) -> Tensor:
        """Features, ``(B, C, H, W)`` to ``(B, n_features)``."""
        check_images(x, self.image_shape)
        return self.features(x)
