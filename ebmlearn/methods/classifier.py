"""A classifier, trained on the spot: features of images where Inception is not at hand.

=====================  =======================================================
Here                   In words
=====================  =======================================================
``x``, ``y``           images and their labels, a batch of both
``net.logits``         the last layer, from features to logits
=====================  =======================================================

Algorithm, for each batch:

1. Logits of the images.
2. A step on their cross-entropy with the labels: softmax for classes, a sigmoid each for attributes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ebmlearn.nets import Classifier
from ebmlearn.schedules import Schedule, linear
from ebmlearn.train import Method, OptimizerFactory, fit


class Classification(Method):
    """Learning to classify from images and labels: ``fit(Classification(net), (x, y), steps=1000)``.

    A batch is ``(x, y)``: images ``(B, C, H, W)``, and integers, either classes from 0, shape ``(B,)``, or
    attributes that are 0 or 1, shape ``(B, k)``.

    Args:
        net: What is trained.
        lr: Learning rate, a number or a schedule.
        optimizer: ``factory(parameters, lr=...)``.
    """

    def __init__(
        self, net: Classifier, *, lr: float | Schedule = 2e-3, optimizer: OptimizerFactory = torch.optim.Adam
    ) -> None:
        super().__init__()
        self.net = net
        self.add_optimizer("net", net.parameters(), lr, optimizer)

    def step(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        x, y = batch
        logits = self.net.logits(self.net(x))  # 1
        if y.ndim == 1:
            loss = F.cross_entropy(logits, y)
        else:
            loss = F.binary_cross_entropy_with_logits(logits, y.to(logits.dtype))
        self.update("net", loss)  # 2
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
        method = Classification(net, lr=linear(2e-3, steps))
        fit(method, (x, y), steps=steps, batch_size=batch_size, progress=progress)
    net.eval()
    with torch.no_grad():
        logits = torch.cat([net.logits(net(batch)) for batch in x_test.split(1000)])
    guess = logits.argmax(1) if y.ndim == 1 else (logits > 0).long()
    net.accuracy = (guess == y_test).double().mean().item()
    return net
