"""Chapter 10: dual-MCMC teaching."""

from typing import Any

from ebmlearn.exercises._base import Hint, exercise, parts, values
from ebmlearn.exercises._compare import compare
from ebmlearn.exercises._exact import chain_variance, root

V, S, TAU = 1.0, 0.1, 0.3  # of the chapter's line


def at_rest(weight: float, K: int) -> float:
    """The precision of the energy where the rules of the chapter's theorem rest."""

    def precision(b: float) -> float:
        start = b**2 + TAU**2
        return root(lambda a: chain_variance(a, s=S, n_steps=K, start=start) - V, -100 / K, 50.0)

    def slope(b: float) -> float:
        total = b**2 + TAU**2
        data = b * TAU**2 * (V - total) / total**2
        return data - weight * b * (1 - (1 - S**2 * precision(b) / 2) ** K)

    return precision(root(slope, 0.5, (V - TAU**2) ** 0.5 + 1e-9))


@exercise("ex-10-both")
def both(answer: Any) -> None:
    """a pair: b, for the chapter's v and τ, and the precision a of the energy."""
    b, a = parts(answer, "b", "a")
    right = (V - TAU**2) ** 0.5
    compare(
        b,
        right,
        what="b",
        wrong=[
            (right**2, "that is b²"),
            (V**0.5, "the generator adds noise of its own: then its drafts are too wide"),
            (
                (V - TAU**2 - 20 * S**2) ** 0.5,
                "that is where cooperative learning rests; look at the left side",
            ),
            (-right, "a sign is free, so take the positive one"),
        ],
    )
    wrong = [
        (1 / V, "at the right energy the chain still contracts, so the right side is not zero"),
        (
            root(lambda a: chain_variance(a, s=S, n_steps=4000) - V, 0.5, 2.0),
            "at that energy the chain contracts",
        ),
        (
            2 / S**2,
            "that is a chain that forgets its start in one step, the opposite of a chain that keeps it",
        ),
    ]
    compare(a, 0.0, absolute=1e-3, what="a", wrong=wrong)


@exercise("ex-10-half")
def half(answer: Any) -> None:
    """a pair: the weight with K = 5, and with K = 20."""
    weights = [
        values(part, (), f"K = {K}").item() for part, K in zip(parts(answer, "5", "20"), (5, 20), strict=True)
    ]

    def fits(weight: float, K: int) -> bool:
        return abs(at_rest(weight, K) - 0.5) < 2e-3

    for weight, K in zip(weights, (5, 20), strict=True):
        if weight <= 0:
            raise Hint(f"K = {K}: a weight is positive")
        if fits(weight, K):
            continue
        if fits(weights[0], 20) and fits(weights[1], 5):
            raise Hint("the two have changed places")
        if fits(weight, 25 - K):
            raise Hint(f"K = {K}: that is the weight for the other number of steps: does `revise` read K?")
        steep = at_rest(weight, K) > 0.5
        raise Hint(
            f"K = {K}: the energy is too {'steep' if steep else 'flat'} there: the generator"
            f" {'hears too little' if steep else 'hears too much'} of it"
        )
