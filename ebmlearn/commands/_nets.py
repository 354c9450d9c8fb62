"""How right the nets are whose weights a run samples."""

from typing import Any

import torch
from torch import Tensor

from ebmlearn.data import Images
from ebmlearn.recipes import Recipe
from ebmlearn.sample import evaluation_mode

N_NETS = 100
"""Nets that are drawn."""
AT_ONCE = 500
"""Images that all nets see in one pass."""


@torch.no_grad()
def accuracies(recipe: Recipe, method: Any, images: Images, n: int, data: str) -> dict[str, Any]:
    """Draw nets, and print their shares of right answers on ``n`` test images: of single nets with the
    standard deviation over nets, and of the mean of their probabilities.

    Raises:
        ValueError: If the images have no classes, or there are fewer.
    """
    if n > len(images.x):
        raise ValueError(f"-n is {n}; there are {len(images.x)} test images of {data}")
    y, _ = recipe.classes(images.y, data)
    y, device = y[:n], next(method.parameters()).device
    right, ensemble = torch.zeros(N_NETS), 0.0
    with evaluation_mode():
        theta = method.sample(N_NETS)
        for x, wanted in zip(images.x[:n].split(AT_ONCE), y.split(AT_ONCE), strict=True):
            said: Tensor = torch.cat(
                [method.energy.predict(part, x.to(device)).cpu() for part in theta.split(method.n_nets)]
            )
            right += (said.argmax(2) == wanted).sum(1)
            ensemble += int((said.mean(0).argmax(1) == wanted).sum())
    single = right / n
    found = {
        "nets": N_NETS,
        "accuracy": single.mean().item(),
        "accuracy_std": single.std().item(),
        "ensemble_accuracy": ensemble / n,
    }
    print(f"on {n:,} test images of {data}")
    print(f"accuracy of {N_NETS} nets: {found['accuracy']:.4f} ± {found['accuracy_std']:.4f} (over nets)")
    print(f"accuracy of their ensemble: {found['ensemble_accuracy']:.4f}")
    return found
