"""An energy that is linear in its parameters: the exponential family."""

from collections.abc import Callable

from torch import Tensor, nn

from ebmlearn.architecture import Net


class LinearEnergy(Net):
    """``E(x) = θ·h(x)``; maximum likelihood on it matches the moments ``E[h(x)]`` of data and model.

    Args:
        features: The sufficient statistics ``h``, ``(B, *event)`` to ``(B, K)``.
        theta: Initial parameters, shape ``(K,)``.

    Raises:
        ValueError: If ``h(x)`` is not of shape ``(B, K)``.
    """

    def __init__(self, features: Callable[[Tensor], Tensor], theta: Tensor) -> None:
        super().__init__()
        self.features = features
        self.theta = nn.Parameter(theta.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        h = self.features(x)
        if h.shape != (len(x), len(self.theta)):
            raise ValueError(
                f"features returned shape {tuple(h.shape)}; expected {(len(x), len(self.theta))} for "
                f"{len(self.theta)} parameters"
            )
        return h @ self.theta
