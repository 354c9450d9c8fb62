"""Chapter 4: maximum likelihood."""

from typing import Any

import torch

from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import exact
from ebmlearn.exercises._base import exercise, parts
from ebmlearn.exercises._compare import compare
from ebmlearn.exercises._exact import chain_variance, root

HALF, THIRD = 1 / 2, 1 / 3


def precision(share: float) -> float:
    """Where learning rests with steps of this share of the data's standard deviation, 1."""
    return root(lambda a: chain_variance(a, s=share, n_steps=800) - 1, 0.5, 1.9)


def nats(p: float, q: float) -> float:
    """Divergence between two normal laws with these precisions, by quadrature."""
    laws = [Gaussian(torch.zeros(1), torch.eye(1) / a).double() for a in (p, q)]
    return exact.kl(laws[0], laws[1], exact.Grid((-10, 10), n=900, dim=1, dtype=torch.float64)).value


@exercise("ex-04-half")
def half(answer: Any) -> None:
    """two pairs, for a half and a third: the learned precision (the data's is 1), and its price in nats."""
    pairs = [parts(pair, "precision", "nats") for pair in parts(answer, "a half", "a third")]
    for share, name, (a, cost) in zip((HALF, THIRD), ("half", "third"), pairs, strict=True):
        right = precision(share)
        compare(
            a,
            right,
            within=0.002,
            what=f"{name}, precision",
            wrong=[
                (1 + share**2 / 4, "right to first order only; the step is not small"),
                (
                    1 / (1 - share**2 / 4),
                    "so much too wide is the chain at the data's precision, but learning moves the precision",
                ),
                (1 / right, "learning makes the energy too steep, not too flat"),
                (right - 1, "that is by how much it is too large; give the precision itself"),
            ],
        )
        compare(
            cost,
            nats(1.0, right),
            within=0.02,
            what=f"{name}, nats",
            wrong=[
                (nats(right, 1.0), "the two densities have changed places in the divergence"),
                ((right - 1) ** 2 / 4, "right to second order only"),
            ],
        )


@exercise("ex-04-noise")
def noise(answer: Any) -> None:
    """a number, the learned precision."""
    std = 0.5
    wrong = [
        (1.0, "that is the precision of the clean data, and the model never sees them"),
        (1 + std**2, "that is the variance of what the model sees"),
        (1 / (1 + std), "variances add up, not standard deviations"),
        (1 / (1 - std**2), "noise makes the data wider, not narrower"),
    ]
    # the exercise trains, so that the answer has noise
    compare(answer, 1 / (1 + std**2), within=0.03, wrong=wrong)


@exercise("ex-04-edit")
def edit(answer: Any) -> None:
    """a number, the a that minimises the objective with k = 30."""
    k, s, curvatures = 30, 0.3, (1.0, 9.0)

    def ends(a: float, r: float) -> float:  # a chain from the data, N(0, I)
        return chain_variance(a * r, s=s, n_steps=k)

    def slope(a: float, step: float = 1e-5) -> float:
        def objective(a: float) -> float:
            V = torch.tensor([ends(a, r) for r in curvatures], dtype=torch.float64)
            r = torch.tensor(curvatures, dtype=torch.float64)
            return ((a * r * (1 - V) + V.log()).sum() / 2).item()

        return (objective(a + step) - objective(a - step)) / (2 * step)

    def gap(a: float) -> float:  # what CD brings to zero
        return sum(r * (ends(a, r) - 1) for r in curvatures)

    wrong = [
        (root(gap, 0.05, 1.0), "there CD rests without the missing term"),
        (2 / sum(curvatures), "there maximum likelihood rests, without the bias of the objective"),
        (1.0, "that would be right if the model could have both variances"),
    ]
    compare(answer, root(slope, 0.05, 1.0), within=0.015, wrong=wrong)
