"""The gradient of the likelihood, from samples of the model."""

from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, energy_at


def ml_gap(energy: Energy, x_data: Tensor, x_model: Tensor) -> Tensor:
    """Mean energy of data minus mean energy of model samples; its gradient is that of the negative
    log-likelihood.

    ``∇_θ -E_data[log p_θ(x)] = E_data[∇_θ E_θ(x)] - E_{p_θ}[∇_θ E_θ(x)]``. The samples are constants: the
    gradient does not flow through the chain that made them. The *value* is no likelihood: it is near 0 at
    any fixed point, whatever the density there.

    Args:
        energy: The energy.
        x_data: Data, shape ``(B, *event)``.
        x_model: Samples of the model, shape ``(B', *event)``.

    Returns:
        The gap, shape ``()``, in units of energy.

    Raises:
        ValueError: If the event shapes differ, a batch is empty or the energy has the wrong shape.
        TypeError: If a batch is no tensor.

    Example:
        >>> import torch
        >>> precision = torch.tensor(2.0, requires_grad=True)
        >>> gap = ml_gap(lambda x: 0.5 * precision * x.square().sum(1), torch.ones(4, 1), torch.zeros(4, 1))
        >>> gap.backward()
        >>> precision.grad  # the data lie farther out than the samples: descent lowers the precision
        tensor(0.5000)
    """
    for name, x in (("x_data", x_data), ("x_model", x_model)):
        check.tensor(name, x)
        if not x.ndim or not len(x):
            raise ValueError(f"{name} has shape {tuple(x.shape)}; expected (B, *event) with B >= 1")
    if x_data.shape[1:] != x_model.shape[1:]:
        raise ValueError(
            f"data have event shape {tuple(x_data.shape[1:])}, samples {tuple(x_model.shape[1:])}; "
            "they must agree"
        )
    return energy_at(energy, x_data).mean() - energy_at(energy, x_model.detach()).mean()
