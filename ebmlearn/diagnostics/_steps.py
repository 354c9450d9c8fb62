"""What one step of training says of itself."""

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy
from ebmlearn.objectives import ml_gap


@torch.no_grad()
def energy_gap(energy: Energy, x_data: Tensor, x_model: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Energy gap ``d_t = (E_data[E] - E_chain[E]) / T`` (Nijkamp et al. 2020, arXiv:1903.12370, section 3).

    Negative: the update makes the landscape steeper (expansion). Positive: flatter (contraction). A healthy
    run oscillates about 0; a gap that falls without end is the signature of collapse.

    Args:
        energy: The energy.
        x_data: Data, shape ``(B, *event)``.
        x_model: Ends of the chains, shape ``(B', *event)``.
        temperature: The temperature of the chains, > 0: the gap is that of ``E/T``, the energy they sample.

    Returns:
        The gap, shape ``()``, in nats.

    Raises:
        ValueError: If the temperature is not positive, or as `ml_gap`.
    """
    check.number("temperature", temperature, hint=" (a chain without noise has none)")
    return ml_gap(energy, x_data, x_model) / temperature
