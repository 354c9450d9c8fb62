"""What the diagnostics of chains and series share: checks, halves, ranks and lags."""

import torch
from torch import Tensor

from ebmlearn import check


def check_chains(chains: Tensor) -> Tensor:
    """The chains in float64, if they are long enough and finite."""
    check.floats("chains", chains)
    if chains.ndim < 2 or len(chains) < 4 or chains.numel() == 0:
        raise ValueError(
            f"chains have shape {tuple(chains.shape)}; expected (n_steps, B, *event) with n_steps >= 4, as "
            "run(..., keep=positions) gives"
        )
    if not chains.isfinite().all():
        raise ValueError("chains have values that are not finite; a chain has diverged, lower its step_size")
    return chains.double()


def check_moving(chains: Tensor) -> None:
    """Refuse coordinates in which every chain is constant."""
    stuck = (chains == chains[:1]).all(0).all(0)
    if stuck.any():
        raise ValueError(
            f"no chain moves in {int(stuck.sum())} of {stuck.numel()} coordinates, so nothing can be said of "
            "them: every proposal was rejected (lower step_size), or the coordinate is a constant (drop it)"
        )


def split_chains(chains: Tensor) -> Tensor:
    """Both halves of every chain as chains of their own."""
    chains = check_chains(chains)
    n = len(chains) // 2
    return torch.cat([chains[:n], chains[-n:]], 1)


def lagged_products(x: Tensor, y: Tensor) -> Tensor:
    """``Σ_t x_t y_(t+k)`` along dimension 0: lags ``0 … n - 1``, then a 0, then ``-(n - 1) … -1``."""
    # padded to twice the length, the circular correlation of the FFT is the one on a line
    n = 2 * len(x)
    return torch.fft.irfft(torch.fft.rfft(x, n=n, dim=0).conj() * torch.fft.rfft(y, n=n, dim=0), n=n, dim=0)


def normal_scores(chains: Tensor) -> Tensor:
    """Normal quantiles of the ranks among all values of a coordinate (Blom's formula); ties share a rank."""
    values = chains.flatten(0, 1).movedim(0, -1).contiguous()
    ordered = values.sort(dim=-1).values
    below = torch.searchsorted(ordered, values)
    twice_rank = below + torch.searchsorted(ordered, values, right=True) + 1
    scores = torch.special.ndtri((0.5 * twice_rank.double() - 0.375) / (values.shape[-1] + 0.25))
    return scores.movedim(-1, 0).view_as(chains)
