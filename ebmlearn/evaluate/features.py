"""Features of images, for `ebmlearn.evaluate.images`: a classifier trained on the spot, or Inception."""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ebmlearn.method import Method
from ebmlearn.train import fit

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"


class Classifier(nn.Module):
    """A small convolutional classifier whose last hidden layer are the features.

    Convolutions (4 x 4, stride 2, padding 1), with batch normalisation and SiLU, halve the image until its
    side is at most 4; then come the features and a linear layer to the logits.

    Args:
        image_shape: ``(C, H, W)``, with sides of at least 2.
        n_outputs: Number of logits.
        n_features: Number of features.
        width: Channels of the first convolution; each further one has twice as many.

    Attributes:
        accuracy: On the test set, in [0, 1]; NaN until `train_classifier` has measured it.

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
        if x.shape[1:] != self.image_shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; this classifier was built for (B, {self.image_shape})"
            )
        return self.features(x)


class _Classification(Method):
    """Cross-entropy. A batch holds row numbers, so that an image and its label stay together in ``fit``."""

    def __init__(self, net: Classifier, x: Tensor, y: Tensor, steps: int) -> None:
        super().__init__()
        self.net = net
        self._data = x, y
        self.add_optimizer("net", net.parameters(), lambda t: 2e-3 * (1 - t / steps), torch.optim.Adam)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        x, y = (values[batch] for values in self._data)
        logits = self.net.logits(self.net(x))
        if y.ndim == 1:
            loss = F.cross_entropy(logits, y)
        else:
            loss = F.binary_cross_entropy_with_logits(logits, y.to(logits.dtype))
        self.update("net", loss)
        return {"loss": loss.detach()}


def train_classifier(
    x: Tensor,
    y: Tensor,
    x_test: Tensor,
    y_test: Tensor,
    *,
    steps: int = 1000,
    batch_size: int = 128,
    n_features: int = 64,
    seed: int = 0,
    progress: bool = True,
) -> Classifier:
    """Train a small classifier on a labelled data set: features for distances where Inception is not at hand.

    Trained on the kind of images in question, it sees what separates their classes, and little else. Its
    distances compare models of one data set that are judged by one net, and nothing beyond: they are no FID.
    The defaults take about a minute on one core, for a test accuracy of 0.99 on MNIST and 0.70 on CIFAR-10.

    The result depends on the arguments alone (and in its last bits on the machine), the global random numbers
    are left as they were, and nothing is written: keep it with ``torch.save(net.state_dict(), ...)``.

    Args:
        x: Images for training, shape ``(N, C, H, W)``.
        y: Their labels: classes from 0, shape ``(N,)``, or attributes that are 0 or 1, shape ``(N, k)``.
        x_test: Other images, for the accuracy.
        y_test: Their labels. The accuracy for attributes is the mean over them.
        steps: Number of updates (Adam, learning rate falling linearly from 0.002 to 0).
        batch_size: Images in a batch.
        n_features: Size of the last hidden layer. A Fréchet distance needs more samples than that.
        seed: Of the weights and of the order of the data.
        progress: Show a bar, where somebody is watching.

    Returns:
        The classifier in evaluation mode, with its ``accuracy``; called, it gives features.

    Raises:
        ValueError: If images and labels do not fit together, or labels are no integers or negative.

    Example:
        >>> from ebmlearn.data import load
        >>> net = train_classifier(*load("digits"), *load("digits", "test"), steps=100, progress=False)
        >>> net(torch.zeros(2, 1, 8, 8)).shape, net.accuracy > 0.9
        (torch.Size([2, 64]), True)
    """
    for images, labels, which in ((x, y, "training"), (x_test, y_test, "test")):
        if images.shape[1:] != x.shape[1:] or images.ndim != 4 or len(labels) != len(images):
            raise ValueError(
                f"{which} images have shape {tuple(images.shape)} and their labels {tuple(labels.shape)}; "
                "expected (N, C, H, W), the same (C, H, W) in both sets, and (N,) or (N, k)"
            )
        if labels.shape[1:] != y.shape[1:] or labels.ndim > 2 or labels.is_floating_point():
            raise ValueError(
                f"{which} labels have shape {tuple(labels.shape)} and dtype {labels.dtype}; expected "
                "integers, of shape (N,) or (N, k), alike in both sets"
            )
        top = 1 if y.ndim == 2 else int(y.max())
        if labels.min() < 0 or labels.max() > top:
            raise ValueError(
                f"{which} labels go from {int(labels.min())} to {int(labels.max())}; expected 0 to {top}, "
                "the classes of the training set (attributes: 0 or 1)"
            )
    n_outputs = y.shape[1] if y.ndim == 2 else int(y.max()) + 1
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(seed)
        net = Classifier(tuple(x.shape[1:]), n_outputs, n_features=n_features).to(x.device, x.dtype)
        rows = torch.arange(len(x))
        fit(_Classification(net, x, y, steps), rows, steps=steps, batch_size=batch_size, progress=progress)
    net.eval()
    with torch.no_grad():
        logits = torch.cat([net.logits(net(batch)) for batch in x_test.split(1000)])
    guess = logits.argmax(1) if y.ndim == 1 else (logits > 0).long()
    net.accuracy = (guess == y_test).double().mean().item()
    return net


def inception(weights: str | Path | None = None) -> Callable[[Tensor], Tensor]:
    """The 2,048 features of FID and KID: the last pooling layer of Inception v3 (Szegedy et al. 2016).

    Through torch-fidelity, which reproduces the network, the resizing and the weights of the original FID
    code. Nothing is downloaded here.

    Args:
        weights: File of the weights. None: ``weights-inception-2015-12-05-6726825d.pth`` in the folder
            ``checkpoints`` of ``torch.hub.get_dir()``, where torch-fidelity keeps its own download.

    Returns:
        A function from images ``(B, C, H, W)`` in [-1, 1] with one or three channels to ``(B, 2048)``. As in
        a saved image, pixels are rounded to 256 levels and values beyond [-1, 1] become black or white; a
        grey image is three equal channels. Images are resized to 299 x 299: small ones are much enlarged.

    Raises:
        ImportError: If torch-fidelity is not installed.
        FileNotFoundError: If there are no weights.
        ValueError: If the file is not the published one (its SHA-256 begins with ``6726825d``), or images
            have another number of channels.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise ImportError(
            "Inception features need torch-fidelity and torchvision: pip install torch-fidelity. Without: "
            "ebmlearn.evaluate.features.train_classifier"
        ) from error
    path = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE if weights is None else Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"no Inception weights at {path}; download {INCEPTION_URL} to there, or say where they are: "
            "inception(weights=...). Without: ebmlearn.evaluate.features.train_classifier"
        )
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    if not checksum.startswith("6726825d"):
        raise ValueError(
            f"{path} is damaged or another file: its SHA-256 begins with {checksum[:8]}, expected 6726825d; "
            f"download {INCEPTION_URL} anew"
        )
    net = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path))

    def features(x: Tensor) -> Tensor:
        if x.shape[1] not in (1, 3):
            raise ValueError(f"x has shape {tuple(x.shape)}; Inception takes one or three channels")
        levels = (127.5 * (x.clamp(-1, 1) + 1)).round().to(torch.uint8)
        return net.to(x.device)(levels.expand(-1, 3, -1, -1))[0]

    features.__name__ = "Inception"
    return features
